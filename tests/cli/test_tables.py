"""What can be named: models and judges."""

from __future__ import annotations

import json

from tests.helpers import Run

NAMED = [
    "ella-sd15",
    "sd15",
    "sd2",
    "sdxl",
    "pixart-alpha",
    "pixart-sigma",
    "playground-v2.5",
    "sd3-medium",
    "sd3.5-large",
    "flux-dev",
    "flux-schnell",
    "flux2-dev",
    "sana-0.6b",
    "sana-1.6b",
    "hunyuan-dit",
    "lumina2",
    "cogview4",
    "kolors",
    "omnigen",
    "hidream-i1-full",
    "qwen-image",
    "z-image",
    "z-image-turbo",
    "tiny-ella-sd15",
    "tiny-sd15",
]


def test_models(run: Run) -> None:
    listed = json.loads(run("models", "--json").out)
    by_name = {model["name"]: model for model in listed["models"]}
    assert {*NAMED} <= by_name.keys()
    pair = [dict(by_name[name]["settings"]) for name in ("ella-sd15", "sd15")]
    for settings in pair:
        settings.pop("options")
    assert pair[0] == pair[1]
    for name in ("ella-sd15", "tiny-ella-sd15"):
        assert by_name[name]["weights"].keys() == {"base", "connector", "text_encoder"}
    assert by_name["tiny-sd15"]["world"] == "shapes"
    assert by_name["sd15"]["world"] is None
    text = run("models").out
    assert "--weights connector=PATH" in text
    assert "hf:ORG/REPO" in text


def test_variants_of_ella(run: Run) -> None:
    listed = json.loads(run("models", "--json").out)
    settings = {model["name"]: model["settings"] for model in listed["models"]}
    demo = settings["ella-sd15"]
    assert (demo["steps"], demo["guidance_scale"]) == (25, 10.0)
    assert demo["options"] == {"text_length": "flexible", "with_clip": False}
    main = settings["ella-sd15-main"]
    assert main == demo | {"steps": 50, "guidance_scale": 12.0}
    assert settings["ella-sd15-fixed"]["options"]["text_length"] == "fixed"
    assert settings["ella-sd15-with-clip"]["options"]["with_clip"] is True


def test_a_model_with_its_sources(run: Run) -> None:
    text = run("models", "qwen-image").out
    assert "4.0 (true_cfg_scale)" in text
    assert "a space   [QwenLM/Qwen-Image (6b5e1f5) README]" in text
    assert "Qwen2.5-VL: 512 tokens" in text
    assert "88.32" in text
    facts = json.loads(run("models", "hunyuan-dit", "--json").out)["model"]
    assert [encoder["tokens"] for encoder in facts["encoders"]] == [77, 256]
    assert facts["facts"]["memory"]["source"] == "HunyuanDiT (d2cb9cd) README"
    assert {score["score"] for score in facts["published"]} == {"78.87", "78.9"}


def test_what_is_unknown_is_shown_as_unknown(run: Run) -> None:
    lines = {line[:24].strip(): line[24:] for line in run("models", "sd2").out.splitlines()}
    for name in ("licence", "gated", "size (px)", "precision on a GPU", "text encoder"):
        assert lines[name] == "unknown", name
    facts = json.loads(run("models", "sd2", "--json").out)["model"]
    assert facts["facts"]["px"] is None
    assert facts["encoders"] is None
    assert "published DPG-Bench     unknown" in run("models", "kolors").out
    assert "no source is recorded" in run("models", "tiny-sd15").out


def test_a_model_of_the_hub_by_its_repository(run: Run) -> None:
    assert "4 (guidance_scale)" not in run("models", "hf:some/other").out
    text = run("models", "hf:black-forest-labs/FLUX.1-schnell").out
    assert "steps                   4 " in text
    ended = run("models", "flux-dve")
    assert ended.code == 2
    assert "flux-dev" in ended.error


def test_judges(run: Run) -> None:
    listed = json.loads(run("judges", "--json").out)
    by_name = {judge["name"]: judge for judge in listed["judges"]}
    assert by_name["mplug"]["weights"].keys() == {"judge"}
    assert by_name["mplug"]["world"] is None
    assert by_name["tiny-mplug"]["world"] == "shapes"
    assert by_name["tiny-mplug"]["weights"] == {"judge": "ships with the toolkit"}
    text = run("judges").out
    assert "openai:MODEL" in text
    assert "knows the world of shapes alone: elsewhere scores mean nothing" in text

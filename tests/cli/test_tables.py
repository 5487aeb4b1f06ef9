"""What can be named: models and judges."""

from __future__ import annotations

import json

from tests.helpers import Run


def test_models(run: Run) -> None:
    listed = json.loads(run("models", "--json").out)
    by_name = {model["name"]: model for model in listed["models"]}
    assert by_name.keys() == {"ella-sd15", "sd15", "tiny-ella-sd15", "tiny-sd15"}
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

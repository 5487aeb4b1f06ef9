"""Generating through the command line: grids, seeds, resume, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dpgbench.backends.generators.table import MODELS
from tests.helpers import Run, json_lines, row, write_csv

TINY = ("generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "2")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    texts = ["A red circle.", "A blue square " * 40, "A green star above a cross."]
    return write_csv(
        tmp_path / "bench.csv",
        [row(f"item_{n}", 1, text=text) for n, text in enumerate(texts)],
    )


def images(run_folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run_folder / "images").iterdir())}


def test_a_run_and_its_files(run: Run, tmp_path: Path, bench: Path) -> None:
    ended = run(*TINY, "--bench", bench, "--out", "r", "--seed", 7)
    assert ended.code == 0, ended.err
    note = "model tiny-ella-sd15 knows the world of shapes alone: here scores mean nothing"
    assert f"note: {note}" in ended.err
    assert sorted(images(tmp_path / "r")) == ["item_0.png", "item_1.png", "item_2.png"]
    with Image.open(tmp_path / "r/images/item_0.png") as image:
        assert image.size == (128, 128)
    records = json_lines(tmp_path / "r/images.jsonl")
    assert [record["item_id"] for record in records] == ["item_0", "item_1", "item_2"]
    assert records[0]["seeds"] == [7, 8, 9, 10]
    assert records[0]["error"] is None
    assert records[0]["seconds"] > 0
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    spec = manifest["identity"]["generation"]
    guidance = MODELS["tiny-ella-sd15"].defaults["guidance_scale"]
    assert (spec["steps"], spec["guidance_scale"], spec["width_px"]) == (2, guidance, 64)
    assert spec["scheduler"] == "DPMSolverMultistepScheduler"
    assert spec["scheduler_config"]["beta_schedule"] == "scaled_linear"
    assert spec["scheduler_config"]["prediction_type"] == "v_prediction"
    assert spec["seed_rule"] == "per-tile"
    assert manifest["completed"]
    assert manifest["notes"] == [note]
    assert manifest["environment"]["packages"]["torch"]


def test_clip_baseline_counts_the_prompts_that_it_cuts(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    words = ("--model", "tiny-sd15", "--steps", 2, "--bench", bench)
    ended = run("generate", *words, "--out", "r")
    assert ended.code == 0, ended.err
    cut = json.loads((tmp_path / "r/manifest.json").read_text())["generation"]["truncation"]
    assert cut == {"limit": 77, "truncated": 1, "prompts": 3, "items": ["item_1"]}
    assert ended.err.count("1 of 3 prompts are longer than the text encoder's 77 tokens") == 1
    run(*TINY, "--option", "text_length=flexible", "--bench", bench, "--out", "e")
    cut = json.loads((tmp_path / "e/manifest.json").read_text())["generation"]["truncation"]
    assert cut == {"limit": None, "truncated": 0, "prompts": 3, "items": []}


def test_the_pair_differs_in_its_text_encoder_alone(run: Run, tmp_path: Path, bench: Path) -> None:
    specs = []
    for model in ("tiny-sd15", "tiny-ella-sd15"):
        run("generate", "--model", model, "--steps", 2, "--bench", bench, "--out", model)
        manifest = json.loads((tmp_path / model / "manifest.json").read_text())
        specs.append(manifest["identity"]["generation"])
        specs[-1].pop("model")
        specs[-1].pop("options")
    assert specs[0] == specs[1]
    assert images(tmp_path / "tiny-sd15") != images(tmp_path / "tiny-ella-sd15")


def test_an_image_depends_on_its_prompt_and_seed_alone(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    run(*TINY, "--bench", bench, "--out", "all")
    run(*TINY, "--bench", bench, "--out", "one", "--items", "item_2")
    run(*TINY, "--bench", bench, "--out", "seed1", "--seed", 1, "--num-images", 1)
    together = images(tmp_path / "all")
    assert images(tmp_path / "one") == {"item_2.png": together["item_2.png"]}
    with (
        Image.open(tmp_path / "all/images/item_0.png") as grid,
        Image.open(tmp_path / "seed1/images/item_0.png") as alone,
    ):
        tile = grid.crop((64, 0, 128, 64))  # tile 1 of base 0 has seed 1
        difference = max(abs(a - b) for a, b in zip(tile.tobytes(), alone.tobytes(), strict=True))
    assert difference <= 1  # rounding in a batch of another size


@pytest.mark.parametrize(("num_images", "size"), [(1, (64, 64)), (2, (128, 64))])
def test_other_grids(
    run: Run, tmp_path: Path, bench: Path, num_images: int, size: tuple[int, int]
) -> None:
    assert run(*TINY, "--bench", bench, "--out", "r", "--num-images", num_images).code == 0
    with Image.open(tmp_path / "r/images/item_0.png") as image:
        assert image.size == size
    assert run(*TINY, "--bench", bench, "--num-images", 11).code == 2


def test_resume_draws_only_what_is_missing(run: Run, tmp_path: Path, bench: Path) -> None:
    run(*TINY, "--bench", bench, "--out", "r", "--limit", 1)
    run(*TINY, "--bench", bench, "--out", "r")
    before = images(tmp_path / "r")
    broken = tmp_path / "r/images/item_1.png"
    broken.write_bytes(before["item_1.png"][:500])
    (tmp_path / "r/images/item_2.png").unlink()
    ended = run(*TINY, "--bench", bench, "--out", "r", "--json")
    report = json.loads(ended.out)
    assert (report["drawn"], report["kept"]) == (2, 1)
    assert images(tmp_path / "r") == before


def test_default_run_directory_has_the_identity(run: Run, tmp_path: Path, bench: Path) -> None:
    first = json.loads(run(*TINY, "--bench", bench, "--limit", 1, "--json").out)["run"]
    again = json.loads(run(*TINY, "--bench", bench, "--limit", 1, "--json").out)
    other = json.loads(run(*TINY, "--bench", bench, "--limit", 1, "--steps", 3, "--json").out)
    assert (again["run"], again["kept"]) == (first, 1)
    assert other["run"] != first
    assert first.startswith("runs/tiny-ella-sd15-")


def test_resume_with_other_settings_lists_each_difference(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    run(*TINY, "--bench", bench, "--out", "r")
    before = images(tmp_path / "r")
    ended = run(*TINY, "--bench", bench, "--out", "r", "--steps", 9, "--seed", 3)
    assert ended.code == 5
    assert "generation.base_seed: 0 -> 3" in ended.error
    assert "generation.steps: 2 -> 9" in ended.error
    assert images(tmp_path / "r") == before
    changed = write_csv(tmp_path / "bench.csv", [row("item_0", 1, text="Something else.")])
    assert "prompts_sha256" in run(*TINY, "--bench", changed, "--out", "r").error


@pytest.mark.slow
def test_a_kill_in_the_middle_loses_nothing(run: Run, tmp_path: Path) -> None:
    rows = [row(f"k{n:02}", 1, text=f"Scene number {n}.") for n in range(8)]
    bench = write_csv(tmp_path / "kill.csv", rows)
    run(*TINY, "--bench", bench, "--out", "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "dpgbench", *TINY, "--bench", bench, "--out", "killed"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )
    folder = tmp_path / "killed" / "images"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(folder.glob("*.png")))
    assert 2 <= there < 8
    with (tmp_path / "killed/images.jsonl").open("a") as log:
        log.write('{"item_id": "k')
    assert run(*TINY, "--bench", bench, "--out", "killed").code == 0
    assert images(tmp_path / "killed") == images(tmp_path / "whole")
    logged = [record["item_id"] for record in json_lines(tmp_path / "killed/images.jsonl")]
    assert sorted(logged) == sorted(set(logged)) == [cells["item_id"] for cells in rows]


@pytest.mark.slow
def test_interrupt_ends_with_130(tmp_path: Path) -> None:
    rows = [row(f"k{n:03}", 1, text=f"Scene number {n}.") for n in range(300)]
    bench = write_csv(tmp_path / "many.csv", rows)
    process = subprocess.Popen(
        [sys.executable, "-m", "dpgbench", *TINY, "--bench", bench, "--out", "r"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a shell may start tests with SIGINT ignored, which a child would inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    folder = tmp_path / "r" / "images"
    deadline = time.monotonic() + 120
    while not list(folder.glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


OWN_MODEL = """
from PIL import Image
class Flat:
    width_px = height_px = 8
    settings = {"shade": 3}
    token_limit = 3
    def draw(self, prompt, seeds):
        if "fail" in prompt:
            raise RuntimeError("cannot draw this")
        return [Image.new("RGB", (8, 8), (seed, 0, 0)) for seed in seeds]
    def count_tokens(self, prompt):
        return len(prompt.split())
"""


def test_a_class_of_the_users_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own_model_here.py").write_text(OWN_MODEL)
    rows = [row("a", 1, text="fine"), row("b", 1, text="please fail at this"), row("c", 1)]
    bench = write_csv(tmp_path / "b.csv", rows)
    words = ("generate", "--model", "own_model_here:Flat", "--bench", bench, "--out", "r")
    ended = run(*words, "--json")
    assert ended.code == 6
    assert json.loads(ended.out)["failures"] == {"b": "RuntimeError: cannot draw this"}
    assert sorted(images(tmp_path / "r")) == ["a.png", "c.png"]
    records = {r["item_id"]: r for r in json_lines(tmp_path / "r/images.jsonl")}
    assert records["b"]["error"] == "RuntimeError: cannot draw this"
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["identity"]["generation"]["options"] == {"shade": 3}
    assert manifest["generation"]["truncation"]["items"] == ["b", "c"]
    assert "has no Flatt" in run(*[str(w).replace(":Flat", ":Flatt") for w in words]).error


def test_a_pipeline_in_a_folder(run: Run, tmp_path: Path, bench: Path) -> None:
    from ella.tiny import tiny_pipeline

    tiny_pipeline().save_pretrained(tmp_path / "pipe")
    words = ("--bench", bench, "--limit", 1, "--steps", 2)
    ended = run("generate", "--model", f"hf:{tmp_path / 'pipe'}", *words, "--out", "hub")
    assert ended.code == 0, ended.err
    manifest = json.loads((tmp_path / "hub/manifest.json").read_text())
    spec = manifest["identity"]["generation"]
    assert (spec["width_px"], spec["steps"], spec["guidance_scale"]) == (64, 2, 7.5)
    assert spec["scheduler"] == "DDIMScheduler"
    assert manifest["identity"]["weights"]["base"]
    words = ("--model", "sd15", "--weights", "base=pipe", *words, "--width", 64, "--height", 64)
    ended = run("generate", *words, "--out", "sd")
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "sd/images/item_0.png") as image:
        assert image.size == (128, 128)

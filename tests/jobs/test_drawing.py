"""What a drawn run says of itself: counts, failures, tiles of one colour, what was kept."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.own_parts import ITEMS, write_parts
from tests.helpers import Run, row, write_csv

MODEL = """
from PIL import Image
class Model:
    width_px = height_px = 8
    def draw(self, prompt, seeds):
        if "fail" in prompt:
            raise ValueError("cannot draw " + prompt)
        return [picture(prompt, seed) for seed in seeds]
def picture(prompt, seed):
    image = Image.new("RGB", (8, 8), (len(prompt), seed, 7))
    if not ("flat" in prompt and seed == 1):
        image.putpixel((seed, 3), (255, 255, 255))
    return image
"""
DRAW = ("generate", "--model", "shy_model:Model", "--bench", "b.csv", "--out", "r")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Path]:
    sys.modules.pop("shy_model", None)  # of another test's folder
    write_parts(tmp_path)
    (tmp_path / "shy_model.py").write_text(MODEL)
    texts = {"a1": "one", "a2": "fail two", "b1": "flat three", "b2": "four more"}
    write_csv(tmp_path / "b.csv", [row(i, q, text=texts[i]) for i in ITEMS for q in (1, 2)])
    yield tmp_path
    sys.modules.pop("shy_model", None)


def manifest(parts: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((parts / "r/manifest.json").read_text())
    return record


def records(parts: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (parts / "r/images.jsonl").read_text().splitlines()]


def test_failures_and_tiles_of_one_colour_are_in_the_manifest(run: Run, parts: Path) -> None:
    ended = run(*DRAW)
    assert ended.code == 6
    record = manifest(parts)
    reason = "ValueError: cannot draw fail two"
    assert record["generation"]["failed"] == {"a2": reason}
    assert record["generation"]["single_colour"] == {"tiles": 1, "items": {"b1": [1]}}
    assert record["items"] == list(ITEMS)
    assert (record["kind"], record["num_images"], record["model"]) == (
        "generated", 4, "shy_model:Model",
    )  # fmt: skip
    about = record["benchmark"]
    assert (about["name"], about["items"], about["questions"]) == ("b", 4, 8)
    assert record["completed"] >= record["created"]
    lines = {record["item_id"]: record for record in records(parts)}
    assert (lines["a2"]["error"], lines["a2"]["sha256"], lines["a2"]["seconds"]) == (
        reason,
        None,
        None,
    )
    assert lines["b1"]["single_colour"] == [1]
    assert "single_colour" not in lines["a1"]
    for item in ("a1", "b1", "b2"):
        data = (parts / f"r/images/{item}.png").read_bytes()
        assert lines[item]["sha256"] == hashlib.sha256(data).hexdigest()
        assert lines[item]["error"] is None
        assert lines[item]["seeds"] == [0, 1, 2, 3]
        assert 0 <= lines[item]["seconds"] < 60
    assert "1 tile of 1 item is of one single colour (first: tile 1 of b1)" in ended.err


def test_a_failure_that_was_mended_is_none(run: Run, parts: Path) -> None:
    assert run(*DRAW).code == 6
    before = {p.name: p.stat().st_mtime_ns for p in (parts / "r/images").iterdir()}
    (parts / "shy_model.py").write_text(MODEL.replace('"fail" in prompt', "False"))
    sys.modules.pop("shy_model", None)
    ended = run(*DRAW)
    assert ended.code == 0, ended.err
    assert manifest(parts)["generation"]["failed"] == {}
    after = {p.name: p.stat().st_mtime_ns for p in (parts / "r/images").iterdir()}
    assert sorted(after) == ["a1.png", "a2.png", "b1.png", "b2.png"]
    assert before.items() <= after.items()  # nothing was drawn twice
    drawn = [record["item_id"] for record in records(parts)]
    assert drawn == [
        "a1",
        "a2",
        "a2",
        "b1",
        "b2",
    ]  # in the order of the items; the last line counts
    assert len(manifest(parts)["commands"]) == 2


def test_pictures_without_a_record_are_logged_and_kept(run: Run, parts: Path) -> None:
    run(*DRAW, "--items", "a1,b1,b2")
    lines = (parts / "r/images.jsonl").read_text().splitlines(keepends=True)
    old = {line["item_id"]: line for line in records(parts)}
    for kept in (lines[:1], lines[2:], []):
        (parts / "r/images.jsonl").write_text("".join(kept))
        ended = run(*DRAW, "--items", "a1,b1,b2")
        assert ended.code == 0, ended.err
        new = {line["item_id"]: line for line in records(parts)}
        assert len(records(parts)) == 3
        for item, line in new.items():
            assert {**line, "seconds": None} == {**old[item], "seconds": None}
    assert manifest(parts)["generation"]["single_colour"] == {"tiles": 1, "items": {"b1": [1]}}


def test_a_picture_of_another_size_or_that_is_damaged_is_drawn_again(run: Run, parts: Path) -> None:
    run(*DRAW, "--items", "a1,b2")
    whole = (parts / "r/images/a1.png").read_bytes()
    for damage in (whole[:-20], b"", (parts / "r/images/b2.png").read_bytes()[:50]):
        (parts / "r/images/a1.png").write_bytes(damage)
        assert run(*DRAW, "--items", "a1,b2").code == 0
        assert (parts / "r/images/a1.png").read_bytes() == whole


def test_only_what_failed_is_called_failed(run: Run, parts: Path) -> None:
    run(*DRAW, "--items", "a1,b2")
    (parts / "r/images/b2.png").write_bytes(b"x")  # damaged since, and not asked for now
    assert run(*DRAW, "--items", "a1").code == 0
    assert manifest(parts)["generation"]["failed"] == {}


def test_a_run_is_widened_in_the_benchmarks_order(run: Run, parts: Path) -> None:
    assert run(*DRAW, "--items", "b2").code == 0
    assert run(*DRAW, "--items", "b1,a1").code == 0
    assert manifest(parts)["items"] == ["a1", "b1", "b2"]
    assert sorted(p.stem for p in (parts / "r/images").iterdir()) == ["a1", "b1", "b2"]


def test_what_is_no_run_is_not_drawn_into(run: Run, parts: Path) -> None:
    (parts / "r").write_text("")
    ended = run(*DRAW)
    assert (ended.code, "r is a file" in ended.error) == (2, True)
    (parts / "r").unlink()
    (parts / "r").mkdir()
    (parts / "r/.lock").write_text("")
    (parts / "r/.part-x").write_text("")
    (parts / "r/mine.txt").write_text("")
    ended = run(*DRAW)
    assert (ended.code, "not empty and not a run" in ended.error) == (2, True)
    (parts / "r/mine.txt").unlink()
    assert run(*DRAW, "--items", "a1").code == 0


def test_two_prompts_of_one_item_are_refused(run: Run, parts: Path) -> None:
    rows = [row("a1", 1, text="x"), row("a1", 2, text=" x "), row("b1", 1), row("b1", 2, text="y")]
    write_csv(parts / "b.csv", rows)
    ended = run(*DRAW)
    assert ended.code == 3
    assert "row 5: item b1 has another prompt than at row 4" in ended.error
    assert run(*DRAW, "--items", "a1").code == 0


def test_where_the_first_ten_fail_the_others_are_not_tried(run: Run, parts: Path) -> None:
    (parts / "shy_model.py").write_text(MODEL.replace("(8, 8), (len", "(9, 8), (len"))
    rows = [row(f"i{n:02}", 1, text="x") for n in range(15)]
    write_csv(parts / "b.csv", rows)
    ended = run(*DRAW)
    assert ended.code == 6
    assert "the first 10 items all failed" in ended.error
    assert len(records(parts)) == 10
    record = manifest(parts)
    assert record["completed"] is None
    assert len(record["items"]) == 15
    assert len(record["generation"]["failed"]) == 10

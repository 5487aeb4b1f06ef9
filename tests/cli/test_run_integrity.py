"""What a run holds is what it says: subsets, questions, answers and identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dpgbench.store.run.directory import RunDir
from tests.helpers import Run, answers_csv, row, write_csv

JUDGE = (
    "from dpgbench import JudgeAnswer\n"
    "class {name}:\n"
    "    num_images_at_once = 1\n"
    "    def __init__(self, request): pass\n"
    "    def describe(self): return {{}}\n"
    "    def ask(self, tiles):\n"
    "        return [[JudgeAnswer({answer!r}) for _ in t.questions] for t in tiles]\n"
)
SCORE = ("score", "p", "--bench", "b.csv", "--num-images", 1, "--out", "r")
ITEMS = ("COCOval1", "COCOval2", "vrd1")


@pytest.fixture
def judged(run: Run, tmp_path: Path) -> RunDir:
    """A run of three pictures, all answered `yes` by a judge of one's own, not yet made."""
    write_csv(tmp_path / "b.csv", [row(item, qid) for item in ITEMS for qid in (1, 2)])
    (tmp_path / "p").mkdir()
    for shade, item in enumerate(ITEMS):
        Image.new("RGB", (8, 8), (shade, 0, 9)).save(tmp_path / f"p/{item}.png")
    (tmp_path / "own_yes.py").write_text(JUDGE.format(name="Judge", answer="yes"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own/__init__.py").write_text("")
    (tmp_path / "own/yes.py").write_text(JUDGE.format(name="Judge", answer="no"))
    return RunDir(tmp_path / "r")


def results(run_dir: RunDir) -> dict[str, object]:
    return {
        path.name: json.loads(path.read_text()).get("overall") for path in run_dir.score_files()
    }


def test_a_subset_never_replaces_the_result_over_all(run: Run, judged: RunDir) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge", "--rule", "dsg", "--reference-files")
    assert run(*words).code == 0
    whole = {path.name: path.read_bytes() for path in judged.path.glob("scores/*/*")}
    assert sorted(whole) == [
        "dpg-bench_results.txt", "dpg-bench_results_detail.txt", "dsg.items.csv", "dsg.json",
    ]  # fmt: skip
    assert json.loads(whole["dsg.json"])["subset"] is None
    for choice, subset in (
        (("--limit", 2), "2 of 3 items (first 2)"),
        (("--source", "vrd"), "1 of 3 items (source vrd)"),
        (("--items", "COCOval2,vrd1"), "2 of 3 items (2 items)"),
    ):
        ended = run(*words, *choice)
        assert f"results of {subset}" in ended.out
        for name, content in whole.items():
            assert next(judged.path.glob(f"scores/*/{name}")).read_bytes() == content
    parts = [json.loads(path.read_text()) for path in judged.path.glob("scores/*/dsg@*.json")]
    assert sorted(part["subset"]["choice"] for part in parts) == [
        "2 items", "first 2", "source vrd",
    ]  # fmt: skip
    assert {part["subset"]["of"] for part in parts} == {3}
    for part in parts:
        name = f"dsg@{part['subset']['items_sha256'][:8]}"
        (table,) = judged.path.glob(f"scores/*/{name}.items.csv")
        assert len(table.read_text().splitlines()) == 1 + part["subset"]["items"]
    assert len(list(judged.path.glob("scores/*/dpg-bench_results@*.txt"))) == 3


def test_a_limited_run_says_so_until_it_is_widened(run: Run, judged: RunDir) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge", "--rule", "dsg", "--json")
    ended = run(*words, "--limit", 1)
    subset = json.loads(ended.out)["results"][0]["subset"]
    assert (subset["items"], subset["of"], subset["choice"]) == (1, 3, "first 1")
    assert [path.name for path in judged.score_files()] == ["dsg.json"]
    assert json.loads(run(*words).out)["results"][0]["subset"] is None
    assert [path.name for path in judged.score_files()] == ["dsg.json"]


def test_judges_with_close_names_have_answers_of_their_own(run: Run, judged: RunDir) -> None:
    judges = ("own_yes:Judge", "own.yes:Judge")
    both = [json.loads(run(*SCORE, "--judge", judge, "--json").out) for judge in judges]
    assert [scored["results"][1]["overall"] for scored in both] == [100.0, 0.0]
    assert len(list(judged.path.glob("answers/*.jsonl"))) == 2
    # and so where capitals alone are different
    assert judged.answers("hf:Org/M") != judged.answers("hf:org/m")


@pytest.mark.parametrize("forgotten", [False, True], ids=["recorded", "by an earlier version"])
@pytest.mark.parametrize("judge", [("--judge", "own_yes:Judge"), ()], ids=["judge", "answers"])
def test_answers_to_rewritten_questions_are_refused_with_nothing_left_to_ask(
    run: Run, tmp_path: Path, judged: RunDir, judge: tuple[str, ...], forgotten: bool
) -> None:
    cells = [(item, 0, qid, "yes") for item in ITEMS for qid in (1, 2)]
    answers = answers_csv(tmp_path / "a.csv", cells)
    words = (*SCORE, *judge)
    if not judge:
        words = ("score", "--bench", "b.csv", "--answers", answers, "--out", "r")
    assert run(*words).code == 0
    if forgotten:
        manifest = json.loads(judged.manifest.read_text())
        for record in manifest["judges"].values():
            record.pop("questions_sha256", None)
        judged.manifest.write_text(json.dumps(manifest))
        assert run(*words).code == 0
    text = (tmp_path / "b.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("Is there thing 2?", "Is there no thing 2?"))
    for again in (words, ("score", "r", *judge)):
        ended = run(*again)
        assert ended.code == 5, ended.err
        assert "to other questions than" in ended.error


def test_answers_that_contradict_each_other_are_an_error(run: Run, judged: RunDir) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge", "--json")
    assert run(*words).code == 0
    path = judged.answers("own_yes:Judge")
    before = path.read_text()
    path.write_text(before + before.splitlines()[0] + "\n")  # the same again is no contradiction
    assert run(*words).code == 0
    path.write_text(before + before.splitlines()[2].replace('"yes"', '"no"') + "\n")
    for command in (words, ("report", "r", "--out", "rep")):
        ended = run(*command)
        assert ended.code == 3, ended.err
        assert f"{path.name} lines 3 and 7 contradict each other" in ended.error


def test_answers_about_nothing_are_counted_and_said(run: Run, judged: RunDir) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge", "--json")
    first = json.loads(run(*words).out)["results"][0]
    assert "stray_answers" not in first["warnings"]
    path = judged.answers("own_yes:Judge")
    stray = [("COCOval1", 1, 1), ("COCOval1", -1, 1), ("COCOval1", 0, 3), ("gone", 0, 1)]
    with path.open("a") as file:
        for item, tile, qid in stray:
            file.write(
                json.dumps({"item_id": item, "tile": tile, "qid": qid, "answer": "no"}) + "\n"
            )
    ended = run(*words)
    assert "4 answers are about no item, tile or question of b" in ended.err
    again = json.loads(ended.out)["results"][0]
    assert again["warnings"]["stray_answers"] == 4
    assert again["overall"] == first["overall"]


@pytest.mark.parametrize("hash_too", [False, True])
def test_an_identity_edited_by_hand_is_refused(run: Run, judged: RunDir, hash_too: bool) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge")
    assert run(*words).code == 0
    manifest = json.loads(judged.manifest.read_text())
    manifest["identity"]["tile_px"] = 8
    if hash_too:
        del manifest["identity_hash"]
    judged.manifest.write_text(json.dumps(manifest))
    commands = (
        words,
        ("score", "r", *words[-2:]),
        ("report", "r", "--out", "x"),
        ("compare", "r", "r"),
    )
    for command in commands:
        ended = run(*command)
        assert ended.code == 5, ended.err
        assert "its identity was changed after the run was made" in ended.error


def test_what_stands_beside_the_identity_must_agree_with_it(run: Run, judged: RunDir) -> None:
    words = (*SCORE, "--judge", "own_yes:Judge")
    assert run(*words).code == 0
    manifest = json.loads(judged.manifest.read_text())
    for change in (
        {"num_images": 4},
        {"benchmark": {**manifest["benchmark"], "prompts_sha256": "0" * 64}},
    ):
        judged.manifest.write_text(json.dumps({**manifest, **change}))
        ended = run("score", "r", *words[-2:])
        assert ended.code == 3, ended.err
        assert "in its identity" in ended.error

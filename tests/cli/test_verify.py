"""`dpgbench verify` sees every kind of damage, writes nothing, and repairs what can be redone."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.own_parts import GENERATE, SCORE, write_parts
from tests.cli.processes import content, start
from tests.helpers import Ended, Run, answers_csv, row, write_csv

GENERATED = (*GENERATE, "--bench", "b.csv")
ANSWERS = "answers/own_judge-Judge~2447462b.jsonl"
SCORES = "scores/own_judge-Judge~2447462b"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run `r` that was drawn, judged and scored, made once."""
    folder = tmp_path_factory.mktemp("whole")
    write_parts(folder)
    for words in (GENERATED, SCORE):
        assert start(folder, words) == 0
    return folder


@pytest.fixture
def made(run: Run, whole: Path, tmp_path: Path) -> Path:
    """A copy of that run in the current folder."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    manifest = tmp_path / "r/manifest.json"
    manifest.write_text(manifest.read_text().replace(str(whole), str(tmp_path)))
    return tmp_path / "r"


def levels(ended: Ended) -> dict[str, set[str]]:
    """Return the kinds of findings by level."""
    kinds: dict[str, set[str]] = {}
    for finding in json.loads(ended.out)["findings"]:
        kinds.setdefault(finding["level"], set()).add(finding["kind"])
    return kinds


def test_a_sound_run_is_sound_and_nothing_is_written(run: Run, made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    ended = run("verify", "r")
    assert ended.code == 0, ended.err
    assert "r: sound" in ended.out
    for count in ("4 hashes", "48 answers", "2 score files", "2 text files"):
        assert count in ended.out
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    assert run("verify", "r", "--repair").code == 0
    assert not (made / "set-aside").exists()


def lines(change: Callable[[list[str]], list[str]], name: str = ANSWERS) -> Callable[[Path], None]:
    """Return a damage that changes the lines of a file."""

    def damage(made: Path) -> None:
        path = made / name
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return damage


def text(name: str, old: str, new: str, number: int = 1) -> Callable[[Path], None]:
    """Return a damage that replaces a text."""

    def damage(made: Path) -> None:
        path = made / name
        whole = path.read_text()
        assert old in whole
        path.write_text(whole.replace(old, new, number))

    return damage


def grid(change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda made: change(made / "images/a2.png")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a grid is cut off": (grid(lambda p: p.write_bytes(p.read_bytes()[:-20])), "grid"),
    "a grid is empty": (grid(lambda p: p.write_bytes(b"")), "grid"),
    "a grid is another picture": (grid(lambda p: Image.new("RGB", (16, 16)).save(p)), "grid"),
    "a grid is of another size": (grid(lambda p: Image.new("RGB", (8, 8)).save(p)), "grid"),
    "a bit of a grid": (
        grid(lambda p: p.write_bytes(p.read_bytes()[:60] + b"\0" + p.read_bytes()[61:])), "grid",
    ),
    "a hash is another one": (text("images.jsonl", '"sha256": "', '"sha256": "0'), "bad-line"),
    "a line of images is no JSON": (text("images.jsonl", '{"item_id"', '{item_id"'), "bad-line"),
    "an image of no item": (text("images.jsonl", '"a2"', '"zz"'), "unknown-item"),
    "seeds that nobody drew with": (text("images.jsonl", "[0, 1", "[0, 3"), "bad-line"),
    "an answer is no JSON": (text(ANSWERS, '{"item_id"', '{"item_id'), "bad-line"),
    "an answer lacks a field": (text(ANSWERS, '"qid"', '"qix"'), "bad-line"),
    "an answer about no item": (text(ANSWERS, '"a1"', '"zz"'), "bad-line"),
    "an answer about no tile": (text(ANSWERS, '"tile": 0', '"tile": 4'), "bad-line"),
    "an answer about another tile": (text(ANSWERS, '"tile": 0', '"tile": 1'), "repeated-answers"),
    "an answer about another question": (text(ANSWERS, '"qid": 1', '"qid": 2'), "bad-line"),
    "an empty answer": (text(ANSWERS, '"yes"', '""'), "bad-line"),
    "an answer twice": (lines(lambda ls: [*ls, ls[3]]), "repeated-answers"),
    "an answer was turned": (text(ANSWERS, '"no"', '"yes"'), "answers-changed"),
    "an answer is neither": (text(ANSWERS, '"yes"', '"yas"'), "answers-changed"),
    "a field is unknown": (
        lines(lambda ls: [ls[0].replace("}", ', "invalie": true}'), *ls[1:]]), "bad-line",
    ),
    "an edited overall": (text(f"{SCORES}/dsg.json", '"overall": 66', '"overall": 76'), "score"),
    "an edited category": (text(f"{SCORES}/corrected-v1.json", '"raw": 66', '"raw": 96'), "score"),
    "an edited count": (text(f"{SCORES}/dsg.json", '"all": 48', '"all": 49'), "score"),
    "a score is no JSON": (text(f"{SCORES}/dsg.json", "{", "["), "score"),
    "a score of another rule": (text(f"{SCORES}/dsg.json", '"dsg"', '"ulmeval"'), "score"),
    "an edited table": (text(f"{SCORES}/dsg.items.csv", ",66.", ",67."), "score"),
    "a table alone": (lambda made: (made / f"{SCORES}/dsg.json").unlink(), "score"),
    "an edited text file": (text(f"{SCORES}/dpg-bench_results.txt", "0.", "1."), "score"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen_and_repaired_without_a_trace(
    run: Run, made: Path, whole: Path, name: str
) -> None:
    damage, kind = DAMAGE[name]
    damage(made)
    before = {path: path.read_bytes() for path in made.rglob("*.*") if path.is_file()}
    ended = run("verify", "r", "--json")
    if kind == "repeated-answers":  # they count once, and so do no harm
        assert kind in levels(ended)["note"]
        assert ended.code == (6 if "incomplete" in levels(ended) else 0)
    else:
        assert ended.code == 3, ended.out
        assert kind in levels(ended)["damaged"], ended.out
        assert "--repair' sets aside" in ended.error
    after = {path: path.read_bytes() for path in made.rglob("*.*") if path.is_file()}
    assert after == before  # nothing is written without --repair

    repaired = run("verify", "r", "--repair", "--json")
    assert repaired.code in (0, 6), repaired.out
    report = json.loads(repaired.out)
    assert report["verdict"] != "damaged"
    (aside,) = report["set_aside"]
    assert Path(aside, "why.jsonl").is_file()
    for command in report["commands"]:
        words = command.split()
        assert words[0] == "dpgbench"
        assert run(*words[1:]).code == 0
    assert run(*GENERATED).code == 0
    assert run(*SCORE).code == 0
    assert run("verify", "r").code == 0
    shutil.rmtree(made / "set-aside")
    assert kept(made) == kept(whole / "r")


def kept(made: Path) -> dict[str, Any]:
    """Return what a run holds byte by byte, without times and the path of its folder."""
    files = {name: value for name, value in content(made).items() if name != ".owner"}
    files["manifest.json"]["benchmark"].pop("path")
    return files


@pytest.mark.parametrize(
    ("damage", "code", "level", "kind"),
    [
        (text("manifest.json", '"width_px": 8', '"width_px": 9'), 3, "damaged", "manifest"),
        (text("manifest.json", "{", ""), 3, "damaged", "manifest"),
        (text("manifest.json", '"a2"', '"zz"'), 3, "damaged", "manifest"),
        (text("manifest.json", '"questions": 12', '"questions": 13'), 3, "damaged", "manifest"),
        (text("../b.csv", "thing 2", "thing 9"), 3, "damaged", "benchmark-changed"),
        (lambda made: (made / "../b.csv").unlink(), 6, "unverified", "benchmark"),
        (lambda made: (made / "images/a2.png").unlink(), 6, "incomplete", "grid-gone"),
        (text("images.jsonl", '"a2"', '"b1"'), 6, "unverified", "no-hash"),
        (lines(lambda ls: ls[:-2]), 6, "incomplete", "open-questions"),
        (lines(lambda ls: [*ls[:-1], ls[-1].rstrip()]), 6, "incomplete", "open-questions"),
        (lines(lambda ls: ls[1:], "images.jsonl"), 6, "unverified", "no-hash"),
        (lambda made: shutil.rmtree(made / "scores"), 6, "incomplete", "not-scored"),
        (lambda made: (made / f"{SCORES}/dsg.items.csv").unlink(), 6, "unverified", "no-table"),
        (text("manifest.json", '"own_judge:Judge": {', '"x": {'), 6, "unverified", "unknown-judge"),
        (lambda made: (made / "images/.part-x").write_text(""), 0, "note", "left-by-a-kill"),
        (lambda made: (made / "images/x.gif").write_text(""), 0, "note", "foreign-files"),
        (lambda made: (made / "notes.txt").write_text(""), 0, "note", "foreign-files"),
    ],
)  # fmt: skip
def test_what_a_repair_cannot_mend_has_its_level_and_code(
    run: Run, made: Path, damage: Callable[[Path], None], code: int, level: str, kind: str
) -> None:
    damage(made)
    ended = run("verify", "r", "--json")
    assert kind in levels(ended)[level], ended.out
    assert ended.code == code
    report = json.loads(ended.out)
    assert all(f["where"] and f["what"] for f in report["findings"])
    assert report["verdict"] == ("sound" if level == "note" else report["findings"][0]["level"])
    assert run("verify", "r").code == code


def test_open_questions_are_named(run: Run, made: Path) -> None:
    lines(lambda ls: ls[:-2])(made)
    ended = run("verify", "r", "--json")
    (found,) = [f for f in json.loads(ended.out)["findings"] if f["kind"] == "open-questions"]
    assert found["details"] == {"judge": "own_judge:Judge", "questions": {"b2": {"3": [2, 3]}}}
    assert "item b2 tile 3 question 2, 3" in run("verify", "r").out.replace(
        "b2 tile", "item b2 tile"
    )


def test_fields_that_an_earlier_version_did_not_write_are_not_verified_and_no_fault(
    run: Run, made: Path
) -> None:
    path = made / f"{SCORES}/dsg.json"
    record = json.loads(path.read_text())
    for name in ("subset", "unanswered_items", "num_tiles", "answers"):
        record.pop(name)
    path.write_text(json.dumps(record))
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["judges"]["own_judge:Judge"].pop("questions_sha256")
    manifest["benchmark"].pop("questions_sha256")
    (made / "manifest.json").write_text(json.dumps(manifest))
    ended = run("verify", "r", "--json")
    assert ended.code == 6
    assert levels(ended).keys() == {"unverified"}
    assert {"other-version", "benchmark", "questions"} <= levels(ended)["unverified"]
    assert "could not be verified" in ended.error


def test_answers_that_came_after_a_score_make_it_stale(run: Run, made: Path) -> None:
    whole = (made / ANSWERS).read_text()
    lines(lambda ls: ls[:-2])(made)
    judge = made.parent / "own_judge.py"
    judge.write_text(judge.read_text().replace("time.sleep(0.0)", "raise RuntimeError"))
    sys.modules.pop("own_judge", None)
    assert run(*SCORE, "--partial").code == 0
    sys.modules.pop("own_judge", None)
    (made / ANSWERS).write_text(whole)
    for path in made.glob("scores/*/*.txt"):
        path.unlink()
    ended = run("verify", "r", "--json")
    assert levels(ended) == {"incomplete": {"stale-score"}}, ended.out
    assert ended.code == 6


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_bit_is_noticed_or_stands_in_the_list_of_what_cannot_be(
    made: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    from dpgbench.jobs.verify.run import verify

    monkeypatch.setenv("TQDM_DISABLE", "1")
    rng = random.Random(part)
    paths = sorted(path for path in made.rglob("*") if path.is_file() and path.stat().st_size)
    for _ in range(60):
        path = rng.choice(paths)
        data = path.read_bytes()
        place, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        found = verify(Path("r"))
        path.write_bytes(data)
        if found.verdict == "sound":
            assert unnoticed(path, data, place), (path.name, data[max(0, place - 30) : place + 9])


UNNOTICED = (
    "seconds", "created", "completed", "commands", "environment", "releases", "device",
    "class_name", "model", "questions_from", "path", "truncated_questions", "account",
)  # fmt: skip


def unnoticed(path: Path, data: bytes, place: int) -> bool:
    """Return whether docs/verify.md lists the field in which a byte stands."""
    if path.suffix == ".jsonl":
        before = data[data.rfind(b"\n", 0, place) + 1 : place + 1]
        return b'"seconds"' in before and b'"error"' not in before
    before = data[:place].decode("utf-8", "replace")
    names = [part.partition('"')[0] for part in before.split(' "')[1:] if '":' in part]
    return bool(set(names[-3:]) & set(UNNOTICED))


def test_a_process_at_work_is_told(run: Run, made: Path) -> None:
    from dpgbench.store.run.directory import RunDir

    hold = (
        "import sys, time; from pathlib import Path\n"
        "from dpgbench.store.run.directory import RunDir\n"
        "with RunDir(Path('r')).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        ended = run("verify", "r")
        assert f"process {holder.pid} is working in this run" in ended.out
        assert ended.code == 0
        (made / "images/a1.png").write_bytes(b"")
        refused = run("verify", "r", "--repair")
        assert refused.code == 2
        assert "in use by" in refused.error
        holder.communicate("")
    with RunDir(made).locked():
        pass
    assert "is working" not in run("verify", "r").out


def test_a_repair_killed_at_any_rename_goes_on(whole: Path, tmp_path: Path) -> None:
    for number in range(1, 20):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        damages = ("a grid is cut off", "an answer is no JSON", "an edited overall")
        for name in damages:
            DAMAGE[name][0](folder / "r")
        if start(folder, ("verify", "r", "--repair"), kill_at=number) in (3, 6):
            assert number > 3
            return
        assert start(folder, ("verify", "r", "--repair")) in (0, 6)
        (aside,) = {p.name for p in (folder / "r/set-aside").glob("*/images/a2.png")}
        assert aside
        for words in ((*GENERATE, "--bench", "b.csv"), SCORE):
            assert start(folder, words) == 0
        assert start(folder, ("verify", "r")) == 0
        shutil.rmtree(folder / "r/set-aside")
        assert kept(folder / "r") == kept(whole / "r")
    pytest.fail("the repair never ended undisturbed")


def test_a_grid_that_was_drawn_otherwise_takes_its_answers_along(run: Run, made: Path) -> None:
    DAMAGE["a grid is cut off"][0](made)
    assert run("verify", "r", "--repair").code == 6
    model = made.parent / "own_model.py"
    model.write_text(model.read_text().replace("(shade, seed, 7)", "(shade, seed, 8)"))
    sys.modules.pop("own_model", None)
    assert run(*GENERATED).code == 0
    ended = run("verify", "r", "--json")
    assert levels(ended)["damaged"] == {"redrawn"}
    assert run("verify", "r", "--repair").code == 6
    assert run(*SCORE).code == 0
    assert run("verify", "r").code == 0
    sys.modules.pop("own_model", None)


@pytest.fixture
def pictures(run: Run, tmp_path: Path) -> Iterator[Path]:
    """A folder of other people's pictures that was judged, as run `p`."""
    write_parts(tmp_path)
    (tmp_path / "mine").mkdir()
    for shade, item in enumerate(("a1", "a2", "b1", "b2")):
        Image.new("RGB", (8, 8), (shade, 0, 9)).save(tmp_path / f"mine/{item}.png")
    judge = ("--judge", "own_judge:Judge", "--device", "cpu", "--num-images", 1)
    assert run("score", "mine", "--bench", "b.csv", "--out", "p", *judge).code == 0
    yield tmp_path / "mine"


def test_pictures_of_others_are_compared_wherever_they_are(run: Run, pictures: Path) -> None:
    ended = run("verify", "p")
    assert ended.code == 0, ended.out
    assert "4 hashes" in ended.out
    pictures.rename(pictures.with_name("moved"))
    ended = run("verify", "p", "--json")
    assert ended.code == 6
    assert levels(ended) == {"unverified": {"images-elsewhere"}}
    assert run("verify", "p", "--images", "moved").code == 0
    Image.new("RGB", (8, 8), (99, 0, 9)).save("moved/a2.png")
    Path("moved/b2.png").unlink()
    ended = run("verify", "p", "--images", "moved", "--json")
    assert ended.code == 3
    assert levels(ended)["damaged"] == {"image-changed"}
    assert levels(ended)["incomplete"] == {"grid-gone"}
    assert run("verify", "p", "--images", "moved", "--repair").code == 3
    assert Path("moved/a2.png").exists()  # other people's files are theirs


def test_recorded_answers_are_compared_with_their_hash(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", [row(item, qid) for item in ("a", "b") for qid in (1, 2)])
    cells = [(item, tile, qid, "yes") for item in ("a", "b") for tile in (0, 1) for qid in (1, 2)]
    answers_csv(tmp_path / "a.csv", cells)
    words = ("score", "--bench", "b.csv", "--answers", "a.csv", "--out", "r")
    assert run(*words).code == 0
    assert run("verify", "r").code == 0
    path = Path("r/answers/replay.jsonl")
    before = path.read_bytes()
    path.write_bytes(before.replace(b'"yes"', b'"no"', 1))
    ended = run("verify", "r", "--json")
    assert ended.code == 3
    assert "answers-changed" in levels(ended)["damaged"]
    repaired = run("verify", "r", "--repair", "--json")
    assert json.loads(repaired.out)["commands"] == [f"dpgbench {' '.join(words)}"]
    assert run(*words).code == 0
    assert run("verify", "r").code == 0
    assert path.read_bytes() == before


def test_the_commands_of_a_copy_are_about_the_copy(run: Run, made: Path) -> None:
    """Wherever it lies and whatever it was called; the original is left alone."""
    copies = [
        made.with_name("a copy"),
        made.parent / "elsewhere/r",
        made.parent / "m/shards/1-of-2",
    ]
    for copy in copies:
        shutil.copytree(made, copy)
        (copy / "images/a1.png").write_bytes(b"")
        answers = next((copy / "answers").iterdir())
        answers.write_text(answers.read_text().replace('"yes"', '"yes', 1))
        repaired = json.loads(run("verify", copy, "--repair", "--json").out)
        draw, ask = [shlex.split(command)[1:] for command in repaired["commands"]]
        named = str(copy.parent.parent if copy.parent.name == "shards" else copy)
        assert draw == ["-q", *(named if word == "r" else word for word in GENERATED)]
        assert ask == ["-q", *(named if word == "r" else word for word in SCORE)]
    ended = run("verify", "r", "--repair", "--json")
    assert json.loads(ended.out)["commands"] == []


def test_a_reader_that_has_seen_enough_changes_no_exit_code(made: Path) -> None:
    command = f"{sys.executable} -m dpgbench verify r --json | head -c 5 > /dev/null; "
    for damage, code in (("", 0), ("x", 3)):
        with (made / "images/a1.png").open("a") as file:
            file.write(damage)
        with (made / "images.jsonl").open("a") as file:
            file.write("" if not damage else '{"item_id": "none", "sha256": 7}\n' * 3000)
        ended = subprocess.run(
            ["bash", "-c", f"{command} exit ${{PIPESTATUS[0]}}"],
            cwd=made.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == code, ended.stderr
        assert "something ended the command" not in ended.stderr
        assert "Broken" not in ended.stderr


def test_a_folder_that_is_no_run(run: Run, tmp_path: Path) -> None:
    assert run("verify", "nothing").code == 3
    (tmp_path / "x").mkdir()
    ended = run("verify", "x")
    assert ended.code == 3
    assert "manifest.json: it is missing" in ended.out


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts need root")
def test_a_read_only_run_can_be_looked_at_and_not_repaired(run: Run, made: Path) -> None:
    DAMAGE["a grid is cut off"][0](made)
    mounted = subprocess.run(
        ["mount", "--bind", made, made], capture_output=True, check=False
    ).returncode == 0 and subprocess.run(
        ["mount", "-o", "remount,bind,ro", made], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        subprocess.run(["umount", made], capture_output=True, check=False)
        pytest.skip("this machine allows no mounts")
    try:
        assert run("verify", "r").code == 3
        repair = run("verify", "r", "--repair")
        assert repair.code == 6
        assert "cannot write r" in repair.error
        assert "Read-only file system" in repair.error
    finally:
        subprocess.run(["umount", made], capture_output=True, check=True)


def test_shards_are_looked_at_and_repaired_like_runs(run: Run, made: Path) -> None:
    shard = made / "shards/1-of-2"
    words = [word if word != "r" else "r/shards/1-of-2" for word in GENERATED]
    assert run(*words, "--items", "a1,b1").code == 0
    ended = run("verify", "r", "--json")
    report = json.loads(ended.out)
    assert levels(ended) == {"note": {"shards"}}  # the run has these grids
    (of_shard,) = report["shards"]
    assert of_shard["findings"] == []  # it was never judged by itself, but the run was
    assert ended.code == 0

    (made / "images/b1.png").unlink()
    lines(lambda ls: [line for line in ls if '"b1"' not in line], "images.jsonl")(made)
    ended = run("verify", "r", "--json")
    assert ended.code == 6
    assert "shards" in levels(ended)["incomplete"]
    assert (
        "shards: 1 shard of 1 with work that is not in this run: 1-of-2" in run("verify", "r").out
    )

    (shard / "images/b1.png").write_bytes(b"")
    (shard / "images/a1.png").unlink()
    assert run("verify", "r").code == 3
    repaired = json.loads(run("verify", "r", "--repair", "--json").out)
    assert repaired["commands"] == ["dpgbench " + " ".join([*words, "--items", "a1,b1"])]
    assert run(*words, "--items", "a1,b1").code == 0
    assert not [f for f in repaired["shards"][0]["findings"] if f["level"] == "damaged"]


def test_a_score_of_nothing_follows_from_nothing(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path)
    (tmp_path / "own_broken.py").write_text(
        "class Model:\n    width_px = height_px = 8\n"
        "    def draw(self, prompt, seeds): raise RuntimeError('no idea')\n"
    )
    words = ("--model", "own_broken:Model", "--bench", "b.csv", "--out", "r", "--device", "cpu")
    assert run("generate", *words).code == 6
    assert run(*SCORE).code == 6
    ended = run("verify", "r", "--json")
    assert ended.code == 6
    assert levels(ended)["incomplete"] >= {"no-image"}
    assert not {"damaged", "unverified"} & levels(ended).keys(), ended.out


def test_a_merged_run_is_repaired_from_its_shards(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path)
    scored = (*SCORE[:4], "--device", "cpu")
    for shard in ("1/2", "2/2"):
        assert run(*GENERATED, "--shard", shard).code == 0
        assert run(*scored, "--shard", shard).code == 0
    ended = run("verify", "r", "--json")
    assert (ended.code, levels(ended)) == (6, {"incomplete": {"shards"}})
    assert run("merge", "r").code == 0
    assert run(*scored).code == 0
    ended = run("verify", "r", "--json")
    assert (ended.code, levels(ended)) == (0, {"note": {"shards"}})
    before = kept(Path("r"))

    grid = Path("r/images/a2.png")
    grid.write_bytes(grid.read_bytes()[:70] + b"xx" + grid.read_bytes()[72:])  # the shard's, too
    DAMAGE["an answer is no JSON"][0](Path("r"))
    repaired = json.loads(run("verify", "r", "--repair", "--json").out)
    assert len(repaired["set_aside"]) == 2
    commands = [shlex.split(command)[1:] for command in repaired["commands"]]
    assert [words[0] for words in commands] == ["generate", "merge", "score"]
    for words in commands:
        assert run(*words).code == 0, words
    assert run("verify", "r").code == 0
    for path in [Path("r/set-aside"), *Path("r/shards").glob("*/set-aside")]:
        shutil.rmtree(path)
    after = kept(Path("r"))
    changed = {name for name in before if before[name] != after.get(name)}
    # of the image log, the seconds that the grid took
    assert {Path(name).name for name in changed} <= {"manifest.json", "images.jsonl"}

"""`--shard I/N` and `dpgbench merge`: parts of a run, done apart, make the run that one makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.store.files import json_line
from tests.cli.own_parts import ITEMS, write_parts
from tests.cli.processes import content, start
from tests.helpers import REPOSITORY, Run, json_lines

DRAW = ("generate", "--model", "own_model:Model", "--bench", "b.csv", "--device", "cpu")
ASK = ("--judge", "own_judge:Judge", "--device", "cpu")


def scores_and_answers(run: Path) -> dict[str, bytes]:
    files = [*run.glob("scores/*/*"), *run.glob("answers/*"), *run.glob("images/*")]
    assert any("scores" in path.parts for path in files)
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}


def logged(run: Path) -> list[dict[str, Any]]:
    return [{**line, "seconds": None} for line in json_lines(run / "images.jsonl")]


def manifest(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return record


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `local`, a run of one process, and `m`, drawn and judged in three shards."""
    folder = tmp_path_factory.mktemp("drawn")
    write_parts(folder)
    assert start(folder, (*DRAW, "--out", "local")) == 0
    assert start(folder, ("score", "local", *ASK)) == 0
    for number in (1, 2, 3):
        assert start(folder, (*DRAW, "--out", "m", "--shard", f"{number}/3")) == 0
        assert start(folder, ("score", "m", *ASK, "--shard", f"{number}/3")) == 0
    return folder


@pytest.fixture
def parts(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    return tmp_path


def shard(parts: Path, number: int, of: int = 3) -> Path:
    return parts / "m/shards" / f"{number}-of-{of}"


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1/0", "", "1", "-1/3", "1/3/5", "١/٣"])
def test_what_is_no_shard_is_one_line(run: Run, tmp_path: Path, text: str) -> None:
    write_parts(tmp_path)
    for words in ((*DRAW, "--out", "m"), ("score", "m", *ASK)):
        ended = run(*words, f"--shard={text}")
        assert ended.code == 2
        assert "write I/N" in ended.error


EMBEDDED = ("generate", "--model", "tiny-sd15", "--bench", "shapes", "--limit", 4, "--device")
EMBEDDED = (*EMBEDDED, "cpu", "--steps", 2, "--num-images", 2)
TINY = ("--judge", "tiny-mplug", "--device", "cpu")


def test_shards_of_the_embedded_world_equal_one_process_in_every_byte(
    run: Run, tmp_path: Path
) -> None:
    """In 1, 3 and 7 shards, of which the last have no items; judged as shards of the merged run."""
    assert run(*EMBEDDED, "--out", "local").code == 0
    assert run("score", "local", *TINY).code == 0
    local = manifest(tmp_path / "local")
    for of in (1, 3, 7):
        shards = [f"{number}/{of}" for number in range(1, of + 1)]
        out = tmp_path / f"m{of}"
        for part in reversed(shards):
            assert run(*EMBEDDED, "--out", out, "--shard", part).code == 0
        assert run("merge", out).code == 0
        for part in shards:
            ended = run("score", out, *TINY, "--shard", part)
            assert ended.code == 0, ended.err
        assert not (out / "scores").exists()
        assert run("merge", out).code == 0
        ended = run("score", out, *TINY)
        assert ended.code == 0, ended.err
        assert scores_and_answers(out) == scores_and_answers(tmp_path / "local")
        assert logged(out) == logged(tmp_path / "local")
        record = manifest(out)
        for name in ("items", "notes", "judges", "identity_hash", "benchmark", "environment"):
            assert record[name] == local[name]
        for name in ("truncation", "failed", "device", "weights"):
            assert record["generation"].get(name) == local["generation"].get(name)
        assert len(record["commands"]) == 2 * of + 2 + 1
        ended = run("verify", out)
        assert ended.code == 0, ended.out


def test_a_shard_without_items_is_scored_reported_and_sound(run: Run) -> None:
    one = ("--bench", "shapes", "--items", "few_000", "--steps", "1")
    assert run("generate", "--model", "tiny-sd15", *one, "--out", "z", "--shard", "2/2").code == 0
    empty = "z/shards/2-of-2"
    assert run("score", empty, *TINY).code == 0
    assert run("report", empty, "--out", "report").code == 0
    text = Path("report/leaderboard.html").read_text(encoding="utf-8")
    assert "No run of this table has an item, so there is no score." in text
    assert "damaged" not in run("verify", empty).out


def test_shards_of_other_folders_and_other_numbers_are_merged_as_items(
    run: Run, parts: Path
) -> None:
    """Two shards of three, and four of four in folders of their own: some items twice."""
    for number in (1, 2, 3, 4):
        assert run(*DRAW, "--out", f"n{number}", "--shard", f"{number}/4").code == 0
        assert run("score", f"n{number}", *ASK, "--shard", f"{number}/4").code == 0
    shutil.rmtree(shard(parts, 1))
    ended = run("merge", "m", "n1", "n2", "n3", "n4", "--out", "all")
    assert ended.code == 0, ended.err
    assert run("score", "all", *ASK).code == 0
    assert scores_and_answers(parts / "all") == scores_and_answers(parts / "local")
    assert "--out" in run("merge", "n1", "n2").error


def test_a_folder_of_images_is_judged_in_shards(run: Run, parts: Path) -> None:
    images = ("score", "local/images", "--bench", "b.csv", *ASK)
    assert run(*images, "--out", "one").code == 0
    for number in (3, 1, 2):
        ended = run(*images, "--out", "many", "--shard", f"{number}/3")
        assert ended.code == 0, ended.err
    assert "dpgbench merge many" in run(*images, "--out", "many").error
    assert run("merge", "many").code == 0
    assert run("score", "many", *ASK).code == 0
    assert scores_and_answers(parts / "many") == scores_and_answers(parts / "one")
    assert logged(parts / "many") == logged(parts / "one")


def test_the_size_of_images_is_that_of_all_shards(run: Run, parts: Path) -> None:
    """A shard whose images are all smaller than the others judges none of them."""
    images = ("score", "sizes", "--bench", "b.csv", *ASK)
    shutil.copytree(parts / "local/images", parts / "sizes")
    Image.open(parts / "sizes/a2.png").resize((4, 4)).save(parts / "sizes/a2.png")
    assert run(*images, "--out", "one").code == 6
    codes = [run(*images, "--out", "many", "--shard", f"{n}/3").code for n in (1, 2, 3)]
    assert codes == [0, 3, 0]
    assert "shard 2/3 is missing" in run("merge", "many").error
    assert run("score", "many", *ASK).code == 6
    assert scores_and_answers(parts / "many") == scores_and_answers(parts / "one")


def test_a_shard_sent_again_after_merging_leaves_nothing_open(run: Run, parts: Path) -> None:
    """What the run has answers to is not asked in a shard again, and not missing there."""
    for number in (1, 2, 3):
        shutil.rmtree(shard(parts, number) / "answers")
        change(shard(parts, number) / "manifest.json", lambda record: record.update(judges={}))
    assert run("merge", "m").code == 0
    assert run("score", "m", *ASK).code == 0
    assert run("score", "m", *ASK, "--shard", "1/3").code == 0
    assert run(*DRAW, "--out", "m", "--shard", "1/2").code == 0
    ended = run("verify", "m")
    assert ended.code == 0, ended.out


def test_what_cannot_be_merged_does_not_keep_a_run_from_being_scored(run: Run, parts: Path) -> None:
    """A file of the file system's own, a stray and a damaged grid are no images to merge."""
    images = shard(parts, 1) / "images"
    (images / ".nfs0001").touch()
    (images / "stray.png").write_bytes((images / "a1.png").read_bytes())
    (images / "a1.png").write_bytes(b"")
    assert run("merge", "m").code == 6
    assert run("score", "m", *ASK).code in (0, 6)  # not 2, which would send back to merging
    (images / "a1.png").write_bytes((parts / "local/images/a1.png").read_bytes())
    assert "dpgbench merge m" in run("score", "m", *ASK).error


def test_a_grid_is_drawn_again_where_shards_have_only_answers(run: Run, parts: Path) -> None:
    assert run("score", "local", *ASK, "--shard", "1/2").code == 0
    (parts / "local/images/a1.png").write_bytes(b"")
    repaired = json.loads(run("verify", "local", "--repair", "--json").out)
    assert ["generate" in command for command in repaired["commands"]] == [True]


def test_a_shard_that_is_none_by_its_manifest_is_one_line(run: Run, parts: Path) -> None:
    shutil.rmtree(shard(parts, 2))
    change(shard(parts, 1) / "manifest.json", lambda r: r["generation"]["shard"].update(of=0))
    ended = run("merge", "m")
    assert ended.code == 3
    assert "generation.shard.of" in ended.error


def test_what_is_not_merged_is_not_scored_drawn_or_reported(run: Run, parts: Path) -> None:
    for words in (("score", "m", *ASK), ("report", "m"), ("compare", "m", "local")):
        ended = run(*words)
        assert ended.code == 2
        assert "dpgbench merge m" in ended.error
    assert "dpgbench merge m" in run(*DRAW, "--out", "m").error
    assert "1/3, 2/3, 3/3" in run("score", "m", *ASK, "--shard", "1/2").error
    late = shard(parts, 3) / "answers"
    late.rename(parts / "late")
    assert run("merge", "m").code == 6
    (parts / "late").rename(late)
    assert "dpgbench merge m" in run("score", "m", *ASK).error  # it would ask them again
    assert run("merge", "m").code == 0
    assert run("score", "m", *ASK).code == 0
    assert scores_and_answers(parts / "m") == scores_and_answers(parts / "local")


def test_shards_that_are_missing_or_in_use_are_said_and_the_others_kept(
    run: Run, parts: Path
) -> None:
    from dpgbench.store.run.directory import RunDir

    shutil.rmtree(shard(parts, 2))
    with RunDir(shard(parts, 3)).locked():
        ended = run("merge", "m", "--json")
    assert ended.code == 6
    assert "2 items are not finished, first a2: shard 2/3 is missing" in ended.error
    told = json.loads(ended.out)
    assert sorted(told["incomplete"]) == ["a2", "b1"]
    assert "shards/3-of-3 is in use by" in told["incomplete"]["b1"]
    assert told["images"] == 2
    assert manifest(parts / "m")["items"] == list(ITEMS)  # what the run set out to do
    ended = run("score", "m", *ASK)
    assert "3/3 has images that are not merged" in ended.error
    assert run(*DRAW, "--out", "m", "--shard", "2/3").code == 0  # done again: one grid
    assert run("merge", "m").code == 6
    assert run("score", "m", *ASK, "--shard", "2/3").code == 0
    assert run("merge", "m").code == 0
    assert run("score", "m", *ASK).code == 0
    assert scores_and_answers(parts / "m") == scores_and_answers(parts / "local")


def test_a_failed_item_of_one_shard_is_healed_by_another(run: Run, parts: Path) -> None:
    (shard(parts, 2) / "images/a2.png").unlink()
    log = shard(parts, 2) / "images.jsonl"
    log.write_text(json_line({"item_id": "a2", "sha256": None, "error": "out of memory"}))
    change(
        shard(parts, 2) / "manifest.json",
        lambda record: record["generation"].update(failed={"a2": "out of memory"}),
    )
    ended = run("merge", "m")
    assert ended.code == 6
    assert "first a2: out of memory" in ended.error
    assert manifest(parts / "m")["generation"]["failed"] == {"a2": "out of memory"}
    assert run(*DRAW, "--out", "m", "--shard", "2/4").code == 0
    assert run("merge", "m").code == 0
    assert manifest(parts / "m")["generation"]["failed"] == {}
    assert logged(parts / "m") == logged(parts / "local")


def test_different_answers_are_an_error_with_both(run: Run, parts: Path) -> None:
    assert run(*DRAW, "--out", "m", "--shard", "1/1").code == 0
    assert run("score", "m", *ASK, "--shard", "1/1").code == 0
    path = next((shard(parts, 3) / "answers").glob("*"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1].replace('"no"', '"yes"'), *lines[2:]]))
    before = sorted(parts.rglob("*"))
    ended = run("merge", "m")
    assert ended.code == 3
    other = next((shard(parts, 1, 1) / "answers").glob("*"))
    for text in (f"{path.relative_to(parts)} line 2", f"{other.relative_to(parts)} line 26"):
        assert text in ended.error
    for text in ("item b1 tile 0", '"answer": "yes"', '"answer": "no"'):
        assert text in ended.error
    assert [p for p in sorted(parts.rglob("*")) if p.name not in (".lock",)] == [
        p for p in before if p.name not in (".lock",)
    ]  # nothing was written
    path.write_text("".join(lines))
    assert run("merge", "m").code == 0


def test_what_was_asked_again_takes_the_place_of_what_was_neither_yes_nor_no(
    run: Run, parts: Path
) -> None:
    """Asked as a shard of the merged run, whose answer is older; a valid one is never replaced."""
    for path in [next((shard(parts, n) / "answers").glob("*")) for n in (1, 3)]:
        first, *others = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*others, json_line({**json.loads(first), **UNCLEAR})]))
    assert run("merge", "m").code == 0
    answers = next((parts / "m/answers").glob("*"))
    assert sum("invalid" in line for line in json_lines(answers)) == 2
    for number in (1, 2, 3):
        ended = run("score", "m", *ASK, "--shard", f"{number}/3", "--ask-invalid-again")
        assert ended.code == 0, ended.err
    assert run("merge", "m").code == 0
    assert answers.read_text() == next((parts / "local/answers").glob("*")).read_text()
    # Two answers that are neither, of the run and of one of its shards: the newer one counts.
    path = next((shard(parts, 1) / "answers").glob("*"))
    for older, newer in (("what?", "who?"), ("who?", "where?")):
        for which, text in ((answers, older), (path, newer)):
            lines = json_lines(which)
            lines[0] = {**lines[0], **UNCLEAR, "answer": text}
            which.write_text("".join(map(json_line, lines)))
        assert run("merge", "m").code == 0
        assert json_lines(answers)[0]["answer"] == newer


UNCLEAR = {"answer": "perhaps", "invalid": True}


def test_different_images_are_an_error_with_both(run: Run, parts: Path) -> None:
    assert run(*DRAW, "--out", "m", "--shard", "1/1").code == 0
    log = shard(parts, 3) / "images.jsonl"
    record = json_lines(log)[0]
    shutil.copy(parts / "local/images/a1.png", shard(parts, 3) / "images/b1.png")
    log.write_text(json_line({**record, "sha256": "0" * 64}))
    ended = run("merge", "m")
    assert ended.code == 3
    for text in ("item b1", "0" * 64, record["sha256"], "3-of-3", "1-of-1"):
        assert text in ended.error


@pytest.mark.parametrize("what", ["settings", "judge"])
def test_other_settings_are_no_shard_of_the_run(run: Run, parts: Path, what: str) -> None:
    if what == "settings":
        shutil.rmtree(shard(parts, 2))
        assert run(*DRAW, "--out", "m", "--shard", "2/3", "--seed", 2).code == 0
        wanted = "generation.base_seed: 0 -> 2"
    else:
        change(
            shard(parts, 2) / "manifest.json",
            lambda record: record["judges"]["own_judge:Judge"].update(decode="loose"),
        )
        wanted = 'decode: (absent) -> "loose"'
    ended = run("merge", "m")
    assert ended.code == 5
    assert wanted in ended.error
    assert "m/shards/1-of-3" in ended.error
    assert "m/shards/2-of-3" in ended.error
    assert not (parts / "m/manifest.json").exists()


def test_costs_cuts_notes_and_commands_are_counted_once_however_often_it_is_merged(
    run: Run, parts: Path
) -> None:
    def spend(number: int, requests: int) -> None:
        def edit(record: dict[str, Any]) -> None:
            judge = record["judges"]["own_judge:Judge"]
            judge["account"] = {"requests": requests, "models": [f"v{number}"]}
            item = record["items"][0]
            record["generation"]["truncation"].update(limit=77, truncated=1, items=[item])
            record["notes"] += ["of all", f"of {number}"]
            record["generation"]["single_colour"] = {"tiles": 1, "items": {item: [number]}}

        change(shard(parts, number) / "manifest.json", edit)

    for number in (1, 2, 3):
        spend(number, 10**number)
    for _ in range(2):
        assert run("merge", "m").code == 0
        record = manifest(parts / "m")
        account = record["judges"]["own_judge:Judge"]["account"]
        assert account == {"requests": 1110, "models": ["v1", "v2", "v3"]}
        cut = record["generation"]["truncation"]
        assert cut == {"limit": 77, "truncated": 3, "prompts": 4, "items": ["a1", "a2", "b1"]}
        assert record["generation"]["single_colour"]["items"] == {"a1": [1], "a2": [2], "b1": [3]}
        assert record["notes"].count("of all") == 1
        assert {f"of {number}" for number in (1, 2, 3)} <= set(record["notes"])
    commands = [text for text in record["commands"] if "merge" not in text]
    assert len(commands) == len(set(commands)) == 6
    spend(2, 105)  # asked again since
    assert run("merge", "m").code == 0
    account = manifest(parts / "m")["judges"]["own_judge:Judge"]["account"]
    assert account["requests"] == 1115


def test_a_shard_under_two_names_is_counted_once(run: Run, parts: Path) -> None:
    def spend(path: Path, requests: int) -> None:
        def edit(record: dict[str, Any]) -> None:
            record["judges"]["own_judge:Judge"]["account"] = {"requests": requests}

        change(path / "manifest.json", edit)

    for number in (1, 2, 3):
        spend(shard(parts, number), 10**number)
    shutil.copytree(shard(parts, 2), parts / "copy")  # brought from another machine before
    spend(parts / "copy", 90)
    sources = [shard(parts, number) for number in (1, 2, 3)]
    for names in ([*sources, parts / "copy"], [parts / "copy", *sources]):
        assert run("merge", *names, "--out", "all").code == 0
        record = manifest(parts / "all")
        assert record["judges"]["own_judge:Judge"]["account"] == {"requests": 1110}
        commands = [text for text in record["commands"] if "merge" not in text]
        assert len(commands) == len(set(commands)) == 6


def test_reports_say_that_shards_are_newer_than_their_run(run: Run, parts: Path) -> None:
    assert run("merge", "m").code == 0
    assert run("score", "m", *ASK).code == 0
    for words in (("report", "m", "local"), ("compare", "m", "local")):
        assert "not merged" not in run(*words).err
    path = next((parts / "m/answers").glob("*"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))  # as if its shard had been asked since
    for words in (("report", "m", "local"), ("compare", "m", "local", "--no-verify")):
        err = run(*words).err
        assert "m: 1 shard (first: 1/3) with work that is not merged" in err
        assert "dpgbench merge m" in err


def test_nothing_is_deleted_and_grids_take_no_room_twice(run: Run, parts: Path) -> None:
    before = {p: p.read_bytes() for p in (parts / "m/shards").rglob("*") if p.suffix != ".lock"
              and p.is_file() and p.name != ".lock"}  # fmt: skip
    ended = run("merge", "m", "--json")
    assert {path: path.read_bytes() for path in before} == before
    told = json.loads(ended.out)
    images = [*(parts / "m/shards").rglob("*.png")]
    assert told["shared_bytes"] == sum(path.stat().st_size for path in images)
    assert told["shards_bytes"] > told["shared_bytes"]
    assert all(path.stat().st_nlink == 2 for path in images)
    shutil.rmtree(parts / "m/shards")
    assert run("score", "m", *ASK).code == 0
    assert scores_and_answers(parts / "m") == scores_and_answers(parts / "local")


def test_after_a_kill_at_any_rename_the_same_merge_goes_on(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "whole")
    assert start(tmp_path / "whole", ("merge", "m")) == 0
    wanted = content(tmp_path / "whole/m")
    for number in range(1, 20):
        folder = tmp_path / str(number)
        shutil.copytree(drawn, folder)
        if start(folder, ("merge", "m"), kill_at=number) == 0:
            assert number > 7  # the manifest twice, four grids, the log, the answers
            return
        assert start(folder, ("merge", "m")) == 0
        assert content(folder / "m") == wanted
    pytest.fail("the command never ended undisturbed")


def test_the_array_of_jobs_in_the_docs_runs(drawn: Path, tmp_path: Path) -> None:
    """Its script, of two jobs, with a small model and judge in place of the real ones."""
    page = (REPOSITORY / "docs/clusters.md").read_text()
    (script,) = re.findall(r"```\n(#!/bin/bash\n.*?)```", page, re.S)
    for old, new in (
        ("/16", "/2"),
        ("--model ella-sd15", "--model own_model:Model --bench b.csv --device cpu"),
        ('score "$SCRATCH/ella"', f'score "$SCRATCH/ella" {" ".join(ASK)}'),
        ("srun dpgbench", f"{shlex.quote(sys.executable)} -m dpgbench"),
    ):
        assert old in script
        script = script.replace(old, new)
    write_parts(tmp_path)
    for number in ("1", "2"):
        variables = {**os.environ, "SCRATCH": str(tmp_path), "SLURM_ARRAY_TASK_ID": number}
        ended = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=variables, capture_output=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert json_lines(tmp_path / f"logs/{number}.jsonl")[-1]["exit_code"] == 0
    assert start(tmp_path, ("merge", "ella")) == 0
    assert start(tmp_path, ("score", "ella", *ASK)) == 0
    assert scores_and_answers(tmp_path / "ella") == scores_and_answers(drawn / "local")

"""`dpgbench status` and `--log-json`: how far a command is, for people and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.cli.processes import begin
from tests.helpers import Run, json_lines

DRAW = (*GENERATE, "--bench", "b.csv")


FAULTY = tuple(word.replace("own_model", "model_of_status") for word in DRAW)


def write_faulty_parts(folder: Path) -> None:
    """Put a model beside the others that cannot draw item a2."""
    write_parts(folder)
    model = (folder / "own_model.py").read_text()
    model = model.replace("time.sleep", '"a2" in prompt and 1 / 0; time.sleep')
    (folder / "model_of_status.py").write_text(model)


def state(run: Run, path: str = "r") -> dict[str, Any]:
    ended = run("status", path, "--json")
    assert ended.code == 0, ended.err
    told: dict[str, Any] = json.loads(ended.out)
    return told


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="starts a process as on Unix")
def test_a_run_is_watched_while_it_is_drawn_and_after_a_kill(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path, pause=4)
    process = begin(tmp_path, DRAW)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("r/images/*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        told = state(run)
        assert told["state"] == "working"
        assert told["owner"].startswith(f"process {process.pid} on ")
        assert 1 <= told["images"] < told["items"] == len(ITEMS)
        assert told["progress"]["total"] == len(ITEMS)
        assert told["progress"]["unit"] == "grid"
        shown = run("status", "r").out
        assert f"process {process.pid}" in shown
    finally:
        process.kill()
        process.communicate(timeout=30)
    with (tmp_path / "r/images.jsonl").open("a") as log:
        log.write('{"item_id": "b')  # torn, as the kill may leave it
    before = files(tmp_path / "r")
    told = state(run)
    assert (told["state"], told["progress"]) == ("killed", None)
    assert "the same command again goes on" in run("status", "r").out
    assert files(tmp_path / "r") == before
    write_parts(tmp_path)
    assert run(*DRAW).code == 0
    assert run(*SCORE).code == 0
    told = state(run)
    assert (told["state"], told["owner"], told["images"]) == ("idle", None, 4)
    assert told["judges"] == {"own_judge:Judge": {"answers": 48, "questions": 48}}
    assert not (tmp_path / "r/.progress.json").exists()


def test_shards_have_a_line_each_and_a_sum(run: Run, tmp_path: Path) -> None:
    write_faulty_parts(tmp_path)
    for number in (1, 2):
        assert run(*FAULTY, "--shard", f"{number}/3").code == (6 if number == 2 else 0)
    told = state(run)
    assert told["state"] == "unmerged"
    assert (told["items"], told["images"]) == (3, 2)
    assert list(told["failed"]) == ["a2"]
    assert [shard["images"] for shard in told["shards"]] == [2, 0]
    shown = run("status", "r").out
    assert "r/shards/2-of-3: 0/1 grids" in shown
    assert "1 item failed, first a2: ZeroDivisionError: division by zero" in shown
    assert "dpgbench merge r" in shown
    assert run("merge", "r").code == 6
    assert state(run)["images"] == 2


def test_what_is_no_run_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("status", "nowhere").code == 3
    ended = run("status", "empty")
    assert ended.code == 2
    assert "no manifest.json" in ended.error


def test_events_are_told_as_json_lines(run: Run, tmp_path: Path) -> None:
    write_faulty_parts(tmp_path)
    assert run(*FAULTY, "--log-json", "logs/log").code == 6
    events = json_lines(tmp_path / "logs/log")
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert events[-1]["exit_code"] == 6
    assert "a2" in events[-1]["error"]
    (failure,) = (event for event in events if event["event"] == "failure")
    assert (failure["item_id"], failure["reason"]) == ("a2", "ZeroDivisionError: division by zero")
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["done"], last["total"], last["failed"], last["unit"]) == (4, 4, 1, "grid")
    assert all(event["time"].endswith("+00:00") for event in events)
    run(*SCORE, "--log-json", "logs/log", "--limit", 1)
    later = json_lines(tmp_path / "logs/log")
    assert later[: len(events)] == events  # appended
    assert later[-1]["work"] == "score"
    last = [event for event in later if event["event"] == "progress"][-1]
    assert (last["of"], last["done"], last["items_done"]) == ("own_judge:Judge", 12, 1)
    assert run(*SCORE, "--rule", "no-such", "--log-json", "logs/log").code == 2
    assert json_lines(tmp_path / "logs/log")[-1]["exit_code"] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("path", ["/dev/full", "b.csv/log"])
def test_a_log_that_cannot_be_written_ends_nothing(run: Run, tmp_path: Path, path: str) -> None:
    write_parts(tmp_path)
    ended = run(*DRAW, "--log-json", path)
    assert ended.code == 0
    assert ended.err.count("the work goes on without it") == 1


def test_a_line_that_was_torn_by_a_full_disk_harms_no_other(tmp_path: Path) -> None:
    from dpgbench.jobs.events import EventLog

    log = EventLog(tmp_path / "log")
    log.write("start", work="generate")
    with (tmp_path / "log").open("a") as file:
        file.write('{"time": "20')
    log._torn = True
    log.write("end", exit_code=0)
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[0])["event"] == "start"
    assert json.loads(lines[-1])["event"] == "end"


def test_events_are_appended_to_no_file_of_a_run(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path)
    assert run(*DRAW).code == 0
    for name in ("manifest.json", "images.jsonl"):
        before = (tmp_path / "r" / name).read_bytes()
        ended = run(*DRAW, "--log-json", f"r/{name}")
        assert ended.code == 2
        assert "something else than events" in ended.error
        assert (tmp_path / "r" / name).read_bytes() == before

"""`--engine ray`: what a run holds is what one process makes, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpgbench.engine.ray_process import RayActor
from dpgbench.engine.ray_workers import WorkerPatience
from tests.engine.parts import ASK, DRAW, PIPELINE, content, lines, pixels, trouble, write_parts
from tests.helpers import Ended, Run, json_lines, row, write_csv

TINY = ("generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "2")
KILL = "os._exit(9)"
BOTH_THERE = "while len(set(open('loads').readlines())) < 2: time.sleep(0.02)"


@pytest.fixture
def ray_words(cluster: Any) -> tuple[str, ...]:
    """Options for two workers of the cluster."""
    return ("--engine", "ray", "--workers", "2", "--address", str(cluster.address))


@pytest.fixture
def one_worker(ray_words: tuple[str, ...]) -> tuple[str, ...]:
    """Options for one worker of the cluster."""
    return tuple("1" if word == "2" else word for word in ray_words)


def both(run: Run, *words: str) -> tuple[Ended, Ended]:
    """Draw and judge a run; return how the commands ended."""
    return run(*DRAW, "r", *words), run("score", "r", *ASK, *words)


def undisturbed(run: Run, folder: Path) -> dict[str, Any]:
    """Return what one process makes of the same parts."""
    for code in both(run):
        assert code.code == 0, code.err
    made = content(folder / "r")
    (folder / "r").rename(folder / "local")
    for name in ("loads", "drawn", "asked"):
        (folder / name).unlink()
    return made


@pytest.mark.parametrize("more", [(), pytest.param(("--shared-storage",), marks=pytest.mark.slow)])
def test_two_workers_make_the_same_files(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...], more: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 9, pause="0.05")
    wanted = undisturbed(run, tmp_path)
    (tmp_path / "all").write_text(BOTH_THERE)  # however long the second takes to start
    drew = run(*DRAW, "r", *ray_words, *more)
    assert str(os.getpid()) not in lines(tmp_path / "loads")
    (tmp_path / "loads").unlink()
    asked = run("score", "r", *ASK, *ray_words, *more)
    assert (drew.code, asked.code) == (0, 0), drew.err + asked.err
    assert content(tmp_path / "r") == wanted
    assert drew.out == "9 grids drawn, 0 there before: r\n"
    for name, column in (("drawn", 1), ("asked", 2)):
        worked = [line.split() for line in lines(tmp_path / name)]
        assert len({words[column] for words in worked}) == 2
        assert max(Counter(" ".join(words[:column]) for words in worked).values()) == 1
    assert drew.err.count("loaded with care") == 1  # each worker said it
    assert "prompts are longer than the text encoder's 5 tokens" in drew.err
    assert "1 tile of 1 item is of one single colour" in drew.err
    for err in (drew.err, asked.err):
        assert "ray" not in err.lower().replace("--engine ray", "")
    (record,) = wanted["manifest.json"]["judges"].values()
    assert record["account"] == {"questions": 9 * 4 * 3}  # a sum over workers, here of one
    assert record["truncated_questions"] == 9 * 4


class Killer(threading.Thread):
    """Kills the process that worked last, whenever so many more lines of work were noted."""

    def __init__(self, folder: Path, num_lines: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.num_lines = folder, num_lines
        self.killed, self.ended = list[int](), threading.Event()

    def run(self) -> None:
        seen = 0
        while not self.ended.wait(0.02):
            worked = lines(self.folder / "drawn") + lines(self.folder / "asked")
            if len(worked) < seen + self.num_lines:
                continue
            seen, pid = len(worked), int(worked[-1].split()[-1])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


@pytest.mark.parametrize(("command", "num_lines"), [("generate", 6), ("score", 14)])
def test_workers_that_are_killed_now_and_then_are_replaced(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...], command: str, num_lines: int
) -> None:
    """Drawing workers and judging ones; a batch of a judge is two grids, eight lines of work."""
    write_parts(tmp_path, 8)
    wanted = undisturbed(run, tmp_path)
    if command == "score":
        assert run(*DRAW, "r").code == 0
        (tmp_path / "drawn").unlink()
    (tmp_path / "pause").write_text("0.1" if command == "generate" else "0.05")
    killer = Killer(tmp_path, num_lines)
    killer.start()
    words = (*DRAW, "r") if command == "generate" else ("score", "r", *ASK)
    ended = run(*words, *ray_words)
    killer.ended.set()
    assert ended.code == 0, ended.err
    assert killer.killed
    assert ended.err.count("a worker ended over") == len(killer.killed)
    assert ended.err.count("done again;") == len(killer.killed)
    if command == "generate":
        assert run("score", "r", *ASK).code == 0
    made = content(tmp_path / "r")
    if command == "score":  # of the process that was killed nobody heard what it had cost
        for record in (made["manifest.json"], wanted["manifest.json"]):
            assert next(iter(record["judges"].values())).pop("account")
    assert made == wanted


def test_an_item_that_ends_its_workers_fails_alone(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 4)
    trouble(tmp_path, i2=KILL)
    drew = run(*DRAW, "r", *one_worker)
    assert drew.code == 6
    assert drew.error.startswith("error: 1 item is not drawn, first i2: its worker ended 3 times")
    drawn = Counter(line.split()[0] for line in lines(tmp_path / "drawn"))
    # With the worker that an item ended the answer about the one before may be lost: that one is
    # drawn again, alone, and the end does not count against the item.
    assert drawn.pop("i2") in (3, 4)
    assert drawn.keys() == {"i0", "i1", "i3"}
    assert max(drawn.values()) <= 2


@pytest.mark.slow
def test_a_tile_that_ends_its_judges_fails_with_its_item_alone(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 5)
    assert run(*DRAW, "r").code == 0
    trouble(tmp_path, i4_1=KILL)
    asked = run("score", "r", *ASK, *one_worker)
    assert asked.code == 6
    assert "i4: its worker ended 3 times" in asked.err
    answers = next((tmp_path / "r/answers").iterdir()).read_text()
    assert {line.split('"')[3] for line in answers.splitlines()} == {"i0", "i1", "i2", "i3"}


def test_what_a_model_raises_is_recorded_as_in_one_process(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 8)
    odd = (
        "class Odd(Exception):\n  def __init__(self, a, b): super().__init__(a)\nraise Odd('x', 2)"
    )
    trouble(
        tmp_path,
        i0="raise ValueError('no\\n  luck')",
        i1="raise __import__('dpgbench').errors.DataError('not this one')",
        i3=odd,
        i5="seeds[:] = [] # too few",
        i6="raise MemoryError('enough')",
        i7="raise ConnectionResetError('the download died')",
    )
    here = run(*DRAW, "here", "--num-images", "1")
    there = run(*DRAW, "there", "--num-images", "1", *one_worker)
    assert here.code == there.code == 6
    assert here.error == there.error
    made = content(tmp_path / "there")
    assert made == content(tmp_path / "here")
    assert sum(line["error"] is not None for line in made["images.jsonl"]) == 6
    assert "the same command tries what failed again" in there.error


def test_several_prompts_a_call_draw_as_in_one_process(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    words = (*TINY, "--bench", "b.csv", "--num-images", "2", "--batch-size", "4", "--out")
    write_csv(tmp_path / "b.csv", [row(f"i{n}", 1, text=f"{n} red circles") for n in range(6)])
    here, there = run(*words, "here"), run(*words, "there", *one_worker)
    assert (here.code, there.code) == (0, 0), there.err
    made, wanted = pixels(tmp_path / "there"), pixels(tmp_path / "here")
    assert made.keys() == wanted.keys() == {f"i{n}" for n in range(6)}
    assert max(int(np.abs(made[name] - wanted[name]).max()) for name in wanted) <= 1
    batch = json.loads((tmp_path / "there/manifest.json").read_text())["generation"]["batch"]
    assert batch["asked"] == 4
    assert batch["items_by_images_in_call"] == {"6": 6}  # two shares of equal size a worker


@pytest.mark.slow
def test_what_fails_within_a_pipeline_costs_its_item_as_in_one_process(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    (tmp_path / "my_model.py").write_text(PIPELINE)
    names = ("one", "odd", "blank", "much", "two")
    write_csv(tmp_path / "b.csv", [row(name, 1, text=f"a {name} circle") for name in names])
    here = run(*DRAW, "here", "--num-images", "2")
    there = run(*DRAW, "there", "--num-images", "2", *one_worker)
    assert (here.code, here.error) == (there.code, there.error)
    assert there.code == 6
    failed = json.loads((tmp_path / "there/manifest.json").read_text())["generation"]["failed"]
    assert "out of memory with a single image at once; " in failed.pop("much")
    assert "NaN or infinite numbers" in failed["odd"]
    assert "try --dtype float32" in failed.pop("odd")
    assert "the pipeline's safety checker blanked 2 of 2 tiles" in failed["blank"]
    assert "other pictures may pass (--seed)" in failed.pop("blank")
    assert failed == {}
    made, wanted = pixels(tmp_path / "there"), pixels(tmp_path / "here")
    assert made.keys() == wanted.keys() == {"one", "two"}
    assert all(np.array_equal(made[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('nothing works')",
        pytest.param("sys.exit(7)", marks=pytest.mark.slow),
        pytest.param(
            "raise __import__('dpgbench').errors.DataError('never')", marks=pytest.mark.slow
        ),
        "raise ConnectionResetError('the download of', item, 'died')",
    ],
)
def test_what_is_about_no_item_ends_the_command_as_in_one_process(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...], code: str
) -> None:
    write_parts(tmp_path, 12)
    (tmp_path / "all").write_text(code)
    if code.startswith("raise ValueError"):
        with pytest.raises(Exception, match="nothing works") as here:
            run(*DRAW, "here")
        with pytest.raises(Exception, match="nothing works") as there:
            run(*DRAW, "there", *one_worker)
        assert type(here.value).__name__ == type(there.value).__name__
        assert "my_model.py" in str(there.value.__cause__)
        return
    ended = [run(*DRAW, "here"), run(*DRAW, "there", *one_worker)]
    assert ended[0].code == ended[1].code != 0
    assert ended[0].error == ended[1].error


def test_a_model_that_cannot_be_built_is_one_line(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 2, unloadable="")
    here, there = run(*DRAW, "here"), run(*DRAW, "there", *one_worker)
    assert (here.code, here.error) == (there.code, there.error)
    assert "no such luck" in there.error


def test_status_and_events_while_it_works_and_sigterm_keeps_what_was_done(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...]
) -> None:
    from tests.helpers import run_process  # a process of its own: signals are the command line's

    write_parts(tmp_path, 40, pause="0.1")
    done: list[Any] = []
    words = (*DRAW, "r", *ray_words, "--log-json", "log")
    work = threading.Thread(
        target=lambda: done.append(run_process(*words, cwd=tmp_path, timeout=60))
    )
    work.start()
    deadline = time.monotonic() + 60
    while len(lines(tmp_path / "drawn")) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/self/task/{work.native_id}/children").read_text().split()
    seen = json.loads(run("status", "r", "--json").out)
    assert seen["state"] == "working"
    assert seen["owner"].startswith(f"process {children[0]} on ")
    assert 1 <= seen["images"] < seen["items"] == seen["progress"]["total"] == 40
    os.kill(int(children[0]), signal.SIGTERM)
    work.join()
    ended = done[0]
    assert ended.returncode == 143, ended.stderr
    assert "Traceback" not in ended.stderr
    drawn = len(list((tmp_path / "r/images").iterdir()))
    assert 6 <= drawn < 40
    assert len(lines(tmp_path / "drawn")) == drawn  # none was broken off
    events = json_lines(tmp_path / "log")
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert events[-1]["exit_code"] == 143
    told = [event for event in events if event["event"] == "progress"][-1]
    assert (told["done"], told["total"], told["unit"]) == (drawn, 40, "grid")
    assert json.loads(run("status", "r", "--json").out)["state"] == "idle"
    assert run(*DRAW, "r").out == f"{40 - drawn} grids drawn, {drawn} there before: r\n"


def test_workers_that_ray_gives_up_before_they_begin_are_made_again(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where it cannot reach the driver for a moment: whoever waits hears nothing."""
    from dpgbench.engine.ray_workers import RayWorkers

    write_parts(tmp_path, 3)
    build, dead = RayWorkers.__init__, []

    def built(self: Any, cluster: Any, *arguments: Any, **named: Any) -> None:
        patience = WorkerPatience(look_seconds=0.2)
        build(self, cluster, *arguments, **{**named, "patience": patience})
        for remote in self._remotes:
            cluster.ray.kill(remote.actor)
            dead.append(remote.actor)
            pending = cluster.ray.remote(RayActor).options(num_cpus=99).remote().node.remote()
            remote.step = ("node", pending)  # for which there is never an answer

    monkeypatch.setattr(RayWorkers, "__init__", built)
    ended = run(*DRAW, "r", *ray_words)
    assert ended.code == 0, ended.err
    assert len(dead) == 2
    assert len(list((tmp_path / "r/images").iterdir())) == 3


def test_a_cluster_without_room_is_said_at_once(
    run: Run, tmp_path: Path, cluster: Any, ray_words: tuple[str, ...]
) -> None:
    write_parts(tmp_path, 1)
    started = time.monotonic()
    for words, needs, most in [
        (("--gpus-per-worker", "1"), "1 CPU and 1 GPU", "2 CPU and 0 GPU"),
        (("--cpus-per-worker", "3"), "3 CPU and 0 GPU", "2 CPU and 0 GPU"),
    ]:
        ended = run(*DRAW, "r", *ray_words, *words)
        assert ended.code == 4
        assert (
            f"no machine of the cluster has room for a worker, which needs {needs}" in ended.error
        )
        assert f"the most that one has is {most}" in ended.error
    assert time.monotonic() - started < 30
    words = ("--engine", "ray", "--workers", "7", "--address", str(cluster.address))
    ended = run(*DRAW, "r", *words, "--cpus-per-worker", "2")
    assert ended.code == 0, ended.err
    assert "the cluster has room for 2 of 7 workers of 2 CPU and 0 GPU" in ended.err


def test_weights_that_differ_between_machines_are_refused() -> None:
    from dpgbench.engine.ray_process import WorkerFacts
    from dpgbench.engine.ray_workers import check_alike
    from dpgbench.errors import SetupError

    first = WorkerFacts({"weights": "a", "dtype": "float32"}, 1, "one")
    check_alike(first, WorkerFacts(dict(first.decides), 1, "two"))
    with pytest.raises(SetupError, match="weights on two differ from those on one"):
        check_alike(first, WorkerFacts({"weights": "b", "dtype": "float32"}, 1, "two"))


@pytest.mark.slow
def test_a_machine_that_goes_away_costs_no_item(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...], cluster: Any
) -> None:
    write_parts(tmp_path, 12)
    wanted = undisturbed(run, tmp_path)
    (tmp_path / "pause").write_text("0.2")
    leaving = cluster.add_node(num_cpus=2, resources={"leaves": 1}, object_store_memory=2**27)

    def leave() -> None:
        while len(lines(tmp_path / "drawn")) < 6:
            time.sleep(0.05)
        cluster.remove_node(leaving, allow_graceful=False)

    away = threading.Thread(target=leave)
    away.start()
    drew = run(*DRAW, "r", "--engine", "ray", "--workers", "6", "--address", cluster.address)
    away.join()
    assert drew.code == 0, drew.err
    assert run("score", "r", *ASK, *ray_words).code == 0
    assert content(tmp_path / "r") == wanted


@pytest.mark.parametrize("command", ["generate", pytest.param("score", marks=pytest.mark.slow)])
def test_after_a_kill_of_the_driver_the_same_command_goes_on(
    run: Run, tmp_path: Path, ray_words: tuple[str, ...], command: str
) -> None:
    write_parts(tmp_path, 8)
    wanted = undisturbed(run, tmp_path)
    (tmp_path / "pause").write_text("0.15")
    words, noted, each = (*DRAW, "r"), "drawn", 1
    if command == "score":
        assert run(*words).code == 0
        words, noted, each = ("score", "r", *ASK), "asked", 4
    driver = subprocess.Popen(
        [sys.executable, "-m", "dpgbench", *words, *ray_words],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    while len(lines(tmp_path / noted)) < 4 and driver.poll() is None:
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert run(*words).code == 0  # whoever goes on
    worked = Counter(line.rsplit(" ", 1)[0] for line in lines(tmp_path / noted))
    assert worked.total() <= each * (8 + 4 * 2)  # again: what was on its way, two batches a worker
    if command == "generate":
        assert run("score", "r", *ASK).code == 0
    assert content(tmp_path / "r") == wanted


def test_settings_that_depend_on_the_device_are_decided_where_the_gpus_are(
    run: Run, tmp_path: Path, one_worker: tuple[str, ...], cluster: Any
) -> None:
    write_parts(tmp_path, 1)
    model = tmp_path / "my_model.py"
    model.write_text(
        model.read_text().replace(
            "class Model:", "class Model:\n    settings = {'in': os.getpid()}"
        )
    )
    node = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=2**27)
    try:
        drew = run(*DRAW, "r", *one_worker, "--gpus-per-worker", "1")
    finally:
        cluster.remove_node(node)
    assert drew.code == 0, drew.err
    options = content(tmp_path / "r")["manifest.json"]["identity"]["generation"]["options"]
    assert options["in"] != os.getpid()

"""What a user reads who asks for an engine that cannot be: one line, and nothing is written."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.spec import GridSpec
from dpgbench.engine.asking import Asker
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.portable_error import PortableError
from dpgbench.errors import DataError, DpgBenchError, UsageError
from tests.engine.parts import ASK, DRAW, write_parts
from tests.helpers import Run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--engine", "slurm"), "--engine slurm: choose one of local, ray"),
        (("--workers", "2"), "--workers is for workers of Ray: give --engine ray with it"),
        (("--address", "auto"), "--address is for workers of Ray"),
        (("--shared-storage",), "--shared-storage is for workers of Ray"),
        (("--engine", "ray", "--workers", "0"), "--workers 0: at least 1 is needed"),
        (("--engine", "ray", "--gpus-per-worker", "1.5"), "--gpus-per-worker 1.5: give a whole"),
        (("--engine", "ray", "--cpus-per-worker", "-1"), "--cpus-per-worker -1: give a whole"),
    ],
)
def test_options_that_do_not_fit(
    run: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    write_parts(tmp_path, 2)
    for command in ((*DRAW, "r"), ("score", ".", *ASK, "--bench", "b.csv", "--out", "r")):
        ended = run(*command, *words)
        assert ended.code == 2
        assert message in ended.error
    assert not (tmp_path / "r").exists()


def test_without_ray_the_command_that_installs_it(tmp_path: Path) -> None:
    write_parts(tmp_path, 2)
    (tmp_path / "ray.py").write_text("raise ImportError('no such thing')")
    root = Path(__file__).parents[2]
    for command in ((*DRAW, "r"), ("demo",)):
        ended = subprocess.run(
            [sys.executable, "-m", "dpgbench", *command, "--engine", "ray"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
            text=True,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 4
        assert ended.stderr == (
            "error: --engine ray needs a package that is not installed (no such thing): "
            "pip install 'dpgbench[ray]'\n"
        )
    assert not (tmp_path / "r").exists()


def test_a_budget_of_requests_is_one_process_s(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    write_parts(tmp_path, 2)
    assert run(*DRAW, "r").code == 0
    words = ("--judge", "openai:some-model", "--max-requests", "9", "--engine", "ray")
    ended = run("score", "r", *words)
    assert (ended.code, "--max-requests counts" in ended.error) == (2, True)


def test_more_gpus_than_there_are(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    write_parts(tmp_path, 2)
    ended = run(*DRAW, "r", "--engine", "ray", "--workers", "90", "--gpus-per-worker", "1")
    assert ended.code == 2
    assert "90 workers with 1 GPU each: this machine has" in ended.error


def test_a_cluster_that_is_not_there(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    write_parts(tmp_path, 2)
    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "no such address"):
        ended = run(*DRAW, "r", "--engine", "ray", "--address", address)
        assert ended.code == 4
        assert f"--address {address}: no Ray cluster can be reached" in ended.error


def test_a_gpu_is_ray_s_to_choose(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    write_parts(tmp_path, 2)
    drew = run(*DRAW, "r", "--engine", "ray", "--address", "auto", "--device", "cuda:1")
    assert drew.code == 2
    assert "--device cuda:1: with --engine ray each worker has GPUs of its own" in drew.error


class Odd(Exception):
    """Cannot be unpickled: it is built with more than it keeps."""

    def __init__(self, what: str, more: int) -> None:
        super().__init__(what)


class OwnError(DataError):
    """A user's own."""


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (Odd("a\nb", 2), "Odd", "a\nb"),
        (KeyError("x"), "KeyError", "'x'"),
        (UsageError("no"), "UsageError", "no"),
        (OwnError("mine"), "DataError", "mine"),
        (SystemExit(3), "SystemExit", "3"),
        (SystemExit("words"), "SystemExit", "1"),
    ],
)
def test_errors_arrive_with_name_message_and_traceback(
    raised: BaseException, kind: str, text: str
) -> None:
    sent: Any = None
    try:
        raise raised
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        sent = pickle.dumps(PortableError.of(error))
    arrived = pickle.loads(sent).error()
    assert (type(arrived).__name__, str(arrived)) == (kind, text)
    assert isinstance(arrived, DpgBenchError) == isinstance(raised, DpgBenchError)
    assert "test_options.py" in str(arrived.__cause__)


def test_a_worker_process_takes_over_what_the_driver_s_is_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging
    import warnings
    from collections.abc import Iterable, Iterator, Mapping

    from dpgbench.engine.ray_process import Note, RayProcess, Setting
    from dpgbench.engine.work import Worker

    class Doubles(Worker[int, int]):
        def units_at_once(self) -> int:
            return 3

        def decides(self) -> Mapping[str, Any]:
            return {"by": 2}

        def work(self, units: Iterable[int]) -> Iterator[int]:
            for unit in units:
                if unit == 5:
                    raise UsageError("five")
                yield 2 * unit

    def factory() -> Doubles:
        warnings.warn("careful\n now", UserWarning, stacklevel=1)
        logging.getLogger("some.library").error("hot")
        logging.getLogger("some.library").info("nobody reads this")
        return Doubles()

    monkeypatch.chdir("/")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    monkeypatch.delenv("SOME_SETTING", raising=False)
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
    process: RayProcess[int, int] = RayProcess()
    assert process.work([1]).outcomes == []  # a batch that was meant for who was there before
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        loaded = process.load(factory, Setting(str(tmp_path), {"SOME_SETTING": "x"}, 1))
    assert loaded.error is None
    assert loaded.outcomes[0][:2] == ({"by": 2}, 3)
    assert loaded.notes == [
        Note("dpgbench", logging.WARNING, "careful now"),
        Note("some.library", logging.ERROR, "hot"),
    ]
    assert Path.cwd() == tmp_path
    assert (os.environ.pop("SOME_SETTING"), os.environ["OMP_NUM_THREADS"]) == ("x", "1")
    returned = process.work([1, 2, 5, 7])
    assert (returned.outcomes, returned.notes) == ([2, 4], [])
    assert returned.error is not None
    assert returned.error.kind is UsageError
    assert process.call(Doubles.units_at_once, (), {}).outcomes == [3]


def test_another_machine_draws_with_its_own_files_if_they_are_the_same(tmp_path: Path) -> None:
    import shutil

    from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
    from dpgbench.embedded import embedded_path
    from dpgbench.engine.drawing import DrawerFactory, Planned
    from dpgbench.errors import SetupError

    base = tmp_path / "base"
    shutil.copytree(embedded_path("sd15"), base)
    request = GeneratorRequest("tiny-sd15", {"base": str(base)}, device="cpu")
    factory = DrawerFactory(Planned(make_plan(request), "elsewhere"), request)
    assert factory._plan_here().spec == factory.planned.plan.spec
    (base / "model_index.json").write_text((base / "model_index.json").read_text() + "\n")
    with pytest.raises(SetupError, match=r"other pictures than elsewhere .*weights.base"):
        factory()


def test_options_of_python_are_checked_as_those_of_the_command_line() -> None:
    with pytest.raises(UsageError, match="--engine mpi"):
        EngineOptions("mpi")
    assert EngineOptions("ray", gpus_per_worker=0.5, cpus_per_worker=0).is_ray


def test_the_token_of_an_own_cluster_is_for_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    from dpgbench.engine import ray_cluster

    monkeypatch.setattr(ray_cluster, "_own_tokens", ["made up"])
    monkeypatch.setenv("RAY_AUTH_TOKEN", "made up")
    write_parts(tmp_path, 2)
    ended = run(*DRAW, "r", "--engine", "ray", "--address", "auto")
    assert ended.code == 4
    assert "this process has had a Ray cluster of its own" in ended.error


def test_questions_that_were_cut_are_counted_by_their_answers(run: Run, tmp_path: Path) -> None:
    """A kill may have come between the answers and the count in the manifest."""
    write_parts(tmp_path, 2)
    assert run(*DRAW, "r").code == 0
    words = ("score", "r", *ASK)
    assert run(*words).code == 0
    manifest, answers = tmp_path / "r/manifest.json", next((tmp_path / "r/answers").iterdir())
    for lines in (answers.read_text(), "".join(answers.read_text().splitlines(True)[:7])):
        record = json.loads(manifest.read_text())
        record["judges"]["my_judge:Judge"]["truncated_questions"] = 0
        manifest.write_text(json.dumps(record))
        answers.write_text(lines)
        assert run(*words).code == 0
        record = json.loads(manifest.read_text())
        assert record["judges"]["my_judge:Judge"]["truncated_questions"] == 2 * 4


def test_no_gpu_is_not_waited_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write_parts(tmp_path, 2)
    ended = run(*DRAW, "r", "--engine", "ray", "--gpus-per-worker", "1")
    assert ended.code == 2
    assert "1 worker with 1 GPU each: this machine has 0 GPUs" in ended.error


def test_more_workers_than_memory_has_processes(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")
    write_parts(tmp_path, 2)
    ended = run(*DRAW, "r", "--engine", "ray", "--workers", "10000000")
    assert ended.code == 2
    assert "--workers 10000000: this machine has memory for" in ended.error


@pytest.mark.parametrize(
    ("grid", "liked", "units"),
    [(None, 6, 24), (GridSpec(4, 8, 8), 6, 8), (GridSpec(4, 8, 8), 1, 4), (None, 1, 4)],
)
def test_a_worker_takes_as_many_images_as_its_judge_likes_four_times(
    grid: GridSpec | None, liked: int, units: int
) -> None:
    class Likes:
        num_images_at_once = liked

        def describe(self) -> dict[str, str]:
            return {}

        def ask(self, tiles: object) -> list[object]:
            return []

    assert Asker(Likes(), grid).units_at_once() == units

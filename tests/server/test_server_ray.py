"""`dpgbench serve --engine ray`: several workers answer what one process answers."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers import Run
from tests.server.compared import check, four_clients
from tests.server.running import PATIENCE, Server, in_base64, item, picture, running, serve_words

RAY = ("--engine", "ray", "--workers", 2)
OWN = "tests.server.own_judges"


@pytest.fixture(autouse=True)
def _needs_ray_serve() -> None:
    pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'dpgbench[ray,serve]'")


def workers_of(server: Server) -> list[int]:
    """Return the processes that hold the judge of a server."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"ServeReplica:dpgbench-{server.process.pid}-".encode() in path.read_bytes():
                pids.append(int(path.parent.name))
    return sorted(pids)


def metric(server: Server, name: str) -> float:
    text = server.send("GET", "/metrics").body.decode()
    (value,) = re.findall(rf"^dpgbench_{name} (\S+)$", text, re.M)
    return float(value)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_of(pid: int) -> Iterator[int]:
    """Yield the processes that a server has started, and theirs."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name)
                yield from processes_of(int(path.parent.name))


def test_two_workers_answer_as_the_command_line_also_when_one_is_killed(
    drawn: dict[str, Image.Image], by_command: tuple[Any, Any]
) -> None:
    words = serve_words("--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu", *RAY)
    with running(words) as server:
        wait_for(lambda: metric(server, "workers") == 2)
        before = workers_of(server)
        assert len(before) == 2
        for body in four_clients(server, drawn):
            check(body, by_command)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(four_clients, server, drawn)
            wait_for(lambda: metric(server, "requests_running"))
            os.kill(before[0], signal.SIGKILL)
            for body in asked.result():
                check(body, by_command)
        wait_for(lambda: metric(server, "workers") == 2 and len(workers_of(server)) == 2)
        assert before[0] not in workers_of(server)
        assert server.send("GET", "/v1/info").body["judge"] == "tiny-mplug"
        started = list(processes_of(server.process.pid))
        code, err = server.end()
    assert code == 0, err
    assert not [line for line in err.splitlines() if "a worker ended over" not in line]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


@pytest.mark.slow
def test_limits_keys_and_pictures_that_end_their_worker(run: Run) -> None:
    del run
    words = serve_words("--judge", f"{OWN}:Deadly", "--bench", "shapes", "--device", "cpu", *RAY)
    words = [*words, "--queue", "8", "--api-key-env", "JUDGE_KEY", "--rule", "corrected-v1"]
    with running(words, JUDGE_KEY="k", DPGBENCH_TEST_SECONDS="0.2") as server:
        assert server.score({"items": [item()]}).status == 401
        key = {"authorization": "Bearer k"}
        with ThreadPoolExecutor(24) as pool:
            replies = list(pool.map(lambda _: server.score({"items": [item()]}, **key), range(24)))
        assert {reply.status for reply in replies} == {200, 429}
        blue, red = picture((0, 0, 255)), picture((255, 0, 0))
        items = [item(), item(blue), item(red), item(images=[in_base64(picture((0, 9, 0)))])]
        body = server.score({"items": items}, **key).body
        scores = [got["scores"]["corrected-v1"]["score"] for got in body["items"]]
        assert scores == [100.0, None, None, 0.0]
        assert "its worker ended 3 times" in body["failures"]["1"]
        assert body["failures"]["2"] == "tile 0: ValueError: no red pictures, please"
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=PATIENCE)
        assert server.process.returncode == 0


@pytest.mark.slow
def test_a_judge_that_cannot_be_loaded_ends_it_as_in_one_process(run: Run) -> None:
    words = ("serve", "--judge", "tests.cli.own_judges:Noise", "--port", 0, "--device", "cpu")
    here = run(*words)
    command = serve_words(*words[1:3], *words[5:], *RAY)
    with pytest.raises(AssertionError, match="cannot be built"), running(command):
        pass
    assert here.code == 3


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster that is there already, of one machine."""
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 2**27}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield str(made.address)
    with warnings.catch_warnings():  # of Ray: it does not wait for the processes that it ends
        warnings.simplefilter("ignore", ResourceWarning)
        made.shutdown()
        del made
        gc.collect()


@pytest.mark.slow
def test_nothing_is_left_on_another_s_cluster_however_the_server_ends(address: str) -> None:
    words = serve_words("--judge", f"{OWN}:ByColour", "--bench", "shapes", "--device", "cpu", *RAY)
    for ended in (signal.SIGTERM, signal.SIGKILL):
        with running([*words, "--address", address]) as server:
            assert server.score({"items": [item()]}).status == 200
            wait_for(lambda server=server: len(workers_of(server)) == 2)
            server.process.send_signal(ended)
            server.process.communicate(timeout=PATIENCE)
            assert server.process.returncode == (0 if ended == signal.SIGTERM else -ended)
            wait_for(lambda server=server: workers_of(server) == [])


def test_what_is_not_for_workers_is_refused_at_once(run: Run) -> None:
    cheap = ("serve", "--judge", "tests.cli.own_judges:MeanColor", "--device", "cpu", "--port", 0)
    for words, says in [
        (("--workers", 2), "--workers is for workers of Ray: give --engine ray with it"),
        (("--engine", "ray", "--address", "ray://here:1"), "must be on a machine of the cluster"),
        (("--engine", "spark"), "choose one of local, ray"),
    ]:
        ended = run(*cheap, *words)
        assert (ended.code, says in ended.error) == (2, True), ended.err

"""The process of a server: loading, keys, a full queue, signals, what is missing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import REPOSITORY, Run
from tests.server.running import (
    PATIENCE,
    Server,
    in_base64,
    item,
    picture,
    read_reply,
    running,
    serve_words,
)

OWN = "tests.server.own_judges"
BY_COLOUR = serve_words("--judge", f"{OWN}:ByColour", "--bench", "shapes", "--device", "cpu")
WAITING = serve_words("--judge", f"{OWN}:Waiting", "--device", "cpu")
ONE = {"items": [item()]}


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def running_requests(server: Server) -> float:
    text = server.send("GET", "/metrics").body.decode()
    (value,) = re.findall(r"^dpgbench_requests_running (\S+)$", text, re.M)
    return float(value)


def test_it_is_healthy_once_the_judge_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "go"
    with running(WAITING, until_ready=False, DPGBENCH_TEST_FILE=str(file)) as server:
        reply = server.send("GET", "/health")
        assert (reply.status, reply.body) == (503, {"status": "loading"})
        reply = server.score(ONE)
        assert (reply.status, "is being loaded" in reply.error) == (503, True)
        assert "retry-after" in reply.headers
        assert server.send("GET", "/v1/info").body["status"] == "loading"
        file.touch()
        wait_for(lambda: server.send("GET", "/health").status == 200)
        # It has no benchmark: whoever asks brings the questions.
        reply = server.score(ONE)
        assert (reply.status, "no benchmark" in reply.error) == (422, True)
        own = item(questions=[{"question": "Is it green?"}])
        assert server.score({"items": [own]}).body["failures"] == {}
        assert server.end() == (0, "")


def test_a_signal_while_loading_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "never"
    with running(WAITING, until_ready=False, DPGBENCH_TEST_FILE=str(file)) as server:
        assert server.end() == (0, "")


def test_a_judge_that_cannot_be_loaded_ends_it(run: Run) -> None:
    ended = run("serve", "--judge", "tests.cli.own_judges:Noise", "--port", 0, "--device", "cpu")
    assert ended.code == 3
    assert "cannot be built" in ended.error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_finished_and_new_requests_are_refused(number: int) -> None:
    with running(BY_COLOUR, DPGBENCH_TEST_SECONDS="0.3") as server:
        with ThreadPoolExecutor(4) as pool, server.connect() as early:
            accepted = [pool.submit(server.score, {"items": [item()] * 3}) for _ in range(2)]
            wait_for(lambda: running_requests(server) == 2)
            server.process.send_signal(number)
            wait_for(lambda: server.send("GET", "/health").body == {"status": "ending"})
            refused = server.score(ONE)
            assert (refused.status, refused.error) == (503, "the server is ending")
            early.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            replies = [future.result() for future in accepted]
        assert [reply.status for reply in replies] == [200, 200]
        assert all(len(reply.body["items"]) == 3 for reply in replies)
        out, err = server.process.communicate(timeout=PATIENCE)
        assert (server.process.returncode, out, err) == (0, "", "")


def test_the_grace_time_is_the_longest_that_it_takes() -> None:
    with running([*BY_COLOUR, "--grace", "0.3"], DPGBENCH_TEST_SECONDS="5") as server:
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(server.score, ONE)
            wait_for(lambda: running_requests(server) == 1)
            start = time.monotonic()
            code, err = server.end()
            assert time.monotonic() - start < 20
            assert reply.exception() is not None or reply.result().status >= 500
        assert code == 6
        assert "error: 1 request could not be finished within 0.3 s" in err


def test_requests_that_still_wait_at_the_end_are_told_so() -> None:
    with running([*BY_COLOUR, "--grace", "0.3"], DPGBENCH_TEST_SECONDS="5") as server:
        with ThreadPoolExecutor(4) as pool:
            replies = [pool.submit(server.score, {"items": [item()] * 3}) for _ in range(4)]
            wait_for(lambda: running_requests(server) == 4)
            code, err = server.end()
            ended = {(reply.result().status, reply.result().error) for reply in replies}
        assert ended == {(503, "the server ended before this was answered")}
        assert (code, err.count("\n")) == (6, 1), err


def test_a_second_interrupt_ends_it_at_once() -> None:
    with running(BY_COLOUR, DPGBENCH_TEST_SECONDS="20") as server:
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(server.score, ONE)
            wait_for(lambda: running_requests(server) == 1)
            server.process.send_signal(signal.SIGINT)
            wait_for(lambda: server.send("GET", "/health").body == {"status": "ending"})
            server.process.send_signal(signal.SIGINT)
            _, err = server.process.communicate(timeout=15)
            assert reply.exception() is not None or reply.result().status >= 500
        assert server.process.returncode == 130
        assert err.startswith("interrupted")


def test_a_full_queue_says_when_to_come_again() -> None:
    words = [*BY_COLOUR, "--queue", "4", "--timeout", "30"]
    with running(words, DPGBENCH_TEST_SECONDS="0.2") as server, ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: server.score(ONE), range(12)))
        statuses = sorted(reply.status for reply in replies)
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 4
        for reply in replies:
            if reply.status == 429:
                assert reply.error == "the queue is full; send this again"
                assert int(reply.headers["retry-after"]) >= 1
        assert server.score(ONE).status == 200


def test_a_reply_that_takes_too_long_is_given_up() -> None:
    with running([*BY_COLOUR, "--timeout", "0.3"], DPGBENCH_TEST_SECONDS="1") as server:
        reply = server.score(ONE)
        assert (reply.status, "no answer within 0.3 s" in reply.error) == (504, True)


def test_questions_of_clients_that_left_are_not_asked() -> None:
    with running(BY_COLOUR, DPGBENCH_TEST_SECONDS="0.5") as server:
        body = json.dumps({"items": [item()] * 16}).encode()
        head = f"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
content-length: {len(body)}\r\n\r\n".encode()
        with server.connect() as connection:
            connection.sendall(head + body)
            wait_for(lambda: running_requests(server) == 1)
        start = time.monotonic()
        assert server.score(ONE).status == 200
        assert time.monotonic() - start < 5  # 16 pictures would have taken 8 s


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    words = [*BY_COLOUR, "--api-key-env", "JUDGE_KEY"]
    with running(words, JUDGE_KEY="a-secret-key") as server:
        yield server


@pytest.mark.parametrize(
    "sent",
    [None, "", "Bearer", "Bearer ", "Bearer a-secret-ke", "Bearer a-secret-key2", "a-secret-key",
     "Basic a-secret-key", "Bearer \xff"],
)  # fmt: skip
def test_without_the_key_nothing_is_answered(locked: Server, sent: str | None) -> None:
    headers = {} if sent is None else {"authorization": sent}
    for reply in (locked.score(ONE, **headers), locked.send("GET", "/v1/info", **headers)):
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer KEY" in reply.error
    assert locked.send("GET", "/metrics", **headers).status == 401


def test_with_the_key_all_is_answered(locked: Server) -> None:
    for sent in ("Bearer a-secret-key", "bearer  a-secret-key"):
        assert locked.score(ONE, authorization=sent).status == 200
    assert locked.send("GET", "/health").status == 200
    info = locked.send("GET", "/v1/info", authorization="Bearer a-secret-key")
    assert "a-secret-key" not in str(info.body)


def test_words_that_cannot_be_right(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY_KEY", " ")
    cheap = ("serve", "--judge", "tests.cli.own_judges:MeanColor", "--device", "cpu")
    for words, code, says in [
        (("--api-key-env", "EMPTY_KEY"), 2, "set it to the key"),
        (("--api-key-env", "NO_SUCH_KEY"), 2, "--api-key-env NO_SUCH_KEY: there is no such"),
        (("--rule", "nothing"), 2, "unknown rule 'nothing'"),
        (("--bench", "nothing"), 2, "nothing"),
        (("--host", "no.such.host.invalid"), 2, "cannot be had"),
        (("--port", 70_000), 2, "65535"),
        (("--queue", 0), 2, "--queue"),
    ]:
        ended = run(*cheap, *words)
        assert (ended.code, says in ended.error) == (code, True), ended.err
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = run(*cheap, "--port", other.getsockname()[1])
    assert (ended.code, "--port 0 takes a free port" in ended.error) == (2, True)


def test_everyone_is_warned_of_a_door_that_is_open() -> None:
    command = [*BY_COLOUR, "--host", "0.0.0.0"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on http://0.0.0.0:")
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert "warning: everyone who reaches 0.0.0.0 can ask this judge" in err
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("module", "words", "extras"),
    [("uvicorn", (), "serve"), ("ray", ("--engine", "ray", "--workers", "2"), "ray,serve")],
)
def test_without_its_packages_it_names_the_command_that_installs_them(
    tmp_path: Path, module: str, words: tuple[str, ...], extras: str
) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('no', name='{module}')")
    done = subprocess.run(
        [sys.executable, "-m", "dpgbench", "serve", "--judge", "tiny-mplug", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 4
    assert f"pip install 'dpgbench[{extras}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_connections_are_kept_and_shared_by_many() -> None:
    """One connection carries many requests; many connections carry one each, at once."""
    import http.client

    with running(BY_COLOUR) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        for colour in ((0, 255, 0), (0, 0, 0)) * 5:
            images = [in_base64(picture(colour))]
            body = json.dumps({"items": [{"item_id": "few_000", "images": images}]})
            connection.request("POST", "/v1/score", body, {"content-type": "application/json"})
            reply = read_reply(connection.getresponse())
            (got,) = reply.body["items"]
            expected = "yes" if colour[1] else "no"
            assert {line["answer"] for line in got["answers"]} == {expected}
        connection.close()
        barrier = threading.Barrier(64)

        def at_once(number: int) -> Any:
            barrier.wait()
            green = number * 4
            images = [in_base64(picture((0, green, 0)))]
            reply = server.score({"items": [{"item_id": "few_001", "images": images}]})
            return green, {line["p_yes"] for line in reply.body["items"][0]["answers"]}

        with ThreadPoolExecutor(64) as pool:
            for green, p_yes in pool.map(at_once, range(64)):
                assert p_yes == {round(green / 255, 6)}

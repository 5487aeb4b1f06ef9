"""Clients that misbehave get a clear 4xx, and a good client beside them is served meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import resource
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.impatient import LIMITS
from tests.server.running import Reply, Server, Site, form, in_base64, item, picture, read_reply

GOOD = {"items": [item()]}
POST = b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def _good_client(impatient_server: Site) -> Iterator[None]:
    """Beside each test a good client is served all the time, and soon."""
    stop, slowest, wrong = threading.Event(), [0.0], []

    def ask() -> None:
        while not stop.is_set():
            start = time.monotonic()
            reply = impatient_server.score(GOOD)
            slowest[0] = max(slowest[0], time.monotonic() - start)
            if reply.status != 200:
                wrong.append(reply)
            stop.wait(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert wrong == []
    assert slowest[0] < 5  # on a machine that is busy otherwise; mostly some ms


def raw(server: Site, data: bytes, *, end: bool = False) -> Reply:
    """Send bytes as they are, and read one reply."""
    with server.connect() as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return reply_from(connection)


def reply_from(connection: socket.socket) -> Reply:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return read_reply(response)


def text_of(value: Any) -> bytes:
    return json.dumps({"items": [value]}).encode()


JSON_BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "not JSON"),
    "no JSON": (b"{items: 1}", 400, "not JSON: key must be a string"),
    "binary": (bytes(range(256)), 400, "not JSON"),
    "a list": (b"[]", 422, "the body: Input should be an object"),
    "deep": (b"[" * 100_000, 400, "recursion limit"),
    "deep field": (b'{"items":' + b'[{"images":' * 5000, 400, "recursion limit"),
    "many values": (b"[" + b"1," * 300_000 + b"1]", 413, "more than 200000 values"),
    "NaN": (b'{"items": NaN}', 422, "items: Input should be a valid array"),
    "no items": (b'{"items": []}', 422, "items: List should have at least 1"),
    "unknown field": (text_of(item(image="x")), 422, "items[0].image: there is no such field; "
                      "known: item_id, prompt, questions, images, layout"),
    "unknown at top": (b'{"item": []}', 422, "item: there is no such field; known: items, rules"),
    "no images": (text_of({"item_id": "few_000"}), 422, "items[0].images: Field required"),
    "wrong type": (text_of(item(item_id=7)), 422, "items[0].item_id: Input should be a valid str"),
    "layout": (text_of(item(layout="3x3")), 422, "items[0].layout: Input should be '1x1', '1x2'"),
    "layout that does not fit": (text_of(item(picture(size=(9, 8)), layout="2x2")), 422,
                                 "items[0].images[0] has 9x8 px, which do not split into 2x2"),
    "no base64": (text_of(item(images=["??"])), 422, "items[0].images[0] is not base64"),
    "cut base64": (text_of(item(images=[in_base64(picture())[:-3]])), 422, "is not base64"),
    "a path": (text_of(item(images=["/etc/passwd"])), 422, "paths and addresses are not read"),
    "an address": (text_of(item(images=["http://127.0.0.1/a.png"])), 422, "are not read"),
    "no picture": (text_of(item(b"hello")), 422, "images[0] cannot be read: it is not PNG"),
    "an empty picture": (text_of(item(b"")), 422, "the file is empty"),
    "half a picture": (text_of(item(picture(size=(64, 64))[:90])), 422, "images[0] cannot"),
    "another kind": (text_of(item(picture(kind="GIF"))), 422, "but GIF"),
    "10,000 px": (text_of(item(picture(size=(10_000, 4)))), 413, "has 10000x4 px; at most 8192 a"),
    "many pixels": (text_of(item(picture(size=(2000, 2000)))), 413, "1048576 in all are taken"),
    "unknown item": (text_of(item(item_id="few_0000")), 422, "unknown item 'few_0000'; did"),
    "unknown rule": (json.dumps({**GOOD, "rules": ["dgs"]}).encode(), 422, "did you mean dsg"),
    "questions without words": (text_of(item(questions=[{"question": ""}])), 422,
                                "items[0].questions[0].question: String should have at least 1"),
    "unknown parent": (text_of(item(questions=[{"question": "a?", "parents": [2]}])), 422,
                       "items[0].questions[0]: parent 2 is not a question of this item"),
    "a circle": (text_of(item(questions=[{"question": "a?", "parents": [2]},
                                         {"question": "b?", "parents": [1]}])), 422, "cycle"),
    "a number twice": (text_of(item(questions=[{"question": "a?", "qid": 1},
                                               {"question": "b?", "qid": 1}])), 422, "again"),
    "a huge number": (text_of(item(questions=[{"question": "a?", "qid": 10**30}])), 422, "qid"),
    "a name twice": (b'{"rules": ["dsg"], ' + json.dumps(GOOD)[1:-1].encode() + b', "rules": null}',
                     422, "'rules' comes twice in one JSON object"),
    "a name twice inside": (json.dumps(GOOD).replace('"item_id"', '"layout": "2x2", "layout": null,'
                            ' "item_id"').encode(), 422, "'layout' comes twice"),
    "many images": (text_of(item(images=[in_base64(picture())] * 9)), 413, "9 are more than 8"),
    "many items": (json.dumps({"items": [item()] * 9}).encode(), 413, "items: 9 are more than 8"),
    "more than the queue": (json.dumps({"items": [item(images=[in_base64(picture())] * 8)] * 3})
                            .encode(), 413, "more than the queue ever holds (16)"),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON_BODIES)
def test_bodies_that_make_no_sense(impatient_server: Site, name: str) -> None:
    body, status, says = JSON_BODIES[name]
    reply = impatient_server.score(body)
    assert (reply.status, says in reply.error) == (status, True), reply
    assert len(reply.error) < 500


def test_forms_that_make_no_sense(impatient_server: Site) -> None:
    def send(*parts: tuple[str, str | None, bytes], cut: int = 0) -> Reply:
        body, kind = form(*parts)
        return impatient_server.send(
            "POST", "/v1/score", body[: len(body) - cut], content_type=kind
        )

    good, named = picture(), {"item_id": "few_000", "images": ["a"]}
    assert send(("few_000", "a.png", good)).status == 200
    for parts, status, says in [
        ([("few_000", "a.png", good), ("rule", None, b"dsg")], 422, "known: request, rules"),
        ([("few_000", "a.png", good), ("rules", None, b"nothing")], 422, "unknown rule 'nothing'"),
        ([("few_000", "a.png", good), ("layout", None, b"9x9")], 422, "layout"),
        ([("few_000", "a.png", good), ("read_answers", None, b"1")], 422, "true or false"),
        ([("few_000", None, good)], 422, "a picture needs a file name"),
        ([("rules", None, b"dsg")], 422, "no file part"),
        ([("request", None, b"{}")], 422, "items: Field required"),
        ([("request", None, text_of({"item_id": "few_000", "images": ["b"]})),
          ("a", "a.png", good)], 422, "no file part 'b'; its file parts: a"),
        ([("few_000", "a.png", good), ("rules", None, b"dsg"), ("rules", None, b"dsg")],
         422, "'rules' comes twice"),
        ([("request", None, text_of(named)), ("a", "a.png", good), ("layout", None, b"2x2")],
         422, "'layout' beside a part 'request'"),
        ([("request", None, text_of(named)), ("a", "a.png", good), ("a", "b.png", good)],
         422, "two file parts 'a'"),
    ]:  # fmt: skip
        reply = send(*parts)
        assert (reply.status, says in reply.error) == (status, True), reply
    for cut in (3, 20, 60):
        reply = send(("few_000", "a.png", good), cut=cut)
        assert reply.status == 400, reply
    reply = impatient_server.send("POST", "/v1/score", good, content_type="multipart/form-data")
    assert (reply.status, reply.error) == (400, "multipart/form-data without a boundary")
    for kind in ("text/plain", "image/png", ""):
        reply = impatient_server.send("POST", "/v1/score", good, content_type=kind)
        assert reply.status == 415
        assert "send application/json or multipart/form-data" in reply.error


def test_a_decompression_bomb_is_not_opened(impatient_process: Server) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(8000 * (1 + 3 * 8000)), 9)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    assert len(bomb) < LIMITS.request_bytes / 2
    before = peak_memory(impatient_process)
    reply = impatient_process.score(text_of(item(bomb)))
    assert (reply.status, "8000x8000" in reply.error) == (413, True)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 9))
    rest = picture()
    late = rest[:-12] + text + rest[-12:]
    assert impatient_process.score(text_of(item(late))).status in (200, 422)
    assert peak_memory(impatient_process) - before < 100 * 2**20


def peak_memory(server: Server) -> int:
    """Bytes that the process has held at most."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (line,) = [ln for ln in status.read_text().splitlines() if ln.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_a_body_of_a_gigabyte_is_refused_by_its_head(impatient_server: Site) -> None:
    with impatient_server.connect() as connection:
        connection.sendall(POST + b"content-length: 1073741824\r\n\r\n")
        reply = reply_from(connection)
    assert (reply.status, "longer than 1048576 bytes" in reply.error) == (413, True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_gigabyte_that_is_sent_nonetheless_is_never_held(
    impatient_process: Server, chunked: bool
) -> None:
    before = peak_memory(impatient_process)
    block = bytes(2**18)
    with impatient_process.connect() as connection:
        if chunked:
            connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
            block = b"%x\r\n" % len(block) + block + b"\r\n"
        else:
            connection.sendall(POST + b"content-length: 1073741824\r\n\r\n")
        with contextlib.suppress(OSError):  # closed once it has sent too much
            for _ in range(4096):
                connection.sendall(block)
            pytest.fail("a whole gigabyte was taken")
        with contextlib.suppress(OSError):  # the refusal may be lost with the connection
            reply = reply_from(connection)
            assert reply.status == 413
    assert peak_memory(impatient_process) - before < 50 * 2**20


def test_a_body_just_too_long_gets_its_refusal(impatient_server: Site) -> None:
    reply = impatient_server.score(bytes(LIMITS.request_bytes + 1))
    assert reply.status == 413

    def blocks() -> Iterator[bytes]:
        for _ in range(32):
            yield bytes(2**17)

    reply = impatient_server.send("POST", "/v1/score", blocks(), content_type="application/json")
    assert reply.status == 413


@pytest.mark.parametrize(
    "head", [b"content-length: 5000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n7d0\r\n"]
)
def test_an_upload_that_is_cut_off_is_told(impatient_server: Site, head: bytes) -> None:
    reply = raw(impatient_server, POST + head + b"x" * 100, end=True)
    assert (reply.status, "cut off after 100 bytes" in reply.error) == (400, True), reply


def test_clients_that_leave_in_the_middle_cost_nothing(impatient_server: Site) -> None:
    body = json.dumps({"items": [item()] * 4}).encode()
    whole = POST + b"content-length: %d\r\n\r\n" % len(body) + body
    for size in (10, len(POST) + 10, len(whole) - 1, len(whole)):
        for _ in range(5):
            connection = impatient_server.connect()
            connection.sendall(whole[:size])
            linger = struct.pack("ii", 1, 0)  # a reset instead of an orderly end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
    assert impatient_server.score(GOOD).status == 200
    metrics = impatient_server.send("GET", "/metrics").body.decode()
    assert "dpgbench_queue_megapixels 0.0" in metrics or "dpgbench_queue_megapixels 1.0" in metrics


def test_slow_clients_are_not_waited_for(impatient_server: Site) -> None:
    with ThreadPoolExecutor(3) as pool:
        slow_head = pool.submit(drip, impatient_server, POST)
        slow_body = pool.submit(
            drip, impatient_server, b"{" * 1000, POST + b"content-length: 1000\r\n\r\n"
        )
        silent = pool.submit(drip, impatient_server, b"")
    assert (slow_head.result().status, slow_body.result().status) == (408, 408)
    assert "head of the request was not complete" in slow_head.result().error
    assert "too slowly" in slow_body.result().error
    assert silent.result().status == 408


def drip(server: Site, data: bytes, first: bytes = b"") -> Reply:
    """Send a byte at a time; return what the server says to it."""
    with server.connect() as connection:
        connection.sendall(first)
        with contextlib.suppress(OSError):
            for place in range(min(len(data), 40)):
                connection.sendall(data[place : place + 1])
                time.sleep(0.02)
        return reply_from(connection)


def test_hundreds_of_idle_connections_keep_nobody_out(impatient_server: Site) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(contextlib.closing(impatient_server.connect()))
        assert impatient_server.score(GOOD).status == 200


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"GET / HTTP/two\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 500_000 + b"\r\n",
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused(impatient_server: Site, junk: bytes) -> None:
    with impatient_server.connect() as connection:
        try:
            connection.sendall(junk)
            reply = reply_from(connection)
        except (ConnectionError, http.client.HTTPException):
            return  # closed: all that can be done once a body's length means nothing
    assert reply.status in (400, 405, 415), reply


def test_junk_behind_a_request_costs_the_connection_alone(impatient_server: Site) -> None:
    with impatient_server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 3 + b"junk\r\n\r\n")
        connection.settimeout(10)
        text = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                text += chunk
    assert text.count(b"HTTP/1.1 200 OK") == 3
    assert text.count(b"HTTP/1.1 400 Bad Request") == 1


def test_paths_and_methods_that_there_are_not(impatient_server: Site) -> None:
    reply = impatient_server.send("GET", "/v2/score")
    assert (reply.status, "there are /, /health" in reply.error) == (404, True)
    reply = impatient_server.send("GET", "/v1/score")
    assert (reply.status, reply.error) == (405, "/v1/score does not take GET")
    assert impatient_server.send("POST", "/../../etc/passwd", b"").status == 404


def test_what_a_client_sends_is_not_said_back_at_length(impatient_server: Site) -> None:
    name = "\x1b[2J" + "x" * 5000
    for body in (item(item_id=name), item(**{name: 1}), item(images=[name])):
        reply = impatient_server.score(text_of(body))
        assert reply.status in (400, 422)
        assert len(reply.error) < 1000
        assert reply.error.isprintable()


def test_pictures_of_every_kind_are_read(impatient_server: Site) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        assert impatient_server.score(text_of(item(picture(kind=kind)))).status == 200
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(
        buffer, "PNG"
    )  # over white, as on the command line
    url = f"data:image/png;base64,{in_base64(buffer.getvalue())}"
    (got,) = impatient_server.score(text_of(item(images=[url]))).body["items"]
    assert {line["answer"] for line in got["answers"]} == {"yes"}

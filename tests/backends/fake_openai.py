"""An OpenAI-compatible server of 127.0.0.1 that misbehaves on purpose, and keeps the books.

Its honest answers follow from the picture and the question (`truth`), so that an answer given to
another question shows.
"""

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_ALONE = re.compile(r"^Question: (.*)$", re.MULTILINE)


class Act(NamedTuple):
    """What the server does with one request; the default is an honest answer.

    Attributes:
        status: other than 200: an error.
        error: the error's message.
        text: what the model says instead of the truth.
        body: what is sent instead of a chat completion.
        hang_up: ``at once``, ``half`` (of a body with a length) or ``chunked`` (in the middle).
        close: the connection is closed after the answer, without a word about it.
    """

    status: int = 200
    error: str = "not today"
    code: str | None = None
    text: str | None = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    hang_up: str = ""
    seconds: float = 0.0
    close: bool = False


HONEST = Act()


def says(content: Any, finish: str = "stop", **message: Any) -> Act:
    """Return the act of a model whose message is `content` with further fields."""
    spoken = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "finish_reason": finish, "message": spoken}
    return Act(body=json.dumps({"model": "m-2026", "choices": [choice]}).encode())


def sends(**body: Any) -> Act:
    """Return the act of a server that answers 200 with another body than a completion."""
    return Act(body=json.dumps(body).encode())


class Asked(NamedTuple):
    """One request: the picture (SHA-256 of its file), the questions by number, the rest."""

    picture: str
    questions: dict[int, str]
    request: dict[str, Any]
    headers: dict[str, str]
    path: str
    begun: float

    @property
    def is_repair(self) -> bool:
        return len(self.request["messages"]) > 1


def truth(picture: str, question: str) -> str:
    """Return the true answer to a question about a picture."""
    digest = hashlib.sha256(f"{picture} {question}".encode()).digest()
    return "yes" if digest[0] % 2 else "no"


class FakeOpenAi:
    """The server in a thread.

    Attributes:
        script: what to do with the next requests, in the order in which they come.
        rule: what to do with a request after that.
        refuses: parameters (or values of `response_format`) that are answered with an error.
        refusal: the error, with ``{}`` for the parameter's name.
        key: the key that is wanted; None for any.
        asked: every request.
        served: those of `asked` that got a completion.
        most_in_flight: requests that were being worked on at the same time, at most.
    """

    def __init__(self, *script: Act, rule: Callable[[Asked], Act] = lambda asked: HONEST) -> None:
        self.script = deque(script)
        self.rule = rule
        self.refuses: tuple[str, ...] = ()
        self.refusal = Act(400, "Unsupported parameter: '{}'")
        self.key: str | None = None
        self.asked: list[Asked] = []
        self.served: list[Asked] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "FakeOpenAi":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def idle(self) -> None:
        """Wait until nothing is being worked on."""
        while self._in_flight:
            time.sleep(0.01)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                with contextlib.suppress(OSError):  # the client may go when it likes
                    fake._answer(self)

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        return Handler

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        request = json.loads(call.rfile.read(int(call.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in call.headers.items()}
        asked = Asked(*_read(request), request, headers, call.path, time.monotonic())
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self.asked.append(asked)
            act = self.script.popleft() if self.script else self._act(asked)
        time.sleep(act.seconds)
        with self._lock:
            self._in_flight -= 1  # before the answer: the client may be fast
            if act.status == 200 and act.body is None and not act.hang_up:
                self.served.append(asked)
        _send(call, act, _completion(asked, act) if act.status == 200 else _error(act))

    def _act(self, asked: Asked) -> Act:
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            return Act(401, "Incorrect API key provided: sk-te****************cret.")
        format_type = asked.request.get("response_format", {}).get("type")
        for name in self.refuses:
            if name in asked.request or name == format_type:
                return self.refusal._replace(error=self.refusal.error.format(name))
        return self.rule(asked)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *arguments: object) -> None:
        """Say nothing: the client may go when it likes."""


def _read(request: dict[str, Any]) -> tuple[str, dict[int, str]]:
    """Return the picture's hash, and the questions that the last message asks."""
    if isinstance(request["messages"][0]["content"], str):
        return "", {}  # no picture is shown: a language model is asked
    image, text = request["messages"][0]["content"]
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    picture = hashlib.sha256(base64.b64decode(data, validate=True)).hexdigest()
    last = request["messages"][-1]["content"]
    numbered = _NUMBERED.findall(last if isinstance(last, str) else text["text"])
    if numbered:
        return picture, {int(number): question for number, question in numbered}
    alone = _ALONE.search(text["text"])
    return picture, {1: alone[1] if alone else text["text"]}


def _completion(asked: Asked, act: Act) -> bytes:
    if act.body is not None:
        return act.body
    true = {number: truth(asked.picture, text) for number, text in asked.questions.items()}
    alone = _ALONE.search(str(asked.request["messages"][0]["content"][1]["text"]))
    answers = {"answer": true[1]} if alone else {str(n): answer for n, answer in true.items()}
    text = json.dumps(answers) if act.text is None else act.text
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
    if asked.request.get("logprobs"):
        top = [{"token": "Yes", "logprob": -0.25}, {"token": "no", "logprob": -1.5}]
        tokens = re.findall(r"\w+|\W+", text)
        choice["logprobs"] = {"content": [{"token": t, "top_logprobs": top} for t in tokens]}
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    return json.dumps({"model": "m-2026", "choices": [choice], "usage": usage}).encode()


def _error(act: Act) -> bytes:
    return json.dumps({"error": {"message": act.error, "code": act.code}}).encode()


def _send(call: BaseHTTPRequestHandler, act: Act, body: bytes) -> None:
    if act.hang_up != "at once":
        call.send_response(act.status)
        for name, value in act.headers:
            call.send_header(name, value)
        if act.hang_up == "chunked":
            call.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n40\r\nhalf of it" % (len(body), body)
        else:
            call.send_header("Content-Length", str(len(body)))
        call.end_headers()
        call.wfile.write(body[: len(body) // 2] if act.hang_up == "half" else body)
        call.wfile.flush()
    if act.hang_up or act.close:
        call.close_connection = True
        call.connection.shutdown(socket.SHUT_RDWR)

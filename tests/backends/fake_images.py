"""An OpenAI-compatible server of images on 127.0.0.1 that misbehaves on purpose.

A picture's one colour follows from prompt and seed, so that a picture under another prompt shows.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from PIL import Image, ImageDraw

from tests.backends.fake_openai import HONEST, Act, _send, _Server

Rule = Callable[[dict[str, Any]], Act]


def colour(prompt: str, seed: int | None) -> tuple[int, int, int]:
    digest = hashlib.sha256(f"{prompt} {seed}".encode()).digest()
    return digest[0], digest[1], digest[2]


def picture(prompt: str, seed: int | None, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, colour(prompt, seed))
    ImageDraw.Draw(image).point((0, 0), fill="white")  # no picture of one single colour
    return image


class FakeImages:
    """The server in a thread.

    Attributes:
        rule: what to do with a request.
        refuses: parameters that are answered with an error.
        as_address: pictures are given as an address, as of a server that keeps them.
        rewrites: prompts are drawn in other words, which a reply quotes.
        ignores_seeds: all images of a prompt are one.
        in_lines: base64 comes in lines of 76 characters.
        drawn_px: side of every picture, whatever is asked.
        asked: every request with its headers.
        most_in_flight: requests that were worked on at the same time, at most.
    """

    def __init__(self, rule: Rule = lambda request: HONEST) -> None:
        self.rule = rule
        self.refuses: tuple[str, ...] = ()
        self.as_address, self.drawn_px, self.rewrites = False, 0, False
        self.ignores_seeds = self.in_lines = False
        self.asked: list[dict[str, Any]] = []
        self.most_in_flight = self._in_flight = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with contextlib.suppress(OSError):  # the client may go when it likes
                    fake._answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        request = json.loads(call.rfile.read(int(call.headers["Content-Length"])))
        with self._lock:
            self.asked.append({**request, "path": call.path, "key": call.headers["Authorization"]})
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            act = self._act(request)
        time.sleep(act.seconds)
        with self._lock:
            self._in_flight -= 1
        _send(call, act, self._body(request, act))

    def _act(self, request: dict[str, Any]) -> Act:
        for name in self.refuses:
            if name in request:
                return Act(400, f"Unknown parameter: '{name}'.")
        return self.rule(request)

    def _body(self, request: dict[str, Any], act: Act) -> bytes:
        if act.body is not None:
            return act.body
        if act.status != 200:
            return json.dumps({"error": {"message": act.error, "code": act.code}}).encode()
        width, height = map(int, request["size"].split("x"))
        size = (self.drawn_px, self.drawn_px) if self.drawn_px else (width, height)
        file = io.BytesIO()
        seed = 0 if self.ignores_seeds else request.get("seed")
        picture(request["prompt"], seed, size).save(file, "PNG")
        encode = base64.encodebytes if self.in_lines else base64.b64encode
        encoded = encode(file.getvalue()).decode()
        image = {"url": "http://127.0.0.1/1.png"} if self.as_address else {"b64_json": encoded}
        if self.rewrites:
            image["revised_prompt"] = f"a photograph of {request['prompt']}"
        usage = {"input_tokens": 10, "output_tokens": 1000, "total_tokens": 1010}
        return json.dumps({"created": 1, "data": [image], "usage": usage}).encode()

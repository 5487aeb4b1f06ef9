"""Servers in processes of their own, and clients of the standard library."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dpgbench.server.process import Address, Ending, serve
from dpgbench.server.service import Service
from tests.helpers import REPOSITORY

PATIENCE = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> str:
        """The one line of an error."""
        text: str = self.body["error"]
        assert list(self.body) == ["error"]
        assert "\n" not in text
        assert "Traceback" not in text
        return text


@dataclass(frozen=True)
class Site:
    """A server that answers at a port."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        **headers: str,
    ) -> Reply:
        """Send a request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            return read_reply(connection.getresponse())

    def score(self, body: Any, **headers: str) -> Reply:
        """Send a JSON request for scores."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", "/v1/score", data, content_type="application/json", **headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


@dataclass(frozen=True)
class Server(Site):
    """A server in a process of its own."""

    process: subprocess.Popen[str]

    def end(self) -> tuple[int, str]:
        """Ask it to end; return its exit code and what it said on stderr."""
        self.process.terminate()
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


def read_reply(response: http.client.HTTPResponse) -> Reply:
    text = response.read()
    is_json = response.headers.get_content_type() == "application/json"
    return Reply(response.status, json.loads(text) if is_json else text, dict(response.headers))


def serve_words(*words: object) -> list[str]:
    return [sys.executable, "-m", "dpgbench", "serve", "--port", "0", *map(str, words)]


@contextlib.contextmanager
def running(
    command: list[str], *, until_ready: bool = True, **environment: str
) -> Iterator[Server]:
    """Run a server inside; it must be able to end well."""
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert address.startswith("listening on http://127.0.0.1:"), process.communicate()
        if until_ready:
            line = process.stdout.readline()
            assert line.startswith("ready: judge "), process.communicate()
        yield Server(int(address.rpartition(":")[2]), process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextlib.contextmanager
def running_here(service: Service) -> Iterator[Site]:
    """Run a server inside, in a thread of this process, where tests see which lines it executes."""
    lines: queue.Queue[str] = queue.Queue()
    loops: list[asyncio.AbstractEventLoop] = []
    ending = Ending()

    def announce(line: str) -> None:
        loops.append(asyncio.get_running_loop())
        lines.put(line)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(serve, service, Address(port=0), announce, ending)
        port = int(lines.get(timeout=PATIENCE).rpartition(":")[2])
        assert lines.get(timeout=PATIENCE).startswith("ready: judge ")
        try:
            yield Site(port)
            assert not done.done()
        finally:
            loops[0].call_soon_threadsafe(ending.ask)
            done.result(timeout=PATIENCE)


def picture(colour: Any = (0, 255, 0), size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def item(data: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """Return an item of a request with one picture."""
    images = [in_base64(picture() if data is None else data)]
    return {"item_id": "few_000", "images": images, **fields}


def form(*parts: tuple[str, str | None, bytes], boundary: str = "cut-here") -> tuple[bytes, str]:
    """Return a multipart body of (name, file name, value), and its content type."""
    lines = []
    for name, file, value in parts:
        filename = "" if file is None else f'; filename="{file}"'
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{filename}\r\n\r\n'
        lines.append(head.encode() + value + b"\r\n")
    return b"".join(
        lines
    ) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def folder_of_grids(folder: Path, grids: Mapping[str, Image.Image]) -> Path:
    folder.mkdir()
    for item_id, grid in grids.items():
        grid.save(folder / f"{item_id}.png")
    return folder

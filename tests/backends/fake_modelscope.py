"""A ModelScope of 127.0.0.1: the few calls that its client makes to list and fetch a model.

As on the real one, an unknown revision is an empty list and not an error, small files ignore
``Range``, and the weights are answered with a redirect to a storage that honours it.
"""

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

STORED_APART = "pytorch_model.bin"
_NO_SUCH_MODEL = {"Code": 10010205001, "Message": "record not found", "Success": False}


class Request(NamedTuple):
    """What the client asked: the kind of call, the file, and where in it to begin."""

    kind: str
    file: str
    start: int


class FakeModelScope:
    """A server in a thread, with one model; its attributes say how it misbehaves.

    Attributes:
        files: content by name; may be changed between fetches.
        sha256: hash by name, where the list shall say another than the true one.
        requests: what was asked, in order.
        bytes_sent: bytes of files that went out.
        cut_after: bytes of the weights that one answer gives before the line goes dead.
        cuts_left: how many answers are cut.
        status: answer everything with this and no sense, where it is not 0.
        pause_seconds: how long the weights pause when `cut_after` bytes have gone out, uncut.
    """

    def __init__(self, model_id: str, files: dict[str, bytes]) -> None:
        self.model_id = model_id
        self.files = dict(files)
        self.revisions = ["master", "v1.0.0"]
        self.sha256: dict[str, str | None] = {}
        self.requests: list[Request] = []
        self.agents: set[str] = set()
        self.bytes_sent = 0
        self.cut_after = 0
        self.cuts_left = 0
        self.pause_seconds = 0.0
        self.status = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "FakeModelScope":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def asked(self, kind: str) -> list[Request]:
        """Return the requests of one kind: ``list``, ``revisions``, ``file``, ``storage``."""
        return [request for request in self.requests if request.kind == kind]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.answer(self)

            def log_message(self, *arguments: object) -> None:
                """Keep the tests' output clean."""

        return Handler

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        """Answer one call."""
        self.agents.add(call.headers["User-Agent"])
        url = urlsplit(call.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        model = f"/api/v1/models/{self.model_id}"
        if url.path == "/api/v1/repos/internalAccelerationInfo":
            _send_json(call, 200, {"Data": {"InternalRegionQueryAddress": ""}})
        elif self.status:
            refused = self.status >= 400
            _send(call, self.status, b'{"Message": "not today"}' if refused else b"<html>Log in")
        elif url.path == f"{model}/repo/files":
            self._note("list")
            _send_json(call, 200, {"Code": 200, "Data": {"Files": self._entries(query)}})
        elif url.path == f"{model}/revisions":
            self._note("revisions")
            branches = [{"Revision": name} for name in self.revisions]
            _send_json(call, 200, {"Data": {"RevisionMap": {"Branches": branches, "Tags": []}}})
        elif url.path == f"{model}/repo" and query["FilePath"] == STORED_APART:
            self._note("file", STORED_APART)
            call.send_response(302)
            call.send_header("Location", f"{self.url}/storage/{STORED_APART}")
            call.end_headers()
        elif url.path == f"{model}/repo":
            self._note("file", query["FilePath"])
            self._send_file(call, self.files[query["FilePath"]])
        elif url.path == f"/storage/{STORED_APART}":
            self._send_stored(call)
        else:
            _send_json(call, 404, _NO_SUCH_MODEL)

    def _note(self, kind: str, file: str = "", start: int = 0) -> None:
        self.requests.append(Request(kind, file, start))

    def _entries(self, query: dict[str, str]) -> list[dict[str, object]] | None:
        if query["Revision"] not in self.revisions:
            return None
        folder: dict[str, object] = {"Path": "description", "Type": "tree", "Size": 0}
        return [
            folder,
            *(
                {
                    "Path": name,
                    "Name": name,
                    "Type": "blob",
                    "Size": len(content),
                    "Sha256": self.sha256.get(name, hashlib.sha256(content).hexdigest()),
                }
                for name, content in self.files.items()
            ),
        ]

    def _send_stored(self, call: BaseHTTPRequestHandler) -> None:
        content = self.files[STORED_APART]
        asked = re.fullmatch(r"bytes=(\d+)-", call.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self._note("storage", STORED_APART, start)
        self._send_file(call, content[start:], start if asked else None)

    def _send_file(
        self, call: BaseHTTPRequestHandler, content: bytes, start: int | None = None
    ) -> None:
        call.send_response(200 if start is None else 206)
        call.send_header("Content-Length", str(len(content)))
        if start is not None:
            end = start + len(content)
            call.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        call.end_headers()
        first = len(content)
        if self.cuts_left and call.path.startswith("/storage/"):
            self.cuts_left -= 1
            first = self.cut_after
        self._write(call, content[:first])
        if first < len(content) and self.pause_seconds:
            time.sleep(self.pause_seconds)
            self._write(call, content[first:])

    def _write(self, call: BaseHTTPRequestHandler, content: bytes) -> None:
        try:
            call.wfile.write(content)
            call.wfile.flush()
        except OSError:  # the client has gone, as it may
            return
        self.bytes_sent += len(content)


def _send_json(call: BaseHTTPRequestHandler, status: int, value: object) -> None:
    _send(call, status, json.dumps(value).encode())


def _send(call: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    call.send_response(status)
    call.send_header("Content-Length", str(len(body)))
    call.end_headers()
    call.wfile.write(body)

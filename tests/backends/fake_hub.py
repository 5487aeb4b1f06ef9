"""A Hugging Face hub on this machine: its HTTP answers, good and bad, to the real client."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by name, each a folder, and what goes wrong.

    Attributes:
        gated: repositories whose files only some may read.
        revisions: that exist, beside commits.
        broken: names of files whose transfer ends half-way.
        busy: answer everything with this status.
        asked: paths of all requests.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    revisions: set[str] = field(default_factory=lambda: {"main", COMMIT})
    broken: set[str] = field(default_factory=set)
    busy: int | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def refusal(self, repository: str, revision: str, *, files: bool) -> tuple[int, str] | None:
        """Return the status and the error code of what may not be had."""
        if self.busy is not None:
            return self.busy, ""
        if repository not in self.folders:
            return 401, "RepoNotFound"
        if revision not in self.revisions:
            return 404, "RevisionNotFound"
        return (403, "GatedRepo") if files and repository in self.gated else None


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does, from the server's `hub`."""

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.hub.asked.append(self.path)
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            revision = parts[5] if "revision" in parts or "tree" in parts else "main"
            self._repository("/".join(parts[2:4]), revision, tree="tree" in parts)
        else:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    do_HEAD = do_GET

    def _repository(self, repository: str, revision: str, *, tree: bool) -> None:
        refused = self.hub.refusal(repository, revision, files=False)
        if refused:
            self._refuse(*refused)
            return
        files = sorted(
            file.relative_to(self.hub.folders[repository]).as_posix()
            for file in self.hub.folders[repository].rglob("*")
            if file.is_file()
        )
        listing = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in files]
        about = {
            "id": repository,
            "sha": COMMIT,
            "siblings": [{"rfilename": name} for name in files],
        }
        body = json.dumps(listing if tree else about).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _file(self, repository: str, revision: str, name: str) -> None:
        refused = self.hub.refusal(repository, revision, files=True)
        if refused:
            self._refuse(*refused)
            return
        path = self.hub.folders[repository] / name
        if not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data = path.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        tag = hashlib.sha256(data).hexdigest()
        named = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(data))}
        cut = len(data) // 2 if path.name in self.hub.broken else None
        self._send(206 if start else 200, data[start:], named, cut=cut)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


@contextlib.contextmanager
def served_hub() -> Iterator[Hub]:
    """Serve a hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = hub  # type: ignore[attr-defined]
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

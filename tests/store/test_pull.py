"""Pulling the benchmark: every source, every fault, and never a half-replaced cache."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dpgbench.errors import DataError, SetupError
from dpgbench.store.benchmarks import load_folder
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.pull import Upstream, dpg_upstream, pull
from tests.helpers import csv_text, row

PROMPTS = {"a1": b"a first prompt", "12": b"a second prompt\n", "b_3": b"a third prompt"}
QUESTIONS = csv_text([row("a1", 1), row("a1", 2, "1"), row("12", 1), row("b_3", 1)]).encode()
FILES = {
    **{f"ELLA-3c228f1/dpg_bench/prompts/{name}.txt": text for name, text in PROMPTS.items()},
    "ELLA-3c228f1/dpg_bench/dpg_bench.csv": QUESTIONS,
    "ELLA-3c228f1/README.md": b"not ours",
    "ELLA-3c228f1/dpg_bench/compute_dpg_bench.py": b"not ours either",
}
BLOBS = {name: git_blob_id(text) for name, text in PROMPTS.items()}


def upstream(url: str = "http://127.0.0.1:9/none") -> Upstream:
    return Upstream(url, git_blob_id(QUESTIONS), BLOBS)


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "dpg"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("pack", [tar, zipped])
def test_archives(tmp_path: Path, target: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    (tmp_path / "archive").write_bytes(pack(FILES))
    pulled = pull(str(tmp_path / "archive"), target, upstream())
    assert (pulled.num_prompts, pulled.has_questions) == (3, True)
    assert sorted(contents(target)) == [
        "dpg_bench.csv", "prompts/12.txt", "prompts/a1.txt", "prompts/b_3.txt", "source.json",
    ]  # fmt: skip
    benchmark = load_folder(target, "dpg")
    assert benchmark.prompts["12"] == "a second prompt"
    assert benchmark.num_questions == 4


def test_prompts_first_and_questions_later(tmp_path: Path, target: Path) -> None:
    (tmp_path / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (tmp_path / "prompts" / f"{name}.txt").write_bytes(text)
    assert not pull(str(tmp_path), target, upstream()).has_questions
    assert not load_folder(target, "dpg").has_graphs
    (tmp_path / "questions.csv").write_bytes(QUESTIONS)
    assert pull(str(tmp_path / "questions.csv"), target, upstream()).has_questions
    assert load_folder(target, "dpg").num_questions == 4
    assert pull(str(tmp_path), target, upstream()).has_questions  # kept: the folder has none


def _altered(name: str, data: bytes | None) -> dict[str, bytes]:
    changed = {key: value for key, value in FILES.items() if not key.endswith(name)}
    return changed if data is None else {**changed, f"ELLA-3c228f1/dpg_bench/{name}": data}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar(_altered("prompts/a1.txt", b"a first prompT")), "prompts/a1.txt differs"),
        (tar(_altered("prompts/a1.txt", None)), "lacks 1 of 3 prompt files: prompts/a1.txt"),
        (tar(_altered("dpg_bench.csv", QUESTIONS + b"\n")), "dpg_bench.csv differs"),
        (tar({"ELLA/README.md": b"x"}), "holds no dpg_bench/ files"),
        (tar(FILES)[:-40], "cut off or damaged"),
        (gzip.compress(b"not a tar"), "cut off or damaged"),
        (b"item_id,text\n", "dpg_bench.csv differs"),
        (tar({**FILES, "x/dpg_bench/prompts/..\\e.txt": b""}), "item id"),
    ],
    # the archives hold the time they were made at: no part of a test's name
    ids=["byte", "missing", "questions", "empty", "cut", "no-tar", "no-questions", "path"],
)
def test_faults_leave_what_was_there(
    tmp_path: Path, target: Path, content: bytes, says: str
) -> None:
    (tmp_path / "good").write_bytes(tar(FILES))
    pull(str(tmp_path / "good"), target, upstream())
    before = contents(target)
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError) as error:
        pull(str(tmp_path / "bad"), target, upstream())
    assert says in str(error.value)
    assert contents(target) == before
    assert sorted(path.name for path in target.parent.iterdir()) == [".dpg.lock", "dpg"]


class Handler(http.server.BaseHTTPRequestHandler):
    body = b""
    cut_after: int | None = None

    def do_GET(self) -> None:
        if self.path != "/archive.tar.gz":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[: self.cut_after])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(body: bytes, cut_after: int | None = None) -> str:
        handler = type("H", (Handler,), {"body": body, "cut_after": cut_after})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/archive.tar.gz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download_from_upstream(target: Path, serve: Callable[..., str]) -> None:
    seen: list[tuple[int, int | None]] = []
    body = tar(FILES)
    pulled = pull(
        None, target, upstream(serve(body)), progress=lambda done, total: seen.append((done, total))
    )
    assert pulled.has_questions
    assert seen[-1] == (len(body), len(body))


def test_cut_download(target: Path, serve: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="was cut off after 100 "):
        pull(serve(tar(FILES), cut_after=100), target, upstream())
    assert not target.exists()


def test_upstream_without_its_questions(target: Path, serve: Callable[..., str]) -> None:
    url = serve(tar(_altered("dpg_bench.csv", None)))
    with pytest.raises(DataError, match=r"lacks dpg_bench\.csv"):
        pull(None, target, upstream(url))
    assert not target.exists()


def test_unreachable_and_not_found(target: Path, serve: Callable[..., str]) -> None:
    with pytest.raises(SetupError, match="answered 404"):
        pull(serve(b"x") + "x", target, upstream())
    with pytest.raises(SetupError, match=r"cannot be reached.*--from"):
        pull(None, target, upstream())


def test_the_index_has_the_1065_prompts_of_upstream() -> None:
    published = dpg_upstream()
    assert len(published.prompt_blobs) == 1065
    assert "3c228f1dc6c4d3cad0a47493816151a419f14db3" in published.url
    assert all(len(blob) == 40 for blob in published.prompt_blobs.values())


def test_real_prompts(shared: Path, target: Path) -> None:
    pulled = pull(str(shared / "data" / "dpg_bench"), target, dpg_upstream())
    assert (pulled.num_prompts, pulled.has_questions) == (1065, False)

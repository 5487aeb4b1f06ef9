"""Pulling from what cannot be trusted: bombs, locked archives, Windows clones, mirrors, kills."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dpgbench.errors import DataError, SetupError, UsageError
from dpgbench.store.benchmarks import load_benchmark, load_folder, questions_source
from dpgbench.store.files import locked_folder
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.pull import Upstream, pull
from tests.helpers import Run, csv_text, row

PROMPTS = {"a1": b"first line\nsecond line", "12": b"one\n", "b_3": b"a third prompt"}
QUESTIONS = csv_text([row("a1", 1), row("a1", 2, "1"), row("12", 1), row("b_3", 1)]).encode()
FILES = {f"dpg_bench/prompts/{name}.txt": text for name, text in PROMPTS.items()}
FILES["dpg_bench/dpg_bench.csv"] = QUESTIONS
BLOBS = {name: git_blob_id(text) for name, text in PROMPTS.items()}


def upstream(url: str = "http://127.0.0.1:9/none", *mirrors: str) -> Upstream:
    return Upstream(url, git_blob_id(QUESTIONS), BLOBS, mirrors)


def zip_bytes(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_xz(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def with_local_headers(data: bytes, offset: int, value: int) -> bytes:
    """Return a zip with a 16-bit field changed in every header; `offset` is the local one's."""
    changed = bytearray(data)
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = changed.find(mark)
        while at >= 0:
            struct.pack_into("<H", changed, at + offset + shift, value)
            at = changed.find(mark, at + 4)
    return bytes(changed)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A cache that holds a sound benchmark."""
    source = tmp_path / "good.zip"
    source.write_bytes(zip_bytes(FILES))
    folder = tmp_path / "cache" / "dpg"
    pull(str(source), folder, upstream())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def damaged_xz() -> bytes:
    data = bytearray(tar_xz({**FILES, "dpg_bench/noise": random.Random(0).randbytes(20_000)}))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        with_local_headers(zip_bytes(FILES), 6, 1),
        with_local_headers(zip_bytes(FILES), 8, 99),
        zip_bytes(FILES).replace(b"\xcb", b"\xff"),
        damaged_xz(),
    ],
    ids=["encrypted", "unknown-method", "bad-deflate", "corrupt-xz"],
)
def test_archives_that_cannot_be_unpacked(tmp_path: Path, target: Path, content: bytes) -> None:
    before = contents(target)
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked.*nothing was replaced"):
        pull(str(tmp_path / "bad"), target, upstream())
    assert contents(target) == before


@pytest.mark.parametrize(
    ("name", "most_mib"),
    [
        ("dpg_bench/prompts/bomb.txt", 20),
        ("dpg_bench/prompts/a1.txt", 20),
        ("dpg_bench/dpg_bench.csv", 60),
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path: Path, target: Path, name: str, most_mib: int) -> None:
    before = contents(target)
    (tmp_path / "bomb.zip").write_bytes(zip_bytes({name: bytes(200 * 2**20)}))
    tracemalloc.start()
    with pytest.raises(DataError):
        pull(str(tmp_path / "bomb.zip"), target, upstream())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most_mib * 2**20
    assert contents(target) == before


def test_line_ends_of_a_windows_clone_are_turned_back(tmp_path: Path, target: Path) -> None:
    before = contents(target)
    clone = tmp_path / "clone"
    (clone / "prompts").mkdir(parents=True)
    for name, text in PROMPTS.items():
        (clone / "prompts" / f"{name}.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    (clone / "dpg_bench.csv").write_bytes(QUESTIONS.replace(b"\n", b"\r\n"))
    pulled = pull(str(clone), target, upstream())
    assert pulled.line_ends_restored == 3  # a1, 12 and the questions; b_3 has no line end
    stored = contents(target)
    assert {k: v for k, v in stored.items() if k != "source.json"} == {
        k: v for k, v in before.items() if k != "source.json"
    }


def test_the_command_says_that_line_ends_were_turned_back(
    shared: Path, tmp_path: Path, run: Run
) -> None:
    clone = tmp_path / "clone" / "prompts"
    clone.mkdir(parents=True)
    for path in (shared / "data" / "dpg_bench" / "prompts").glob("*.txt"):
        lines = path.read_bytes().split(b"\n")
        ended = b"\r\n".join(lines) + (b"\r" if lines[-1] else b"")
        (clone / path.name).write_bytes(ended)
    ended_run = run("prompts", "pull", "--from", clone.parent)
    assert ended_run.code == 0
    assert "1065 prompts verified" in ended_run.out
    assert "1065 files had Windows line ends" in ended_run.err


class Handler(BaseHTTPRequestHandler):
    pages: Mapping[str, bytes] = {}

    def do_GET(self) -> None:
        body = self.pages.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


Serve = Callable[[Mapping[str, bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(pages: Mapping[str, bytes]) -> str:
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("H", (Handler,), {"pages": dict(pages)})
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_mirrors_of_the_question_file_in_order(tmp_path: Path, serve: Serve) -> None:
    prompts_only = {k: v for k, v in FILES.items() if k.endswith(".txt")}
    base = serve(
        {"/all.zip": zip_bytes(prompts_only), "/b": QUESTIONS + b"\n", "/c": QUESTIONS, "/d": b""}
    )
    folder = tmp_path / "cache" / "dpg"
    mirrors = [f"{base}/{name}" for name in ("a", "b", "c", "d")]
    pulled = pull(None, folder, upstream(f"{base}/all.zip", *mirrors))
    assert pulled.questions_from == f"{base}/c"
    assert (pulled.num_prompts, pulled.has_questions) == (3, True)
    lacks, missing, other = pulled.trouble
    assert "lacks dpg_bench.csv" in lacks
    assert "/a answered 404" in missing
    assert "/b: dpg_bench.csv differs" in other
    assert questions_source(folder) == f"{base}/c"
    assert load_folder(folder, "dpg").num_questions == 4


def test_a_mirror_serves_where_upstream_cannot_be_reached(tmp_path: Path, serve: Serve) -> None:
    base = serve({"/c": QUESTIONS})
    folder = tmp_path / "cache" / "dpg"
    pulled = pull(None, folder, upstream("http://127.0.0.1:9/none", f"{base}/c"))
    assert (pulled.num_prompts, pulled.questions_from) == (0, f"{base}/c")
    assert len(pulled.trouble) == 1


def test_no_source_has_it(tmp_path: Path, serve: Serve) -> None:
    base = serve({"/b": b"other"})
    folder = tmp_path / "cache" / "dpg"
    with pytest.raises(SetupError) as error:
        pull(None, folder, upstream("http://127.0.0.1:9/none", f"{base}/a", f"{base}/b"))
    assert "could not be had from 3 sources" in str(error.value)
    assert "404" in str(error.value)
    assert not folder.exists()


def test_the_source_of_kept_questions_is_kept(tmp_path: Path, target: Path) -> None:
    (tmp_path / "q.csv").write_bytes(QUESTIONS)
    pull(str(tmp_path / "q.csv"), target, upstream())
    folder = tmp_path / "prompts_only"
    (folder / "prompts").mkdir(parents=True)
    for name, text in PROMPTS.items():
        (folder / "prompts" / f"{name}.txt").write_bytes(text)
    pulled = pull(str(folder), target, upstream())
    assert pulled.questions_from == str(tmp_path / "q.csv")
    assert json.loads((target / "source.json").read_text())["questions_from"].endswith("q.csv")


def test_a_switch_that_was_killed_is_mended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "benchmarks" / "dpg"
    (tmp_path / "good.zip").write_bytes(zip_bytes(FILES))
    pull(str(tmp_path / "good.zip"), folder, upstream())
    (folder.parent / ".dpg-new-x").mkdir()
    folder.rename(folder.parent / ".dpg-old-x")  # the first of the two renames
    assert load_benchmark("dpg").num_questions == 4
    assert sorted(p.name for p in folder.parent.iterdir()) == [".dpg.lock", "dpg"]


def test_questions_changed_after_the_pull_are_refused_and_those_of_before_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "benchmarks" / "dpg"
    (tmp_path / "good.zip").write_bytes(zip_bytes(FILES))
    pull(str(tmp_path / "good.zip"), folder, upstream())
    assert load_benchmark("dpg").num_questions == 4
    table = folder / "dpg_bench.csv"
    table.write_bytes(table.read_bytes().replace(b"?", b" now?", 1))
    with pytest.raises(DataError, match=r"dpg_bench\.csv was changed after it was pulled"):
        load_benchmark("dpg")
    record = json.loads((folder / "source.json").read_text())
    (folder / "source.json").write_text(json.dumps({**record, "sha256": None}))
    assert load_benchmark("dpg").num_questions == 4  # as an earlier version left it


def test_a_failed_second_rename_brings_the_old_folder_back(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(target)
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if "-new-" in self.name:
            raise OSError(5, "input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(Exception, match="input/output error"):
        pull(str(tmp_path / "good.zip"), target, upstream())
    monkeypatch.undo()
    assert contents(target) == before
    assert sorted(p.name for p in target.parent.iterdir()) == [".dpg.lock", "dpg"]


def test_two_pulls_at_once_are_refused(tmp_path: Path, target: Path) -> None:
    with locked_folder(target), pytest.raises(UsageError, match="by another process"):
        pull(str(tmp_path / "good.zip"), target, upstream())


KILLED = """
import os, signal, sys
from pathlib import Path
from dpgbench.store import files
number = int(sys.argv[2])
rename = Path.rename
def counting(self, to):
    global number
    number -= 1
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, to)
Path.rename = counting
with files.locked_folder(Path(sys.argv[1])):
    files.replace_folder(Path(sys.argv[1]), {"new.txt": b"new"})
"""


@pytest.mark.parametrize("number", [1, 2])
def test_a_real_kill_at_each_rename(tmp_path: Path, target: Path, number: int) -> None:
    before = contents(target)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(target), str(number)], check=False, env=os.environ
    )
    assert killed.returncode == -signal.SIGKILL
    with locked_folder(target):
        pass
    assert contents(target) == before
    assert sorted(p.name for p in target.parent.iterdir()) == [".dpg.lock", "dpg"]


def test_a_runs_manifest_says_where_its_questions_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpgbench.jobs.generate import describe_benchmark

    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "good.zip").write_bytes(zip_bytes(FILES))
    pull(str(tmp_path / "good.zip"), tmp_path / "cache/benchmarks/dpg", upstream())
    described = describe_benchmark(load_benchmark("dpg"))
    assert described["questions_from"] == str(tmp_path / "good.zip")
    assert "questions_from" not in describe_benchmark(load_benchmark("shapes"))

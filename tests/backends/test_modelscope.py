"""Fetching the judge, against a ModelScope of this machine: no other host can be reached."""

import errno
import hashlib
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from modelscope_hub import _download, _legacy_api

from dpgbench.backends.entries import ModelScope
from dpgbench.backends.judges.table import JUDGES
from dpgbench.backends.weights import modelscope
from dpgbench.backends.weights.modelscope import MARKER, fetch
from dpgbench.errors import SetupError, StorageError
from tests.backends.fake_modelscope import STORED_APART, FakeModelScope, Request

(ROLE,) = JUDGES["mplug"].roles
assert isinstance(ROLE.source, ModelScope)
NEEDED = ROLE.source.required
MODEL = "somebody/judge"
SOURCE = ModelScope(MODEL, "judges/mplug", NEEDED)
BIG = 400_000
DiskUsage = namedtuple("DiskUsage", "total used free")


def some_files():
    made = random.Random(0)
    sizes = dict.fromkeys(NEEDED, 3000) | {STORED_APART: BIG, "README.md": 500}
    return {name: made.randbytes(size) for name, size in sizes.items()}


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """Fail on the first connection to any other host."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """The folder that the client would keep its things in; no setting of the user's counts."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("MODELSCOPE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(_download, "DOWNLOAD_RETRY_TIMES", 1)
    monkeypatch.setattr(_download, "DOWNLOAD_RETRY_MAX_DELAY_SECONDS", 0)
    monkeypatch.setattr(_download, "DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    monkeypatch.setattr(_legacy_api, "REPO_TREE_PAGE_MAX_ATTEMPTS", 2)
    monkeypatch.setattr(_legacy_api, "REPO_TREE_PAGE_RETRY_MAX_DELAY_SECONDS", 0)


@pytest.fixture
def hub(monkeypatch):
    with FakeModelScope(MODEL, some_files()) as fake:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", fake.url)
        yield fake


@pytest.fixture
def target(tmp_path):
    return tmp_path / "judges" / "mplug"


def get(target, *, lines=None, **kwargs):
    return fetch(SOURCE, target, say=(lines if lines is not None else []).append, **kwargs)


def refusal(target, kind=SetupError, **kwargs):
    """Return the one line that the fetch ends with."""
    with pytest.raises(kind) as caught:
        get(target, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert "--weights judge=FOLDER" in message or kind is StorageError
    return message


def assert_whole(target, files):
    for name in NEEDED:
        assert (target / name).read_bytes() == files[name]
    visible = {path.name for path in target.iterdir() if not path.name.startswith(".")}
    assert visible == set(NEEDED)


def test_only_the_needed_files_are_fetched(hub, target):
    assert get(target) == target
    assert_whole(target, hub.files)
    assert sorted(request.file for request in hub.asked("file")) == sorted(NEEDED)


def test_the_size_is_said_before_any_file_is_asked_for(hub, target):
    asked_when_said = []
    fetch(SOURCE, target, say=lambda line: asked_when_said.append((line, list(hub.requests))))
    [(line, asked)] = asked_when_said
    assert [request.kind for request in asked] == ["list"]
    assert "5 files, 0.00 GiB" in line
    for part in (MODEL, "master", str(target), "127.0.0.1"):
        assert part in line


def test_sizes_are_said_in_gib_with_what_is_there(hub, target, monkeypatch):
    target.mkdir(parents=True)
    files = [modelscope._File("a", 3 * 2**29, None), modelscope._File("b", 2**30, None)]
    monkeypatch.setattr(modelscope, "_bytes_there", lambda file, folder: file.size // 4)
    source = modelscope._Origin(None, "host", "x/y", "v1")
    line = modelscope._size_line(source, files, target)
    assert "2 files, 2.50 GiB, of which 0.62 GiB are already there" in line


def test_a_complete_folder_needs_no_network(hub, target):
    get(target)
    hub.requests.clear()
    lines = []
    assert get(target, lines=lines) == target
    assert (hub.requests, lines) == ([], [])


def test_a_complete_folder_does_not_even_import_the_client(hub, target):
    get(target)
    code = (
        "import sys; from pathlib import Path;"
        "from dpgbench.backends.weights.modelscope import ModelScope, fetch;"
        f"fetch({SOURCE!r}, Path({str(target)!r}), say=print);"
        "print([name for name in sys.modules if name.split('.')[0].startswith('modelscope')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_marker_says_what_is_there(hub, target):
    get(target, revision="v1.0.0")
    marker = json.loads((target / MARKER).read_text())
    assert (marker["model"], marker["revision"]) == (MODEL, "v1.0.0")
    assert marker["files"] == {
        name: {"size": len(hub.files[name]), "sha256": sha256(hub.files[name])} for name in NEEDED
    }


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / MARKER).write_text("{"),
        lambda folder: (folder / MARKER).write_text("[1]"),
        lambda folder: (folder / "vocab.txt").write_bytes(b"cut"),
        lambda folder: (folder / STORED_APART).unlink(),
    ],
)
def test_a_folder_that_was_spoiled_is_mended(hub, target, spoil):
    get(target)
    spoil(target)
    get(target)
    assert_whole(target, hub.files)


def test_files_copied_there_by_hand_are_checked_and_kept(hub, target):
    target.mkdir(parents=True)
    for name in NEEDED:
        (target / name).write_bytes(hub.files[name])
    get(target)
    assert hub.asked("file") == []
    assert (target / MARKER).exists()


def test_another_revision_in_the_same_folder_is_fetched_anew(hub, target):
    get(target)
    hub.files[STORED_APART] = random.Random(1).randbytes(BIG)
    get(target, revision="v1.0.0")
    assert_whole(target, hub.files)


def test_a_cut_transfer_goes_on_where_it_stopped(hub, target):
    hub.cut_after, hub.cuts_left = 150_000, 2
    message = refusal(target)
    assert "the transfer was cut off" in message
    assert f"kept in {target}" in message
    assert (target / f"{STORED_APART}.incomplete").stat().st_size == 300_000
    assert not (target / MARKER).exists()

    hub.requests.clear()
    hub.bytes_sent = 0
    lines = []
    get(target, lines=lines)
    assert hub.asked("storage") == [Request("storage", STORED_APART, 300_000)]
    assert hub.bytes_sent == BIG - 300_000
    assert_whole(target, hub.files)


def test_what_is_there_already_is_counted(hub, target):
    hub.cut_after, hub.cuts_left = 150_000, 2
    refusal(target)
    file = modelscope._File(STORED_APART, BIG, None)
    assert modelscope._bytes_there(file, target) == 300_000


def test_a_partial_file_of_other_content_ends_right(hub, target):
    target.mkdir(parents=True)
    (target / f"{STORED_APART}.incomplete").write_bytes(b"x" * 1000)
    get(target)
    assert [request.start for request in hub.asked("storage")] == [1000, 0]
    assert_whole(target, hub.files)


def test_a_slow_line_outlives_the_clients_time_limit(hub, target, monkeypatch):
    monkeypatch.setattr(_download, "DOWNLOAD_TOTAL_TIMEOUT", 0.5)
    hub.cut_after, hub.cuts_left, hub.pause_seconds = 150_000, 1, 1.5
    get(target)
    assert [request.start for request in hub.asked("storage")] == [0, 150_000]
    assert_whole(target, hub.files)


def test_a_line_that_stands_still_is_an_error(hub, target, monkeypatch):
    monkeypatch.setattr(_download, "DOWNLOAD_TOTAL_TIMEOUT", 0.5)
    hub.cut_after, hub.cuts_left, hub.pause_seconds = 0, 9, 1.5
    message = refusal(target)
    assert "timed out" in message or "cut off" in message
    assert len(hub.asked("storage")) == 1


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_an_interrupt_passes_through_and_the_next_call_resumes(hub, target, home):
    hub.cut_after, hub.cuts_left, hub.pause_seconds = 150_000, 1, 30
    code = (
        "from pathlib import Path;"
        "from dpgbench.backends.weights.modelscope import ModelScope, fetch;"
        f"fetch({SOURCE!r}, Path({str(target)!r}), say=lambda line: None)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    part = target / f"{STORED_APART}.incomplete"
    limit = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size == 150_000) and time.monotonic() < limit:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=10)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert out == ""

    get(target)
    assert hub.asked("storage")[-1].start == 150_000
    assert_whole(target, hub.files)


def test_an_unknown_repository(hub, target):
    hub.model_id = "somebody/other"
    message = refusal(target)
    assert f"has no model {MODEL}" in message
    assert not target.exists()


def test_an_unknown_revision_names_those_there_are(hub, target):
    message = refusal(target, revision="v9")
    assert "has no revision 'v9'" in message
    assert "master, v1.0.0" in message


def test_a_repository_that_lacks_a_file(hub, target):
    del hub.files["config_bert.json"]
    message = refusal(target)
    assert "lacks config_bert.json" in message
    assert hub.asked("file") == []


def test_wrong_content_is_thrown_away(hub, target):
    hub.sha256[STORED_APART] = "0" * 64
    message = refusal(target)
    assert "wrong content" in message
    assert STORED_APART in message
    assert not list(target.glob(f"{STORED_APART}*"))
    assert not (target / MARKER).exists()

    del hub.sha256[STORED_APART]
    get(target)
    assert_whole(target, hub.files)


def test_a_file_listed_without_a_hash_is_held_to_its_size(hub, target):
    hub.sha256["vocab.txt"] = None
    target.mkdir(parents=True)
    (target / "vocab.txt").write_bytes(b"from another revision")
    get(target)
    assert_whole(target, hub.files)
    marker = json.loads((target / MARKER).read_text())
    assert marker["files"]["vocab.txt"]["sha256"] == sha256(hub.files["vocab.txt"])


def test_no_network(target, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", f"http://127.0.0.1:{port}")
    message = refusal(target)
    assert f"cannot be fetched from 127.0.0.1:{port}: Connection refused" in message
    assert "check the network" in message


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "MODELSCOPE_API_TOKEN"), (403, "refuses"), (503, "not today"), (200, "not one that")],
)
def test_a_server_that_refuses(hub, target, status, words):
    hub.status = status
    assert words in refusal(target)


def test_a_disk_too_small_is_said_before_the_transfer(hub, target, monkeypatch):
    monkeypatch.setattr(modelscope.shutil, "disk_usage", lambda path: DiskUsage(9, 0, BIG))
    message = refusal(target, StorageError)
    assert "DPGBENCH_CACHE" in message
    assert hub.asked("file") == []


class FullDisk:
    """A file on a disk that has no room for it."""

    def __init__(self, path, mode):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up(hub, target, monkeypatch):
    monkeypatch.setattr(_download, "open", FullDisk, raising=False)
    message = refusal(target, StorageError)
    assert "the disk is full" in message
    assert str(target) in message


def test_a_folder_that_cannot_be_made(hub, tmp_path):
    (tmp_path / "taken").write_text("a file")
    assert "taken" in refusal(tmp_path / "taken" / "judge", StorageError)


def test_a_missing_client_names_the_package(target, monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    assert "pip install -U modelscope" in refusal(target)


def test_stdout_stays_empty_and_the_bar_is_on_stderr(hub, target, capfd):
    get(target)
    hub.model_id = "somebody/other"
    refusal(target / "more")
    out, err = capfd.readouterr()
    assert out == ""
    assert STORED_APART in err
    assert "modelscope_hub" not in err


@pytest.mark.parametrize("wished", ["DEBUG", None])
def test_the_clients_log_is_quiet_unless_wished_for(hub, target, monkeypatch, wished):
    if wished:
        monkeypatch.setenv("MODELSCOPE_LOG_LEVEL", wished)
    log = logging.getLogger("modelscope_hub")
    before, levels = log.level, []
    fetch(SOURCE, target, say=lambda line: levels.append(log.level))
    assert levels == [before if wished else logging.CRITICAL]
    assert log.level == before


def test_no_lasting_identifier_is_made_or_sent(hub, target, home):
    get(target)
    assert not home.exists()
    assert all(f"session_id/{'0' * 32}" in agent for agent in hub.agents)

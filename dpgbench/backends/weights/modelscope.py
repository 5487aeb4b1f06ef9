"""Fetching the mPLUG judge with ModelScope's own client: said first, resumed, checked, once.

Where the client goes is its own affair (``MODELSCOPE_ENDPOINT``), and so are its bar, its partial
files (``NAME.incomplete`` beside each file) and its check of every file's SHA-256. Here lives what
the toolkit adds: which files, the size before the transfer, no call at all when everything is
there, errors in one line. What was fetched is only written, never opened here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from dpgbench.backends.weights.modelscope_source import OWN_COPY, Source, in_plain_words
from dpgbench.errors import DataError, SetupError, StorageError, shortened
from dpgbench.store.files import read_json, sha256_file, write_json, writing

if TYPE_CHECKING:
    from modelscope_hub import HubApi

NEEDED = ("configuration.json", "config.yaml", "config_bert.json", "vocab.txt", "pytorch_model.bin")
MARKER = ".fetched.json"

_CLIENT_LOG = "modelscope_hub"
_DEFAULT_REVISION = "master"


class _File(NamedTuple):
    """A file as the repository lists it; a size of 0 means that it does not say."""

    name: str
    size: int
    sha256: str | None


def fetch(
    model_id: str, target: Path, *, revision: str | None = None, say: Callable[[str], None]
) -> Path:
    """Return `target` with the judge's files in it, fetched where they are not there yet.

    A cut transfer goes on where it stopped when this is called again. Once all is there, a marker
    file says so and later calls make no network call, even where `revision` is a branch that moved.

    Args:
        model_id: ``owner/name`` on ModelScope.
        target: folder for this model at this revision; made when missing.
        revision: branch, tag or commit; None is the default branch.
        say: told one line with the size before the first file is asked for.

    Raises:
        SetupError: no network, no such repository or revision, a file missing or not as listed.
        StorageError: the disk is full or `target` cannot be written.
    """
    if _is_complete(target, model_id, revision):
        return target
    api, host = _connect(target)
    source = Source(api, host, model_id, revision or _DEFAULT_REVISION)
    with _quiet_client(), in_plain_words(source, target):
        files = _list_files(source)
        say(_size_line(source, files, target))
        _make_room(files, target)
        for file in files:
            _download(source, file, target)
    _mark_complete(target, model_id, revision, files)
    return target


def _is_complete(target: Path, model_id: str, revision: str | None) -> bool:
    try:
        marker = read_json(target / MARKER)
        sizes = {name: marker["files"][name]["size"] for name in NEEDED}
        asked = (marker["model"], marker["revision"])
        there = {name: (target / name).stat().st_size for name in NEEDED}
    except (DataError, LookupError, TypeError, OSError):
        return False
    return asked == (model_id, revision) and there == sizes


def _mark_complete(target: Path, model_id: str, revision: str | None, files: list[_File]) -> None:
    records = {
        file.name: {
            "size": (target / file.name).stat().st_size,
            "sha256": file.sha256 or sha256_file(target / file.name),
        }
        for file in files
    }
    write_json(target / MARKER, {"model": model_id, "revision": revision, "files": records})


def _connect(target: Path) -> tuple[HubApi, str]:
    """Return ModelScope's client, keeping its locks in `target`, and the host it talks to."""
    try:
        from modelscope_hub import HubApi, HubConfig
    except ImportError as error:
        raise SetupError(
            f"ModelScope's client cannot be imported ({error}); "
            f"run: pip install -U modelscope, {OWN_COPY}"
        ) from error

    class AnonymousConfig(HubConfig):
        """The client's settings without the identifier by which it would know this machine."""

        def get_session_id(self) -> str:
            return "0" * 32

    config = AnonymousConfig(cache_dir=target)
    return HubApi(config), urlsplit(config.endpoint or "").netloc.rpartition("@")[2]


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep the client's log lines back: its errors are raised too. The user's own level counts."""
    log = logging.getLogger(_CLIENT_LOG)
    level = log.level
    if "MODELSCOPE_LOG_LEVEL" not in os.environ:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _list_files(source: Source) -> list[_File]:
    """Return the needed files as the repository lists them, the small ones first.

    Raises:
        SetupError: there is no such repository or revision, or it lacks a file.
    """
    from modelscope_hub.errors import NotExistError

    try:
        entries = source.api.list_repo_files(source.model_id, "model", revision=source.revision)
    except NotExistError:
        entries = []
    listed = {entry.path: _File(entry.path, entry.size, entry.sha256 or None) for entry in entries}
    missing = [name for name in NEEDED if name not in listed]
    if missing:
        raise _explain_missing(source, missing)
    return [listed[name] for name in NEEDED]


def _explain_missing(source: Source, missing: list[str]) -> SetupError:
    """Return why files are not listed: ModelScope lists an unknown revision as an empty folder."""
    from modelscope_hub.errors import NotExistError

    try:
        known = source.api.list_repo_revisions(source.model_id, "model")
    except NotExistError:
        return SetupError(
            f"{source.host} has no model {source.model_id}, or it is private; check the name and "
            f"MODELSCOPE_ENDPOINT, {OWN_COPY}"
        )
    revisions = [str(entry["Revision"]) for entry in known if entry.get("Revision")]
    if revisions and source.revision not in revisions:
        return SetupError(
            f"{source.model_id} on {source.host} has no revision '{source.revision}'; "
            f"ask for one that it has ({shortened(revisions)}), {OWN_COPY}"
        )
    return SetupError(
        f"{source} on {source.host} lacks {', '.join(missing)}; "
        f"ask for another revision with --revision, {OWN_COPY}"
    )


def _size_line(source: Source, files: list[_File], target: Path) -> str:
    total = sum(file.size for file in files)
    there = sum(_bytes_there(file, target) for file in files)
    return (
        f"fetching {source} from {source.host}: {len(files)} files, {_gib(total)}, "
        f"of which {_gib(there)} are already there, into {target}"
    )


def _make_room(files: list[_File], target: Path) -> None:
    """Make the folder, and stop before the transfer where the disk cannot hold what is to come."""
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    to_come = sum(max(0, file.size - _bytes_there(file, target)) for file in files)
    free = shutil.disk_usage(target).free
    if free < to_come:
        raise StorageError(
            f"{target} has {_gib(free)} free, but {_gib(to_come)} are to come; make room or set "
            f"DPGBENCH_CACHE to a folder on another disk, then run the same command again, "
            f"{OWN_COPY}"
        )


def _download(source: Source, file: _File, target: Path) -> None:
    """Fetch one file; a transfer that is only slow goes on past the client's limit of an hour."""
    from modelscope_hub.errors import FileIntegrityError, RequestTimeoutError

    _remove_unless_right_size(file, target)
    while True:
        before = _bytes_there(file, target)
        try:
            source.api.download_file(
                source.model_id,
                "model",
                file.name,
                revision=source.revision,
                local_dir=target,
                expected_sha256=file.sha256,
            )
            break
        except RequestTimeoutError as error:
            if error.retryable or _bytes_there(file, target) <= before:
                raise
    if not _remove_unless_right_size(file, target):
        raise FileIntegrityError(f"{file.name} is not of the {file.size} bytes that are listed")


def _remove_unless_right_size(file: _File, target: Path) -> bool:
    """Return whether the file, if there is one, has the size listed; one that has not is removed.

    The client checks hashes; this is for files that the repository lists without one.
    """
    path = target / file.name
    if not path.exists() or not file.size or path.stat().st_size == file.size:
        return True
    path.unlink()
    return False


def _bytes_there(file: _File, target: Path) -> int:
    """Return how much of a file is in `target`: whole, or as the client's partial file."""
    for name in (file.name, f"{file.name}.incomplete"):
        if (target / name).exists():
            return min((target / name).stat().st_size, file.size)
    return 0


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"

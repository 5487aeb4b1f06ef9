"""Fetching a model with ModelScope's own client: size first, resumed, checked, once.

Where the client goes is its own affair (``MODELSCOPE_ENDPOINT``), and so are its bar, its partial
files (``NAME.incomplete`` beside each file) and its check of every file's SHA-256. Here lives what
the toolkit adds: which files, the size before the transfer, no call at all when everything is
there, errors in one line. What was fetched is only written, never opened here.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from dpgbench.backends.entries import ModelScope
from dpgbench.errors import DataError, SetupError, StorageError, reason_of, shortened
from dpgbench.store.files import read_json, write_json, writing
from dpgbench.store.hashes import sha256_file

if TYPE_CHECKING:
    from modelscope_hub import HubApi

MARKER = ".fetched.json"

OWN_COPY = (
    "or give a copy of your own with --weights judge=FOLDER, or take Hugging Face's with "
    "--weights-source hf"
)
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_CLIENT_LOG = "modelscope_hub"
_DEFAULT_REVISION = "master"


class _Origin(NamedTuple):
    """A model at a revision, and the client that reaches it."""

    api: HubApi
    host: str
    model_id: str
    revision: str

    def __str__(self) -> str:
        return f"{self.model_id} (revision {self.revision})"


class _File(NamedTuple):
    """A file as the repository lists it; a size of 0 means that it does not say."""

    name: str
    size: int
    sha256: str | None


def fetch(
    source: ModelScope,
    target: Path,
    *,
    revision: str | None = None,
    say: Callable[[str], None],
) -> Path:
    """Return `target` with the model's files in it, fetched where they are not there yet.

    A cut transfer goes on where it stopped when this is called again. Once all is there, a marker
    file says so and later calls make no network call, even where `revision` is a branch that moved.

    Args:
        source: the model, and which of its files.
        target: folder for this model at this revision; made when missing.
        revision: branch, tag or commit; None is the default branch.
        say: gets one line with the size before the first file is asked for.

    Raises:
        SetupError: no network, no such repository or revision, a file missing or not as listed.
        StorageError: the disk is full or `target` cannot be written.
    """
    if _is_complete(target, source, revision):
        return target
    api, host = _connect(target)
    origin = _Origin(api, host, source.model, revision or _DEFAULT_REVISION)
    with _quiet_client(), _in_plain_words(origin, target):
        files = _list_files(origin, source.required)
        say(_size_line(origin, files, target))
        _make_room(files, target)
        for file in files:
            _download(origin, file, target)
    _mark_complete(target, source, revision, files)
    return target


def is_of_revision(folder: Path, revision: str | None) -> bool:
    """Return whether `fetch` has filled a folder with the files of a revision."""
    try:
        return bool(read_json(folder / MARKER)["revision"] == revision)
    except (DataError, LookupError, TypeError):
        return False


def _is_complete(target: Path, source: ModelScope, revision: str | None) -> bool:
    try:
        marker = read_json(target / MARKER)
        listed = {name: marker["files"][name]["size"] for name in source.required}
        there = {name: (target / name).stat().st_size for name in source.required}
        marked = (marker["model"], marker["revision"])
    except (DataError, LookupError, TypeError, OSError):
        return False
    return marked == (source.model, revision) and there == listed


def _mark_complete(
    target: Path, source: ModelScope, revision: str | None, files: list[_File]
) -> None:
    records = {
        file.name: {
            "size": (target / file.name).stat().st_size,
            "sha256": file.sha256 or sha256_file(target / file.name),
        }
        for file in files
    }
    write_json(target / MARKER, {"model": source.model, "revision": revision, "files": records})


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


def _list_files(origin: _Origin, names: Sequence[str]) -> list[_File]:
    """Return files as the repository lists them, in the order of `names`.

    Raises:
        SetupError: there is no such repository or revision, or it lacks a file.
    """
    from modelscope_hub.errors import NotExistError

    try:
        entries = origin.api.list_repo_files(origin.model_id, "model", revision=origin.revision)
    except NotExistError:
        entries = []
    listed = {entry.path: _File(entry.path, entry.size, entry.sha256 or None) for entry in entries}
    missing = [name for name in names if name not in listed]
    if missing:
        raise _explain_missing(origin, missing)
    return [listed[name] for name in names]


def _explain_missing(origin: _Origin, missing: list[str]) -> SetupError:
    """Return why files are not listed: ModelScope lists an unknown revision as an empty folder."""
    from modelscope_hub.errors import NotExistError

    try:
        listed = origin.api.list_repo_revisions(origin.model_id, "model")
    except NotExistError:
        return SetupError(
            f"{origin.host} has no model {origin.model_id}, or it is private; check the name and "
            f"MODELSCOPE_ENDPOINT, {OWN_COPY}"
        )
    revisions = [str(entry["Revision"]) for entry in listed if entry.get("Revision")]
    if revisions and origin.revision not in revisions:
        return SetupError(
            f"{origin.model_id} on {origin.host} has no revision '{origin.revision}'; "
            f"ask for one that it has ({shortened(revisions)}), {OWN_COPY}"
        )
    return SetupError(
        f"{origin} on {origin.host} lacks {', '.join(missing)}; "
        f"ask for another revision with --revision, {OWN_COPY}"
    )


def _size_line(origin: _Origin, files: list[_File], target: Path) -> str:
    total = sum(file.size for file in files)
    there = sum(_bytes_there(file, target) for file in files)
    return (
        f"fetching {origin} from {origin.host}: {len(files)} files, {_gib(total)}, "
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


def _download(origin: _Origin, file: _File, target: Path) -> None:
    """Fetch one file; a transfer that is only slow goes on past the client's limit of an hour."""
    from modelscope_hub.errors import FileIntegrityError, RequestTimeoutError

    _remove_unless_right_size(file, target)
    while True:
        before = _bytes_there(file, target)
        try:
            origin.api.download_file(
                origin.model_id,
                "model",
                file.name,
                revision=origin.revision,
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


@contextlib.contextmanager
def _in_plain_words(origin: _Origin, target: Path) -> Iterator[None]:
    """Turn what the client raises into one line with what, where and what to do next."""
    from modelscope_hub import errors as hub
    from requests import RequestException

    try:
        yield
    except hub.FileIntegrityError as error:
        raise SetupError(
            f"{origin} came from {origin.host} with wrong content, which was thrown away "
            f"({error.message}); try again later, {OWN_COPY}"
        ) from error
    except (hub.AuthenticationError, hub.PermissionDeniedError) as error:
        raise SetupError(
            f"{origin.host} refuses {origin} ({error.message}); "
            f"set MODELSCOPE_API_TOKEN to a token that may read it, {OWN_COPY}"
        ) from error
    except (hub.NetworkError, RequestException) as error:
        cause = _root_cause(error)
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            with writing(target):
                raise cause from None
        raise SetupError(
            f"{origin} cannot be fetched from {origin.host}: {_reason(cause)}; check the "
            f"network and run the same command again (what arrived is kept in {target}), "
            f"{OWN_COPY}"
        ) from error
    except hub.HubError as error:
        raise SetupError(
            f"{origin.host} does not give {origin}: {error.message}; try again later, {OWN_COPY}"
        ) from error
    except OSError:
        with writing(target):
            raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SetupError(
            f"{origin.host} does not give {origin}: its answer is not one that ModelScope gives "
            f"({reason_of(error, limit=200)}); check MODELSCOPE_ENDPOINT, {OWN_COPY}"
        ) from error


def _root_cause(error: BaseException) -> BaseException:
    """Return what happened first, from under the layers of the client."""
    while deeper := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = deeper
    return error


def _reason(cause: BaseException) -> str:
    if isinstance(cause, TimeoutError):
        return "timed out"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    if isinstance(cause, ValueError):
        return "the answer is not one that ModelScope gives"
    return "the transfer was cut off"

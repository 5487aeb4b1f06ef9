"""Writing that survives a kill: atomic files and folders, lines with a torn tail ignored."""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from dpgbench.errors import DataError, StorageError, UsageError, clipped

PART = ".part-"
_FORGOTTEN_SECONDS = 24 * 3600  # a part this old, of another machine, is nobody's any more
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_PASSING = {errno.ESTALE, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT}  # of network file systems
_PAUSES_SECONDS = (0.1, 0.4, 1.5)
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # a file system that has no fsync


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one clear line.

    Raises:
        StorageError: the disk is full, read-only or forbidden.
    """
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in _FULL else (error.strerror or str(error))
        raise StorageError(
            f"cannot write {path}: {reason}; what was written before is kept: "
            f"{_remedy(error.errno)}, then run the same command again"
        ) from error


def _remedy(code: int | None) -> str:
    if code in _FULL:
        return "make room or choose another folder"
    if code in _CLOSED:
        return "make it writable or choose another folder"
    if code == errno.ENOENT:
        return "name the folder where it is now, if it was moved"
    return "mend the disk or choose another folder"


def write_atomic(path: Path, content: bytes | str, *, scratch: Path | None = None) -> None:
    """Put `content` at `path`: a reader sees the old file or the new one, never a part.

    The part that a kill may leave lies in `scratch` (a folder on the same disk), or beside `path`;
    the next write there sweeps it.

    Raises:
        StorageError: it could not be written; the old file is untouched.
    """
    with replacing(path, scratch=scratch) as part:
        part.write_bytes(utf8(content) if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, scratch: Path | None = None) -> Iterator[Path]:
    """Give a path to write at, which takes the place of `path` when the block ends without error.

    It is on disk before the name is. `scratch` is that of `write_atomic`.

    Raises:
        StorageError: it could not be written; the old file is untouched.
    """
    with writing(path):
        if scratch is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        folder = scratch or path.parent
        sweep_parts(folder)
        handle, name = tempfile.mkstemp(dir=folder, prefix=_part_of_this_process())
        os.close(handle)
        part = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)  # not before: `scratch` must be there
            yield part
            with part.open("rb") as file:
                _sync(file.fileno())
            part.chmod(0o644)
            _take_place(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _sync(handle: int) -> None:
    """Have the operating system bring a file to the disk, where the file system can do that."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _take_place(part: Path, path: Path) -> None:
    """Rename `part` to `path`; what only a network file system answers is tried again.

    Such a one may also answer that `part` is not there because its first answer, that the rename
    was done, was lost.
    """
    written = part.stat()
    for pause in (*_PAUSES_SECONDS, None):
        try:
            part.replace(path)
        except OSError as error:
            if _is_file(path, written):
                return
            if error.errno == errno.EXDEV and part.parent != path.parent:
                _copy_beside(part, path)  # the folder is a link to, or the root of, another disk
                return
            if error.errno not in _PASSING or pause is None:
                raise
        else:
            return
        time.sleep(pause)


def _is_file(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except OSError:
        return False


def _copy_beside(part: Path, path: Path) -> None:
    with replacing(path) as copy:
        shutil.copyfile(part, copy)
    part.unlink()


def utf8(text: str) -> bytes:
    """Return text as files hold it; half of a surrogate pair, which UTF-8 has not, is ``?``."""
    return text.encode("utf-8", "replace")


def _part_of_this_process() -> str:
    return f"{PART}{_machine()}-{os.getpid()}-"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def sweep_parts(folder: Path, *, all_: bool = False) -> None:
    """Remove what killed writers left in `folder`; of living ones nothing, unless `all_` is."""
    for part in folder.glob(f"{PART}*"):
        with contextlib.suppress(OSError):
            if all_ or _is_abandoned(part):
                part.unlink()


def _is_abandoned(part: Path) -> bool:
    machine, _, rest = part.name.removeprefix(PART).partition("-")
    process = rest.partition("-")[0]
    if machine == _machine() and process.isdecimal():
        return not is_alive(int(process))
    return time.time() - part.stat().st_mtime > _FORGOTTEN_SECONDS


def is_alive(process: int) -> bool:
    """Return whether a process of this machine is there."""
    if os.name == "nt":
        return True  # os.kill would end what it is to ask about
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_json(path: Path, value: Any, *, scratch: Path | None = None) -> None:
    """Write `value` as indented JSON with a final newline, atomically as `write_atomic` does."""
    write_atomic(path, json_text(value), scratch=scratch)


def json_text(value: Any) -> str:
    """Return `value` as the indented JSON that files and ``--json`` hold."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: there is no such file, or it is not JSON that could be written again.
    """
    try:
        data = path.read_bytes()
        if not data.strip(b"\0\n "):
            raise DataError(
                f"{path} is empty, as a power cut or a broken copy may leave it; "
                "restore it, or start anew in another folder"
            )
        return parse_json(data)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; is this a run directory?") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}); restore it or start anew") from None


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Half of a surrogate pair, which can be read but never written, becomes a question mark.

    Raises:
        ValueError: it is not JSON, or holds NaN, infinity, or lists within lists beyond what Python
            can follow.
    """
    text = data.decode("utf-8")
    try:
        value = _DECODER.decode(text)
        if _HALF_OF_A_PAIR.search(text):
            value = _DECODER.decode(utf8(json.dumps(value, ensure_ascii=False)).decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite_float(digits: str) -> float:
    """Return the number; one beyond floats would be read as infinity, and never be written."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{clipped(digits)} is larger than any number that can be kept")
    return number


_HALF_OF_A_PAIR = re.compile(r"\\u[dD]")  # or a whole one
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)


class JsonLines:
    """Appends one JSON object a line, each with the operating system before the next begins.

    So a kill costs none; a power cut costs at most the lines of the last `sync_seconds`. Opening
    cuts off a torn last line that a kill may have left.

    Args:
        path: of the file.
        check: called now and then before lines are written; raises where they must not be.
        sync_seconds: how long a line may wait for the disk while others come.
        check_seconds: how much time passes between two calls of `check`, at least.
    """

    def __init__(
        self,
        path: Path,
        *,
        check: Callable[[], None] = lambda: None,
        sync_seconds: float = 2.0,
        check_seconds: float = 1.0,
    ) -> None:
        self.path = path
        self._check, self._check_seconds, self._sync_seconds = check, check_seconds, sync_seconds
        self._checked = self._synced = time.monotonic()
        self._is_synced = True
        with writing(path):
            path.parent.mkdir(exist_ok=True, parents=True)
            _cut_torn_tail(path)
            self._file: RawIOBase = path.open("ab", buffering=0)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with contextlib.nullcontext() if error is None else contextlib.suppress(StorageError):
                self._sync()
        finally:
            self._file.close()

    def append(self, *records: Mapping[str, Any]) -> None:
        """Append `records` together and hand them to the operating system.

        Raises:
            StorageError: they could not be written.
            DpgBenchError: what `check` raises.
        """
        now = time.monotonic()
        if now - self._checked >= self._check_seconds:
            self._check()
            self._checked = now
        data = memoryview(utf8("".join(json_line(record) for record in records)))
        self._is_synced = self._is_synced and not data
        with writing(self.path):
            while data:  # a part of it may be written, before the disk is full for example
                written = self._file.write(data)
                if not written:
                    raise OSError(errno.ENOSPC, "nothing was written")
                data = data[written:]
        if now - self._synced >= self._sync_seconds:
            self._sync()

    def _sync(self) -> None:
        if not self._is_synced:
            with writing(self.path):
                _sync(self._file.fileno())
            self._synced, self._is_synced = time.monotonic(), True


def json_line(record: Mapping[str, Any]) -> str:
    """Return `record` as one line of JSON, with its newline."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        position, tail = path.stat().st_size, b""
        while position and b"\n" not in tail:
            position = max(0, position - 65536)
            file.seek(position)
            tail = file.read()
        file.truncate(position + tail.rfind(b"\n") + 1)


def drop_zeroed_lines(path: Path, *, scratch: Path) -> int:
    """Take out lines of which a power cut has left zeros; what they said is done again.

    Returns:
        How many there were.

    Raises:
        StorageError: it could not be written; the file is as it was.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return 0
    if b"\0" not in data:
        return 0
    lines = data.split(b"\n")
    kept = [line for line in lines[:-1] if not line.startswith(b"\0")]
    if len(kept) < len(lines) - 1:
        write_atomic(path, b"".join(line + b"\n" for line in kept), scratch=scratch)
    return len(lines) - 1 - len(kept)


def read_jsonl(path: Path) -> list[dict[str, object]]:
    """Return the objects of a file of JSON lines; a torn last line is ignored, no file is empty.

    Raises:
        DataError: a line in the middle is not a JSON object.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    lines = data.split(b"\n")[:-1]
    if all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        with contextlib.suppress(ValueError):  # all at once; whose fault it is, is looked for below
            records = parse_json(b"[" + b",".join(lines) + b"]")
            if len(records) == len(lines) and all(isinstance(each, dict) for each in records):
                return list(records)
    return [_object_of_line(path, number, line) for number, line in enumerate(lines, 1)]


def read_foreign_jsonl(path: Path) -> list[dict[str, object]]:
    """Return the objects of a file of JSON lines that somebody else has written.

    Its last line counts whether or not a line end follows, as many tools leave it out; lines that
    hold nothing are skipped.

    Raises:
        DataError: it cannot be read, or a line is not a JSON object.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    lines = enumerate(data.split(b"\n"), 1)
    return [_object_of_line(path, number, line) for number, line in lines if line.strip()]


def _object_of_line(path: Path, number: int, line: bytes) -> dict[str, object]:
    try:
        record = parse_json(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(f"{path} line {number} is not a JSON object; remove that line to go on")
    return record


@contextlib.contextmanager
def locked_folder(target: Path) -> Iterator[None]:
    """Hold `target` for this process alone, mended; the lock goes with the process.

    Raises:
        UsageError: another process holds it.
        StorageError: its parent cannot be written.
    """
    import filelock

    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.parent / f".{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UsageError(
                f"{target} is being written by another process; wait for it, then try again"
            ) from None
    try:
        _mend(target)
        yield
    finally:
        lock.release()


def mended(target: Path) -> Path:
    """Return `target`, put back in its place if a kill came between the renames of a switch.

    Raises:
        UsageError: another process is writing it now.
    """
    if not target.exists() and any(target.parent.glob(f".{target.name}-old-*")):
        with locked_folder(target):
            pass
    return target


def replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Make `target` hold exactly `files`, by their paths in it; inside `locked_folder`.

    The switch is two renames. On an error the old folder is there as it was; what a kill leaves
    is mended by the next `locked_folder` or `mended`.

    Raises:
        StorageError: it could not be written.
    """
    with writing(target):
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-new-"))
        old = fresh.with_name(fresh.name.replace("-new-", "-old-"))
        try:
            fresh.chmod(0o755)
            for name, data in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / name).write_bytes(data)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _mend(target: Path) -> None:
    """Put an old folder back whose name a killed switch had taken; sweep what else it left."""
    for old in sorted(target.parent.glob(f".{target.name}-old-*")):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            with writing(target):
                old.rename(target)
    for fresh in target.parent.glob(f".{target.name}-new-*"):
        shutil.rmtree(fresh, ignore_errors=True)

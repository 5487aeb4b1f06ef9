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
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from dpgbench.errors import DataError, StorageError, UsageError, clipped

PART = ".part-"
_FORGOTTEN_SECONDS = 24 * 3600  # a part this old, of another machine, is nobody's any more
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
            "make room or choose another folder, then run the same command again"
        ) from error


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
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = scratch or path.parent
        sweep_parts(folder)
        handle, name = tempfile.mkstemp(dir=folder, prefix=_part_of_this_process())
        os.close(handle)
        part = Path(name)
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.chmod(0o644)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


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
        return not _is_alive(int(process))
    return time.time() - part.stat().st_mtime > _FORGOTTEN_SECONDS


def _is_alive(process: int) -> bool:
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
        return parse_json(path.read_bytes())
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
        if "\\u" in text and "\\ud" in text.lower():
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


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)


class JsonLines:
    """Appends one JSON object a line, each on disk before the next begins.

    Opening cuts off a torn last line that a kill may have left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
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
        self._file.close()

    def append(self, *records: Mapping[str, Any]) -> None:
        """Append `records` together and hand them to the operating system.

        Raises:
            StorageError: they could not be written.
        """
        text = "".join(json_line(record) for record in records)
        data = utf8(text)
        with writing(self.path):
            if self._file.write(data) != len(data):
                raise OSError(errno.ENOSPC, "only a part was written")


def json_line(record: Mapping[str, Any]) -> str:
    """Return `record` as one line of JSON, with its newline."""
    return json.dumps(record, ensure_ascii=False) + "\n"


def _cut_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        position, tail = size, b""
        while position and b"\n" not in tail:
            position = max(0, position - 65536)
            file.seek(position)
            tail = file.read(size - position)
        file.truncate(position + tail.rfind(b"\n") + 1)


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
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        with contextlib.suppress(ValueError):  # all at once; whose fault it is, is looked for below
            records = parse_json(b"[" + b",".join(lines) + b"]")
            if len(records) == len(lines) and set(map(type, records)) <= {dict}:
                return list(records)
    return [_object_of_line(path, number, line) for number, line in enumerate(lines, 1)]


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

"""Getting DPG-Bench into the user's cache: from upstream, a mirror, an archive, a folder or a CSV.

Every file is verified against its git blob id before anything is replaced; on any error the cache
stays as it was.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from dpgbench.domain.benchmark import QUESTIONS_FILE
from dpgbench.errors import DataError, DpgBenchError, SetupError, counted, shortened
from dpgbench.store.archives import MAX_ARCHIVE_BYTES, Members, read_capped, read_members
from dpgbench.store.benchmark_table import DPG, named_benchmarks
from dpgbench.store.benchmarks import (
    PROMPTS_FOLDER,
    SOURCE_FILE,
    questions_source,
)
from dpgbench.store.download import Progress, download
from dpgbench.store.files import json_text, locked_folder, replace_folder
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.paths import check_item_id, user_path

_MAX_PROMPT_BYTES = 2**20  # the longest real prompt has some 3 KB
_MAX_QUESTIONS_BYTES = 24 * 2**20  # the real file has some 7 MiB


@dataclass(frozen=True)
class Upstream:
    """Which files make the benchmark, and where they come from.

    Attributes:
        url: archive of the repository at one commit.
        questions_blob: git blob id of `dpg_bench.csv`.
        prompt_blobs: git blob id of each prompt file, by item id.
        questions_urls: where `dpg_bench.csv` alone is to be had, in the order of trying.
    """

    url: str
    questions_blob: str
    prompt_blobs: Mapping[str, str]
    questions_urls: Sequence[str] = ()


@dataclass(frozen=True)
class Pulled:
    """What a pull brought.

    Attributes:
        num_prompts: prompt files verified and stored now.
        has_questions: whether the question file is now there.
        questions_from: where the question file came from, now or earlier; None: it is not there.
        line_ends_restored: files whose line ends a clone had changed; stored as upstream has them.
        trouble: why sources that were tried first gave nothing.
    """

    folder: Path
    num_prompts: int
    has_questions: bool
    questions_from: str | None = None
    line_ends_restored: int = 0
    trouble: Sequence[str] = ()


@dataclass
class _Bundle:
    """Verified files by their path below `dpg_bench/`, and how they came."""

    files: dict[str, bytes] = field(default_factory=dict)
    restored: int = 0
    questions_from: str | None = None
    trouble: list[str] = field(default_factory=list)


def dpg_upstream() -> Upstream:
    """Return upstream's commit with the blob ids of the table of benchmarks."""
    entry = named_benchmarks()[DPG]
    prompts = {
        PurePosixPath(path).stem: blob
        for path, blob in entry.files.items()
        if path.startswith(f"{PROMPTS_FOLDER}/")
    }
    archive = f"{entry.repository}/archive/{entry.commit}.tar.gz"
    mirrors = entry.mirrors[QUESTIONS_FILE]
    return Upstream(archive, entry.files[QUESTIONS_FILE], prompts, mirrors)


def pull(
    source: str | None,
    target: Path,
    upstream: Upstream,
    *,
    progress: Progress = lambda done, total: None,
) -> Pulled:
    """Store the benchmark's files in `target`.

    Args:
        source: a folder, an archive (zip, tar), `dpg_bench.csv`, or the URL of one of the last
            two; None is upstream's own archive, and for the question file, where that cannot be
            had, each of `upstream.questions_urls`.
        target: the folder to fill; what it has and `source` lacks stays.
        upstream: the blob ids to verify against.
        progress: told bytes done and bytes in all while downloading.

    Raises:
        SetupError: the download could not be had.
        DataError: a file is missing, cut off, or not the one with its blob id.
        StorageError: the cache cannot be written.
        UsageError: another pull is at work.
    """
    with locked_folder(target):
        bundle = (
            _from_upstream(upstream, progress)
            if source is None
            else _read_source(source, upstream, progress)
        )
        kept = {name: data for name, data in _present(target, upstream) if name not in bundle.files}
        origin = bundle.questions_from
        if QUESTIONS_FILE in kept:
            origin = questions_source(target) or "unknown (pulled by an earlier version)"
        content = {**kept, **bundle.files}
        questions = content.get(QUESTIONS_FILE)
        record = {
            "questions_from": origin,
            "questions_blob": upstream.questions_blob,
            "sha256": None if questions is None else hashlib.sha256(questions).hexdigest(),
        }
        replace_folder(target, {**content, SOURCE_FILE: json_text(record).encode()})
    return Pulled(
        target,
        sum(name.endswith(".txt") for name in bundle.files),
        QUESTIONS_FILE in content,
        origin if QUESTIONS_FILE in content else None,
        bundle.restored,
        tuple(bundle.trouble),
    )


def _from_upstream(upstream: Upstream, progress: Progress) -> _Bundle:
    """Return upstream's files; the question file from a mirror where upstream gives none.

    Raises:
        DpgBenchError: neither upstream nor a mirror has it; says why, for each.
    """
    bundle = _Bundle()
    refused: DpgBenchError | None = None
    try:
        bundle = _read_source(upstream.url, upstream, progress)
        if QUESTIONS_FILE not in bundle.files:
            raise DataError(f"{upstream.url} lacks {QUESTIONS_FILE}")
    except (DataError, SetupError) as error:
        refused = error
        bundle.trouble.append(str(error))
    for url in upstream.questions_urls if refused else ():
        try:
            mirrored = _read_source(url, upstream, progress)
        except (DataError, SetupError) as error:
            bundle.trouble.append(str(error))
            continue
        bundle.files |= mirrored.files
        bundle.questions_from = url
        return bundle
    if refused is not None:
        if len(bundle.trouble) == 1:
            raise type(refused)(f"{refused}; nothing was replaced")
        raise type(refused)(
            f"{QUESTIONS_FILE} could not be had from {counted(len(bundle.trouble), 'source')}; "
            f"nothing was replaced: {'; '.join(bundle.trouble)}"
        )
    return bundle


def _read_source(source: str, upstream: Upstream, progress: Progress) -> _Bundle:
    """Return the verified files of one source.

    Raises:
        SetupError: it cannot be reached.
        DataError: it holds no file of the benchmark, or another one than upstream's.
    """
    wanted = _expected(upstream)
    if source.startswith(("http://", "https://")):
        content = download(source, progress=progress, limit=MAX_ARCHIVE_BYTES)
        return _verified(_unpack(source, io.BytesIO(content), wanted), upstream, source)
    path = user_path(source)
    if path.is_dir():
        return _verified(dict(_wanted(_walk(path), wanted, source)), upstream, source)
    if not path.exists():
        raise DataError(f"{source} does not exist; give a folder, an archive, a CSV or a URL")
    try:
        with path.open("rb") as file:
            return _verified(_unpack(source, file, wanted), upstream, source)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from None


def _unpack(source: str, file: IO[bytes], wanted: Collection[str]) -> dict[str, bytes]:
    """Return the wanted files of an archive; a file that is none is the question file."""
    files = read_members(source, file, lambda members: dict(_wanted(members, wanted, source)))
    if files is not None:
        return files
    return {QUESTIONS_FILE: _read(file, QUESTIONS_FILE, source)}


def _walk(folder: Path) -> Members:
    inner = folder / "dpg_bench"
    base = inner if (inner / PROMPTS_FOLDER).is_dir() else folder
    for path in [base / QUESTIONS_FILE, *sorted((base / PROMPTS_FOLDER).glob("*.txt"))]:
        if path.is_file():
            yield f"dpg_bench/{path.relative_to(base).as_posix()}", partial(_open, path)


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _wanted(members: Members, wanted: Collection[str], source: str) -> Iterator[tuple[str, bytes]]:
    """Yield the benchmark's files, wherever the archive has put its `dpg_bench/` folder.

    Names are looked at before anything is read, and no file is read beyond what it may hold.
    """
    for name, opened in members:
        parts = PurePosixPath(name).parts
        if "dpg_bench" not in parts:
            continue
        inner = "/".join(parts[parts.index("dpg_bench") + 1 :])
        if inner.startswith(f"{PROMPTS_FOLDER}/") and inner.endswith(".txt"):
            check_item_id(PurePosixPath(inner).stem, source)
        if inner in wanted and (file := opened()) is not None:
            with file:
                yield inner, _read(file, inner, source)


def _read(file: IO[bytes], name: str, source: str) -> bytes:
    limit = _MAX_QUESTIONS_BYTES if name == QUESTIONS_FILE else _MAX_PROMPT_BYTES
    return read_capped(file, limit, f"{source}: {name}")


def _verified(files: Mapping[str, bytes], upstream: Upstream, source: str) -> _Bundle:
    """Return the files as upstream has them.

    Raises:
        DataError: there is none, one is another file than upstream's, or prompts are missing.
    """
    expected = _expected(upstream)
    if not files:
        raise DataError(f"{source} holds no dpg_bench/ files; nothing was replaced")
    bundle = _Bundle()
    wrong = []
    for name, data in files.items():
        original = as_upstream(data, expected[name])
        if original is None:
            wrong.append(name)
        else:
            bundle.files[name] = original
            bundle.restored += original != data
    if wrong:
        first = wrong[0]
        raise DataError(
            f"{source}: {shortened(wrong)} differs from upstream's commit (git blob of {first} is "
            f"{git_blob_id(files[first])}, expected {expected[first]}); nothing was replaced"
        )
    missing = [f"{PROMPTS_FOLDER}/{item}.txt" for item in upstream.prompt_blobs]
    missing = [name for name in missing if name not in files]
    if missing and set(files) != {QUESTIONS_FILE}:
        raise DataError(
            f"{source} lacks {len(missing)} of "
            f"{counted(len(upstream.prompt_blobs), 'prompt file')}: "
            f"{shortened(missing)}; nothing was replaced"
        )
    if QUESTIONS_FILE in files:
        bundle.questions_from = source
    return bundle


def as_upstream(data: bytes, blob: str) -> bytes | None:
    """Return the content with git blob id `blob` that `data` is, line ends apart; None: another.

    A clone on Windows has CR LF for LF (git's `core.autocrlf`), some tools a last CR as well.
    """
    unix = data.replace(b"\r\n", b"\n")
    for candidate in (data, unix, unix.removesuffix(b"\r"), data.removesuffix(b"\r")):
        if git_blob_id(candidate) == blob:
            return candidate
    return None


def _expected(upstream: Upstream) -> dict[str, str]:
    prompts = {f"{PROMPTS_FOLDER}/{item}.txt": blob for item, blob in upstream.prompt_blobs.items()}
    return {**prompts, QUESTIONS_FILE: upstream.questions_blob}


def _present(target: Path, upstream: Upstream) -> Iterator[tuple[str, bytes]]:
    """Yield the sound files that the target already has."""
    for name, blob in _expected(upstream).items():
        path = target / name
        if path.is_file() and git_blob_id(data := path.read_bytes()) == blob:
            yield name, data

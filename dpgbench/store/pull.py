"""Getting DPG-Bench into the user's cache: from upstream's commit, an archive, a folder or a CSV.

Every file is verified against its git blob id before anything is replaced; on any error the cache
stays as it was.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dpgbench.errors import DataError, shortened
from dpgbench.store.benchmarks import PROMPTS_FOLDER, QUESTIONS_FILE
from dpgbench.store.download import fetch
from dpgbench.store.files import git_blob_id, writing
from dpgbench.store.item_ids import check_item_id
from dpgbench.store.places import data_folder
from dpgbench.store.tables import read_table

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
_MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Upstream:
    """Which files make the benchmark, and where they come from.

    Attributes:
        url: archive of the repository at one commit.
        questions_blob: git blob id of `dpg_bench.csv`.
        prompt_blobs: git blob id of each prompt file, by item id.
    """

    url: str
    questions_blob: str
    prompt_blobs: Mapping[str, str]


REPOSITORY = "https://github.com/TencentQQGYLab/ELLA"
COMMIT = "3c228f1dc6c4d3cad0a47493816151a419f14db3"
QUESTIONS_BLOB = "98457fc9901943f51ff9a30367250fc292533bed"


@dataclass(frozen=True)
class Pulled:
    """What a pull brought: `num_prompts` files, and whether the questions are now there."""

    folder: Path
    num_prompts: int
    has_questions: bool


def dpg_upstream() -> Upstream:
    """Return upstream's commit 3c228f1 with the blob ids of `prompts/index.csv`."""
    index = data_folder("prompts") / "index.csv"
    blobs = {cells["item_id"]: cells["git_blob"] for _, cells in read_table(index)}
    return Upstream(f"{REPOSITORY}/archive/{COMMIT}.tar.gz", QUESTIONS_BLOB, blobs)


def pull(
    source: str | None,
    target: Path,
    upstream: Upstream,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Pulled:
    """Store the benchmark's files in `target`.

    Args:
        source: a folder, an archive (zip, tar), `dpg_bench.csv`, or the URL of one of the last
            two; None is upstream's own archive.
        target: the folder to fill; what it has and `source` lacks stays.
        upstream: the blob ids to verify against.
        progress: told bytes done and bytes in all while downloading.

    Raises:
        SetupError: the download could not be had.
        DataError: a file is missing, cut off, or not the one with its blob id.
        StorageError: the cache cannot be written.
    """
    known = _expected(upstream)
    files = {
        name: data
        for name, data in _read_source(source or upstream.url, progress).items()
        if name in known
    }
    _verify(files, upstream, str(source or upstream.url))
    if source is None and QUESTIONS_FILE not in files:
        raise DataError(f"{upstream.url} lacks {QUESTIONS_FILE}; nothing was replaced")
    kept = {name: data for name, data in _present(target, upstream) if name not in files}
    with writing(target):
        _replace_folder(target, {**kept, **files})
    return Pulled(
        target,
        sum(name.endswith(".txt") for name in files),
        QUESTIONS_FILE in files or QUESTIONS_FILE in kept,
    )


def _read_source(source: str, progress: Callable[[int, int | None], None]) -> dict[str, bytes]:
    """Return wanted files by their path below `dpg_bench/`."""
    if source.startswith(("http://", "https://")):
        return _unpack(source, fetch(source, progress=progress))
    path = Path(source).expanduser()
    if path.is_dir():
        return dict(_wanted(_walk(path), source))
    if not path.exists():
        raise DataError(f"{source} does not exist; give a folder, an archive, a CSV or a URL")
    return _unpack(source, path.read_bytes())


def _unpack(source: str, content: bytes) -> dict[str, bytes]:
    buffer = io.BytesIO(content)
    try:
        if zipfile.is_zipfile(buffer):
            with zipfile.ZipFile(buffer) as archive:
                return dict(_wanted(_zip_members(archive), source))
        buffer.seek(0)
        if _looks_like_tar(content):
            with tarfile.open(fileobj=buffer, mode="r:*") as archive:
                return dict(_wanted(_tar_members(archive), source))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(
            f"{source} is cut off or damaged ({error}); fetch it again; nothing was replaced"
        ) from None
    if content.startswith(b"PK") or source.lower().endswith(_ARCHIVES):
        raise DataError(f"{source} is cut off or damaged; fetch it again; nothing was replaced")
    return {QUESTIONS_FILE: content}


def _looks_like_tar(content: bytes) -> bool:
    compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
    return content.startswith(compressed) or content[257:262] == b"ustar"


Members = Iterable[tuple[str, Callable[[], bytes]]]


def _walk(folder: Path) -> Members:
    inner = folder / "dpg_bench"
    base = inner if (inner / PROMPTS_FOLDER).is_dir() else folder
    for path in [base / QUESTIONS_FILE, *sorted((base / PROMPTS_FOLDER).glob("*.txt"))]:
        if path.is_file():
            yield f"dpg_bench/{path.relative_to(base).as_posix()}", path.read_bytes


def _zip_members(archive: zipfile.ZipFile) -> Members:
    for info in archive.infolist():
        if not info.is_dir() and info.file_size <= _MAX_FILE_BYTES:
            yield info.filename, lambda info=info: archive.read(info)  # type: ignore[misc]


def _tar_members(archive: tarfile.TarFile) -> Members:
    for member in archive:
        if member.isfile() and member.size <= _MAX_FILE_BYTES:
            yield member.name, lambda member=member: _tar_bytes(archive, member)  # type: ignore[misc]


def _tar_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _wanted(members: Members, source: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the `dpg_bench/` folder, wherever the archive has put it."""
    for name, read in members:
        parts = PurePosixPath(name).parts
        if "dpg_bench" not in parts:
            continue
        inner = "/".join(parts[parts.index("dpg_bench") + 1 :])
        is_prompt = inner.startswith(f"{PROMPTS_FOLDER}/") and inner.endswith(".txt")
        if is_prompt:
            check_item_id(PurePosixPath(inner).stem, source)
        if is_prompt or inner == QUESTIONS_FILE:
            yield inner, read()


def _verify(files: Mapping[str, bytes], upstream: Upstream, source: str) -> None:
    expected = _expected(upstream)
    if not files:
        raise DataError(f"{source} holds no dpg_bench/ files; nothing was replaced")
    wrong = [name for name, data in files.items() if git_blob_id(data) != expected[name]]
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
            f"{source} lacks {len(missing)} of {len(upstream.prompt_blobs)} prompt files: "
            f"{shortened(missing)}; nothing was replaced"
        )


def _expected(upstream: Upstream) -> dict[str, str]:
    prompts = {f"{PROMPTS_FOLDER}/{item}.txt": blob for item, blob in upstream.prompt_blobs.items()}
    return {**prompts, QUESTIONS_FILE: upstream.questions_blob}


def _present(target: Path, upstream: Upstream) -> Iterator[tuple[str, bytes]]:
    """Yield the sound files that the target already has."""
    for name, blob in _expected(upstream).items():
        path = target / name
        if path.is_file() and git_blob_id(data := path.read_bytes()) == blob:
            yield name, data


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-new-"))
    old = fresh.with_name(fresh.name.replace("-new-", "-old-"))
    try:
        fresh.chmod(0o755)
        (fresh / PROMPTS_FOLDER).mkdir()
        for name, data in files.items():
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

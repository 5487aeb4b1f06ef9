"""The pictures of a run: the file of each item, and whether they are those of the run's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dpgbench.errors import ResumeMismatchError, counted, shortened
from dpgbench.store.images import ImageFiles, files_of, find_images
from dpgbench.store.run.scores import RunRecord
from dpgbench.store.run.verify import mismatched_images

UNVERIFIED = "its pictures were not checked against their hashes (--no-verify)"


def picture_files(record: RunRecord, items: Sequence[str]) -> Mapping[str, Path]:
    """Return the grid of each item that has one."""
    images = _folder(record)
    if not images.is_dir():
        return {}
    if not record.manifest.identity.get("pattern"):
        return find_images(images, items)
    logged = record.run.image_records()
    files = {item: list(logged.get(item, {}).get("files") or ()) for item in items}
    return {item: images / names[0] for item, names in files.items() if len(names) == 1}


def _folder(record: RunRecord) -> Path:
    """Return where a run's pictures lie: in itself, or where other people's were found."""
    images = record.run.images
    elsewhere = record.manifest.generation.get("folder")
    if not images.is_dir() and record.manifest.kind == "images" and isinstance(elsewhere, str):
        images = Path(elsewhere)
    return images


def verified(record: RunRecord, *, verify: bool) -> RunRecord:
    """Return a run whose pictures are those of its log, or with a note that nobody looked.

    Raises:
        ResumeMismatchError: names pictures whose hashes are others than the log's.
    """
    files = _logged_images(record)
    if not files:
        return record
    if not verify:
        return replace(record, notes=(*record.notes, UNVERIFIED))
    changed = mismatched_images(record.run, files)
    if changed:
        raise ResumeMismatchError(
            f"{record.run.path}: {counted(len(changed), 'picture')} changed since drawing or "
            f"judging (other hashes than in {record.run.images_log.name}): {shortened(changed)}; "
            "bring them back, or leave the check out with --no-verify"
        )
    return record


def _logged_images(record: RunRecord) -> dict[str, ImageFiles]:
    """Return the files of each item whose hash the run's log has, where they are there."""
    records = record.run.image_records()
    logged = {item: entry for item, entry in records.items() if entry.get("sha256")}
    found: dict[str, ImageFiles] = dict(picture_files(record, list(logged))) if logged else {}
    folder = _folder(record)
    for item, entry in logged.items():
        names = entry.get("files")  # of an item whose pictures are files of their own
        if isinstance(names, Mapping) and names:
            found[item] = tuple(folder / str(name) for name in names)
    return {item: files for item, files in found.items() if files_of(files)[0].exists()}

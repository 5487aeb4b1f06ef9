"""The pictures of a run: the file of each item, and whether they are those of the run's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dpgbench.errors import ResumeMismatchError, counted, shortened
from dpgbench.store.image_files import ImageFiles, files_of, find_images
from dpgbench.store.run.image_log import changed_images, image_hashes, read_image_log
from dpgbench.store.run.scores import RunRecord

UNVERIFIED = "its pictures were not checked against their hashes (--no-verify)"


def picture_files(record: RunRecord, items: Sequence[str]) -> Mapping[str, Path]:
    """Return the grid of each item that has one."""
    files = item_pictures(record, items)
    return {item: image for item, image in files.items() if isinstance(image, Path)}


def item_pictures(record: RunRecord, items: Sequence[str]) -> Mapping[str, ImageFiles]:
    """Return the grid of each item that has one, or its tiles where each is a file of its own."""
    images = _folder(record)
    if not images.is_dir():
        return {}
    if not record.manifest.identity.get("pattern"):
        return find_images(images, items)
    logged = read_image_log(record.run.images_log)
    files = {item: list(logged[item].get("files") or ()) for item in items if item in logged}
    return {
        item: images / names[0] if len(names) == 1 else tuple(images / name for name in names)
        for item, names in files.items()
        if names
    }


def _folder(record: RunRecord) -> Path:
    """Return where a run's pictures lie: in itself, or where other people's were found."""
    images = record.run.images
    if not images.is_dir() and record.manifest.kind == "images":
        images = Path(record.manifest.generation["folder"])
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
    changed = changed_images(record.run.images_log, image_hashes(files))
    if changed:
        raise ResumeMismatchError(
            f"{record.run.path}: {counted(len(changed), 'picture')} changed since drawing or "
            f"judging (other hashes than in {record.run.images_log.name}): {shortened(changed)}; "
            "bring them back, or leave the check out with --no-verify"
        )
    return record


def _logged_images(record: RunRecord) -> dict[str, ImageFiles]:
    """Return the files of each item whose hash the run's log has, where they are there."""
    lines = read_image_log(record.run.images_log)
    logged = {item: line for item, line in lines.items() if line.get("sha256")}
    images: dict[str, ImageFiles] = dict(picture_files(record, list(logged))) if logged else {}
    folder = _folder(record)
    for item, line in logged.items():
        names = line.get("files")  # of an item whose pictures are files of their own
        if names:
            images[item] = tuple(folder / name for name in names)
    return {item: files for item, files in images.items() if files_of(files)[0].exists()}

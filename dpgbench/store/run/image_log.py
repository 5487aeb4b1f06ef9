"""The log of other people's images: which pictures were judged, by their hashes."""

from __future__ import annotations

import logging
from typing import Any

from dpgbench.errors import counted
from dpgbench.jobs.target import Subject
from dpgbench.store.files import JsonLines, sha256_file
from dpgbench.store.images import files_of, find_images
from dpgbench.store.patterns import count_strays, find_patterned
from dpgbench.store.run.verify import image_hashes

log = logging.getLogger(__name__)


def log_images(subject: Subject) -> None:
    """Record the hash of each image that the log has none of; say what belongs to no item."""
    if subject.folder is None or not subject.folder.is_dir():
        return
    _warn_strays(subject)
    records = subject.run.image_records()
    new = [item_id for item_id in subject.found if item_id not in records]
    if subject.verify:  # and what was mended before it was judged
        hashes = subject.hashes
        new += [i for i, sha in hashes.items() if i in records and records[i]["sha256"] != sha]
    else:
        hashes = image_hashes({item_id: subject.found[item_id] for item_id in new})
    with JsonLines(subject.run.images_log) as lines:
        for item_id in new:
            if item_id in hashes:
                lines.append(_record(subject, item_id, hashes[item_id]))


def _record(subject: Subject, item_id: str, sha256: str) -> dict[str, Any]:
    record: dict[str, Any] = {"item_id": item_id, "sha256": sha256}
    record |= {"seeds": None, "seconds": None, "error": None}
    if subject.pattern is not None and subject.folder is not None:
        record["files"] = {
            path.relative_to(subject.folder).as_posix(): sha256_file(path)
            for path in files_of(subject.found[item_id])
        }
    return record


def _warn_strays(subject: Subject) -> None:
    assert subject.folder is not None
    order = list(subject.benchmark.prompts)
    if subject.pattern is None:
        used = len(find_images(subject.folder, order))
    else:
        found = find_patterned(subject.folder, subject.pattern, order, order, subject.num_tiles)
        used = sum(len(files_of(image)) for image in found.images.values())
    strays = count_strays(subject.folder, subject.pattern, used)
    if strays > 0:
        log.warning(
            "%s of %s %s named after no item of %s and %s left out",
            counted(strays, "image"),
            subject.folder,
            "is" if strays == 1 else "are",
            subject.benchmark.name,
            "is" if strays == 1 else "are",
        )

"""The log of other people's images: which pictures were judged, by their hashes."""

from __future__ import annotations

import logging

from dpgbench.errors import ResumeMismatchError, shortened
from dpgbench.jobs.subject import Subject
from dpgbench.store.files import JsonLines, sha256_file
from dpgbench.store.images import count_images, find_images

log = logging.getLogger(__name__)


def log_images(subject: Subject) -> None:
    """Record the hash of each image; refuse one that changed since it was judged.

    Raises:
        ResumeMismatchError: names the images.
    """
    if subject.folder is None or not subject.folder.is_dir():
        return
    records = subject.run.image_records()
    hashes = {
        item_id: sha256_file(path)
        for item_id, path in find_images(subject.folder, subject.items).items()
    }
    changed = [
        item for item, sha in hashes.items() if records.get(item, {}).get("sha256", sha) != sha
    ]
    if changed:
        raise ResumeMismatchError(
            f"{subject.run.path} has answers about other images of {shortened(changed)}; "
            "score the new images into another --out"
        )
    strangers = count_images(subject.folder) - len(
        find_images(subject.folder, subject.benchmark.prompts)
    )
    if strangers:
        log.warning(
            "%d images of %s are named after no item of %s and are left out",
            strangers,
            subject.folder,
            subject.benchmark.name,
        )
    with JsonLines(subject.run.images_log) as lines:
        for item_id, sha in hashes.items():
            if item_id not in records:
                lines.append(
                    {
                        "item_id": item_id,
                        "sha256": sha,
                        "seeds": None,
                        "seconds": None,
                        "error": None,
                    }
                )

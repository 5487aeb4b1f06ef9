"""Whether images are still those that were drawn or judged: their hashes against a run's log."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from dpgbench.store.files import sha256_file
from dpgbench.store.images import ImageFiles, files_of
from dpgbench.store.run.directory import RunDir


def mismatched_images(run: RunDir, images: Mapping[str, ImageFiles]) -> list[str]:
    """Return the items, in order, whose image is another one than the run's log says.

    An item that the log has no hash for is not among them.

    Args:
        run: with `images.jsonl`.
        images: by item id, files that are there.
    """
    return mismatched(run, image_hashes(images))


def mismatched(run: RunDir, hashes: Mapping[str, str]) -> list[str]:
    """Return the items whose hash, as `image_hashes` gives it, is not the logged one."""
    records = run.image_records()
    logged = {item_id: record.get("sha256") for item_id, record in records.items()}
    return [item_id for item_id, sha in hashes.items() if logged.get(item_id) not in (None, sha)]


def image_hashes(images: Mapping[str, ImageFiles]) -> dict[str, str]:
    """Return the SHA-256 of each item's image; of its files' hashes, in order, if it has several.

    Files that are gone by now are left out.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        hashes = pool.map(_image_hash, images.values())
        return {item: sha for item, sha in zip(images, hashes, strict=True) if sha is not None}


def _image_hash(image: ImageFiles) -> str | None:
    try:
        hashes = [sha256_file(path) for path in files_of(image)]
    except OSError:
        return None
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{sha}\n" for sha in hashes).encode()).hexdigest()

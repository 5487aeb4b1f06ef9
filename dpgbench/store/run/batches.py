"""How many items of a run were drawn in calls of how many images: counted from its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dpgbench.store.run.image_log import ImageLine
from dpgbench.store.run.manifest import Manifest


def record_batches(manifest: Manifest, lines: Mapping[str, ImageLine]) -> None:
    """Put into the manifest how many of its items were drawn in calls of how many images.

    Args:
        manifest: of the run; one that says nothing of calls goes on saying nothing.
        lines: the last one about each item's image.
    """
    if "batch" not in manifest.generation:
        return
    numbers = Counter(
        lines[item_id].get("images_in_call", manifest.num_images)
        for item_id in manifest.items
        if item_id in lines and lines[item_id].get("sha256")
    )
    manifest.generation["batch"]["items_by_images_in_call"] = {
        str(images): number for images, number in sorted(numbers.items())
    }

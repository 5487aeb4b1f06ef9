"""How long a run took for an image, from its log of images."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from dpgbench.store.run.image_log import read_image_log
from dpgbench.store.run.scores import RunRecord


def seconds_an_image(records: Sequence[RunRecord]) -> dict[int, float]:
    """Return the median seconds that an image took, by the run's place; only of runs that log it.

    Time divided by the images of a grid; machines are not alike, so it is no figure to rank by.
    """
    seconds = {}
    for place, record in enumerate(records):
        lines = read_image_log(record.run.images_log).values()
        taken = [time for line in lines if (time := line.get("seconds"))]
        if taken:
            seconds[place] = median(taken) / max(1, record.manifest.num_images)
    return seconds

"""T2I-CompBench's own files of results, so that people's parsers go on working.

For each category a folder as the original's output folder: `vqa_result.json` with a number an
image, ``[{"question_id": k, "answer": ...}]``, and the mean as text. k counts the images of a
category: those of its first prompt have 0 to 9. Source: commit 1b70949; only the form is taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dpgbench.domain.own_questions import category_of
from dpgbench.domain.result import ItemScore, Result
from dpgbench.domain.rules import ALL_RULES
from dpgbench.store.compbench import COMPBENCH
from dpgbench.store.files import write_atomic
from dpgbench.store.run.directory import RunDir


class _Form(NamedTuple):
    """Where a metric's files lie, and how the mean is written."""

    folder: str
    mean: str
    words: str


_BLIP = _Form("annotation_blip", "blip_vqa_score.txt", "BLIP-VQA score:")
_CLIP = _Form("annotation_clip", "score_avg.txt", "score avg:")
_BOXES = _Form("labels/annotation_obj_detection_2d", "avg_score.txt", "score avg:")
ANSWERS = "vqa_result.json"


def write_compbench_files(
    run: RunDir, judge: str, results: Sequence[Result], part: str
) -> list[Path]:
    """Write the files of each category beside a judge's results; `part` ends the folders' names.

    An image without a number is left out.
    """
    paths = []
    for result in results:
        form = _form(judge, result.rule)
        for category, items in _by_category(result).items():
            folder = run.scores(judge, result.rule).parent / f"{category}{part}" / form.folder
            content = {ANSWERS: answers_text(result, items), form.mean: mean_text(form, items)}
            for name, text in content.items():
                write_atomic(folder / name, text, scratch=run.path)
                paths.append(folder / name)
    return paths


def answers_text(result: Result, items: Mapping[int, ItemScore]) -> str:
    """Return the numbers of a category's images; probabilities are texts of four digits.

    Args:
        result: that they are of.
        items: by their place in the category, from 0.
    """
    decimals = ALL_RULES[result.rule].decimals
    answers = [
        {
            "question_id": place * (result.num_tiles or 1) + tile,
            "answer": score if decimals is None else f"{score:.{decimals}f}",
        }
        for place, item in items.items()
        for tile, score in enumerate(item.tile_scores)
    ]
    return json.dumps(answers)


def mean_text(form: _Form, items: Mapping[int, ItemScore]) -> str:
    """Return the mean over a category's images, in the original's words."""
    scores = [score for item in items.values() for score in item.tile_scores]
    return f"{form.words}{math.fsum(scores) / len(scores) if scores else math.nan}"


def _form(judge: str, rule: str) -> _Form:
    if ALL_RULES[rule].image_score == "product":
        return _BLIP
    return _CLIP if judge.startswith("clipscore") else _BOXES


def _by_category(result: Result) -> dict[str, dict[int, ItemScore]]:
    """Return the items of each category by their places in it."""
    categories: dict[str, dict[int, ItemScore]] = {}
    for item in result.items:
        category = category_of(item.item_id)
        of_category = categories.setdefault(category, {})
        of_category[_place(result, item.item_id, len(of_category))] = item
    return categories


def _place(result: Result, item_id: str, number: int) -> int:
    """Return the place of an item in its category: of T2I-CompBench, that of its line."""
    line = item_id.rpartition("_")[2]
    return int(line) - 1 if result.benchmark == COMPBENCH and line.isdigit() else number

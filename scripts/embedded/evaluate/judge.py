r"""Examine a judge on held-out scenes of the small world: accuracy, confusions, calibration.

    python -m scripts.embedded.evaluate.judge
    python -m scripts.embedded.evaluate.judge --folder WORK/out/judge --scenes 300 \
        --out FIGURES.json

Asks as the toolkit does: the same preprocessing, beam search. Half of the true answers of every
category are "no". With --harm, the same pictures also blurred, moved, noisy, tinted and ghosted,
harmed every one; questions on style are left out where blur hides the answer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dpgbench.mplug import MplugVqa, load_mplug
from scripts import REPOSITORY
from scripts.embedded.judge.data.degrade import Degrader, Harm
from scripts.embedded.judge.exam import MarkedAnswer, examine, papers, report

if TYPE_CHECKING:
    from PIL import Image

PICTURE_PX = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "dpgbench/embedded/mplug")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--harm", action="store_true", help="examine on harmed pictures, too")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    options = parser.parse_args(arguments)
    judge = load_mplug(options.folder)
    figures: dict[str, Any] = {"scenes": options.scenes, "seed": options.seed}
    figures["rendered"] = report(examine(judge, papers(options.scenes, options.seed)))
    show("rendered", figures["rendered"])
    if options.harm:
        figures["harmed"] = report(harmed_marks(judge, options.scenes, options.seed))
        show("harmed", figures["harmed"])
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def harmed_marks(judge: MplugVqa, num_scenes: int, seed: int) -> list[MarkedAnswer]:
    """The examination on harmed pictures, but for questions on style where that is hidden."""
    image_px = judge.network.config.image_px
    degrader = Degrader(PICTURE_PX, image_px, Harm(clean_chance=0), seed)
    rng = torch.Generator().manual_seed(seed)
    is_plain: list[bool] = []

    def prepare(pictures: Sequence[Image.Image]) -> list[Tensor]:
        pixels, plain = degrader(torch.from_numpy(np.stack([np.asarray(p) for p in pictures])), rng)
        is_plain.extend(plain.tolist())
        return list(pixels)

    exam = list(papers(num_scenes, seed))
    marks = examine(judge, exam, prepare)
    plain_of_mark = [
        plain for plain, paper in zip(is_plain, exam, strict=True) for _ in paper.items
    ]
    return [
        mark
        for mark, plain in zip(marks, plain_of_mark, strict=True)
        if plain or mark.item.question.category[0] != "global"
    ]


def show(name: str, figures: dict[str, Any]) -> None:
    """Print a report as tables."""
    right = f"{figures['accuracy']:.2%} of {figures['questions']} right"
    print(f"{name}: {right}, calibration error {figures['expected_calibration_error']:.4f}")
    print(f"  answers that are neither yes nor no: {figures['neither_yes_nor_no']}")
    for part in ("by_category", "by_kind", "by_source"):
        print(f"  {part}")
        for key, row in figures[part].items():
            errors = (
                f"yes->no {row['yes_said_no']}/{row['yes_questions']}, "
                f"no->yes {row['no_said_yes']}/{row['no_questions']}"
            )
            print(f"    {key:<16} {row['accuracy']:.2%}  {errors}")
    print("  p_yes   questions  mean p_yes  share of yes")
    for row in figures["calibration"]:
        shares = f"{row['mean_p_yes']:>10.3f}  {row['share_yes']:>12.3f}"
        print(f"  {row['from']:.1f}-   {row['questions']:>9}  {shares}")


if __name__ == "__main__":
    main()

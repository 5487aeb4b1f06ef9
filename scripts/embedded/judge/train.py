"""Train the embedded judge: a small mPLUG that answers the world's questions about its pictures.

    python -m scripts.embedded.data.make_pool --out WORK/pool
    python -m scripts.embedded.judge.train --work WORK

First the image tokens learn to name what stands in every cell (heads that are thrown away
afterwards), then the whole network learns to answer as well. Where WORK/out/sd15/vae is there, some
pictures are shown as that decoder redraws them; some are hard negatives, scenes changed in one
respect. Questions and pictures made for this are kept in WORK/judge. Writes `WORK/out/judge`, a
folder in ModelScope's layout.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpgbench.mplug import MplugVqa, load_mplug
from dpgbench.mplug.processing import MplugProcessor
from dpgbench.shapes.words import NUMBER_WORDS
from scripts.embedded.judge.data.batches import Batches, Data
from scripts.embedded.judge.data.degrade import Degrader, Harm
from scripts.embedded.judge.data.hard_negatives import hard_negatives
from scripts.embedded.judge.data.hints import Meanings
from scripts.embedded.judge.data.questions import PICTURE_PX, Asked, Asker, read_pictures
from scripts.embedded.judge.data.redraw import redrawn
from scripts.embedded.judge.data.vocabulary import vocabulary
from scripts.embedded.judge.exam import examine, papers, report
from scripts.embedded.judge.export import best_temperature, export
from scripts.embedded.judge.network import TrainedJudge
from scripts.embedded.judge.sizes import read_texts, write_texts
from scripts.embedded.training import Trainer, parser

WEIGHTS = {"answer": 1.0, "early": 0.5, "end": 0.1, "hints": 4.0, "whole": 0.5, "labels": 1.0}
"""Of the losses of `TrainedJudge`."""
END_EVERY = 8
"""Steps between those that look at the token after the answer's first."""
HARD_TIMES = 2
"""So often each hard negative is among the pictures that are asked about."""
EXAM_SEED = 11
CALIBRATION_SEED = 12


def main() -> None:
    """Run from the command line."""
    args = _flags().parse_args()
    torch.manual_seed(args.seed)
    texts = args.work / "judge" / "texts"
    write_texts(texts)
    config, processor = read_texts(texts)
    model = TrainedJudge(config).to(args.device)
    trainer = Trainer("judge", model, args)
    if not args.export_only:
        degrader = Degrader(PICTURE_PX, config.image_px, Harm(), args.seed)
        batches = Batches(_data(args, processor), degrader, args.batch, args.device)

        def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
            if trainer.step < args.label_part * args.steps:
                return {"labels": model.labels_only(*batches.of_labels(generator))}
            with_end = trainer.step % END_EVERY == 0
            losses = model(*batches.of_questions(generator), with_end)
            return {name: WEIGHTS[name] * loss for name, loss in losses.items()}

        trainer.run(loss_of)
    trainer.report(**_finish(trainer.average, processor, args))


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__, steps=15_000, batch=48, rate=1e-3)
    flags.add_argument("--label-part", type=float, default=0.2, help="first part, for labels alone")
    flags.add_argument("--shards", type=int, help="of the pool that are used (default: all)")
    flags.add_argument("--asked-shards", type=int, default=4, help="that are asked about")
    flags.add_argument("--hard", type=int, default=5000, help="hard negatives of other scenes")
    flags.add_argument("--redrawn", type=int, default=10_000, help="pictures also shown redrawn")
    flags.add_argument("--exam-scenes", type=int, default=150)
    flags.add_argument("--export-only", action="store_true", help="export what was learned so far")
    return flags


def _data(args: argparse.Namespace, processor: MplugProcessor) -> Data:
    """Pictures, labels, questions and redrawn pictures; what is missing is made."""
    pool, folder = args.work / "pool", args.work / "judge"
    pictures, fields = read_pictures(pool, args.shards)
    asker = Asker(processor, args.seed)
    shards = [asker.shard(pool, number, folder) for number in range(args.asked_shards)]
    vae = args.work / "out" / "sd15" / "vae"
    again, is_plain = redrawn(vae, pictures[: args.redrawn], folder, args.seed)
    if args.hard:  # after the pictures that are asked about, before the others
        hard = [hard_negatives(asker, args.hard, folder)] * HARD_TIMES
        asked = sum(len(shard.token) for shard in shards)
        shards += [one.asked for one in hard]
        pictures, fields = (
            np.concatenate([pool[:asked], *more, pool[asked:]])
            for pool, more in (
                (pictures, [one.picture for one in hard]),
                (fields, [one.fields for one in hard]),
            )
        )
    words = {word: number for number, word in enumerate(vocabulary())}
    return Data(
        torch.from_numpy(pictures),
        torch.from_numpy(fields),
        Asked.joined(shards),
        again,
        is_plain,
        _yes_no(processor),
        Meanings(words),
        torch.tensor([words[word] for word in NUMBER_WORDS[2:7]], dtype=torch.int16),
    )


def _finish(
    average: TrainedJudge, processor: MplugProcessor, args: argparse.Namespace
) -> dict[str, Any]:
    """Calibrate, export, and examine what was exported."""
    network = average.mplug.to("cpu").eval()
    marks = examine(MplugVqa(network, processor), papers(args.exam_scenes, CALIBRATION_SEED))
    p_yes = torch.tensor([mark.p_yes for mark in marks], dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    is_yes = torch.tensor([mark.item.is_yes for mark in marks])
    temperature = best_temperature(p_yes.logit(), is_yes)
    target = args.work / "out" / "judge"
    export(network, target, temperature, _yes_no(processor))
    exam = report(examine(load_mplug(target), papers(args.exam_scenes, EXAM_SEED)))
    size = (target / "model.safetensors").stat().st_size
    return {"temperature": temperature, "file_bytes": size, "exam": exam}


def _yes_no(processor: MplugProcessor) -> tuple[int, int]:
    """The tokens of the two answers."""
    if processor.yes_no_ids is None:
        raise AssertionError("the judge's vocabulary holds yes and no")
    return processor.yes_no_ids


if __name__ == "__main__":
    main()

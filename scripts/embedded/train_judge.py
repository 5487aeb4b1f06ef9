"""Train the embedded judge: a small mPLUG that answers the world's questions about its pictures.

    python scripts/embedded/make_pool.py --out WORK/pool
    python scripts/embedded/train_judge.py --work WORK --minutes 60

First the image tokens learn to name what stands in every cell (heads that are thrown away
afterwards), then the whole network learns to answer as well. Where WORK/out/sd15/vae is there, some
pictures are shown as that decoder redraws them. Started again, it goes on where it stopped; given
more minutes or steps, it learns further. Writes WORK/out/judge, a folder in ModelScope's layout,
and WORK/judge/figures.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from judge.batches import Batches, Data, Plan
from judge.degrade import Degrader, Harm
from judge.exam import examine, papers, report
from judge.export import best_temperature, export
from judge.hints import Meanings
from judge.loop import Training
from judge.network import TrainedJudge
from judge.questions import PICTURE_PX, Asked, Asker, read_pictures
from judge.redraw import redrawn
from judge.sizes import read_texts, write_texts
from judge.vocabulary import vocabulary

from dpgbench.mplug import MplugVqa, load_mplug
from dpgbench.mplug.processing import MplugProcessor

EXAM_SEED = 11
CALIBRATION_SEED = 12


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    options = _flags().parse_args(arguments)
    torch.manual_seed(options.seed)
    folder = options.work / "judge"
    write_texts(folder / "texts")
    config, processor = read_texts(folder / "texts")
    model = TrainedJudge(config).to(_device(options.device))
    if options.label_part is None:
        options.label_part = Plan.label_part
    plan = Plan(
        minutes=options.minutes,
        steps=options.steps,
        label_part=options.label_part,
        rate=options.rate,
        seed=options.seed,
    )
    data = _data(options, processor)
    degrader = Degrader(PICTURE_PX, config.image_px, Harm(), options.seed)
    batches = Batches(data, degrader, plan, _device(options.device))
    training = Training(model, batches, folder / "state.pt")
    if not options.export_only:
        training.run()
    figures = _finish(training, processor, options)
    figures |= _about(training, options)
    text = json.dumps(figures, indent=1) + "\n"
    (folder / "figures.json").write_text(text, encoding="utf-8")


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of all training files")
    parser.add_argument("--minutes", type=float, help="of training; without it, --steps decides")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--rate", type=float, default=Plan.rate, help="learning rate")
    parser.add_argument("--label-part", type=float, help="first part, for labels alone")
    parser.add_argument("--shards", type=int, help="of the pool that are used (default: all)")
    parser.add_argument("--asked-shards", type=int, default=4, help="that are asked about")
    parser.add_argument("--redrawn", type=int, default=10_000, help="pictures also shown redrawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--exam-scenes", type=int, default=150)
    parser.add_argument("--export-only", action="store_true", help="export what was learned so far")
    return parser


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _data(options: argparse.Namespace, processor: MplugProcessor) -> Data:
    """Pictures, labels, questions and redrawn pictures; what is missing is made."""
    pool, folder = options.work / "pool", options.work / "judge"
    pictures, fields = read_pictures(pool, options.shards)
    asker = Asker(processor, options.seed)
    shards = [asker.shard(pool, number, folder) for number in range(options.asked_shards)]
    if processor.yes_no_ids is None:
        raise AssertionError("the judge's vocabulary holds yes and no")
    vae = options.work / "out" / "sd15" / "vae"
    again, is_plain = redrawn(vae, pictures[: options.redrawn], folder, options.seed)
    return Data(
        torch.from_numpy(pictures),
        torch.from_numpy(fields),
        Asked.joined(shards),
        again,
        is_plain,
        processor.yes_no_ids,
        Meanings({word: number for number, word in enumerate(vocabulary())}),
    )


def _finish(
    training: Training, processor: MplugProcessor, options: argparse.Namespace
) -> dict[str, Any]:
    """Calibrate, export, and examine what was exported."""
    network = training.average.mplug.to("cpu").float()
    yes_no = training.batches.data.yes_no
    marks = examine(
        MplugVqa(network.eval(), processor), papers(options.exam_scenes, CALIBRATION_SEED)
    )
    p_yes = torch.tensor([mark.p_yes for mark in marks], dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    is_yes = torch.tensor([mark.item.is_yes for mark in marks])
    temperature = best_temperature(p_yes.logit(), is_yes)
    target = options.work / "out" / "judge"
    export(network, target, temperature, yes_no)
    exam = report(examine(load_mplug(target), papers(options.exam_scenes, EXAM_SEED)))
    size = (target / "model.safetensors").stat().st_size
    return {"temperature": temperature, "file_bytes": size, "exam": exam}


def _about(training: Training, options: argparse.Namespace) -> dict[str, Any]:
    """What was run, and how it went."""
    names = ("minutes", "steps", "rate", "label_part", "shards", "asked_shards", "redrawn", "seed")
    given = {name: getattr(options, name) for name in names}
    flags = [
        f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None
    ]
    progress = training.progress
    return {
        "command": " ".join(["python scripts/embedded/train_judge.py --work WORK", *flags]),
        "parameters": sum(p.numel() for p in training.model.mplug.parameters()),
        "device": training.batches.device.type,
        "seconds": round(progress.seconds),
        "steps": progress.step,
        "history": progress.history,
    }


if __name__ == "__main__":
    main()

"""Train a connector of the embedded world from scratch, and draw its learning curve.

    python -m scripts.embedded.connector.from_scratch --work WORK

Makes pairs, trains as `recipes/embedded.toml` says on one thread of a CPU, draws and scores the
shipped connector on the same prompts, reports all of it (`WORK/report`), and prints the scores as a
table. `--figure FILE.svg` keeps the curve: `docs/images/train-ella-curve.svg` is made so. What is
done is not done again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dpgbench.embedded import embedded_path
from ella.recipes import recipes
from scripts.embedded.data import make_pairs

PROMPTS = 24
RULE = "ella-reference"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--figure", type=Path, help="where to keep the learning curve (SVG)")
    parser.add_argument(
        "--scenes", type=int, default=make_pairs.SCENES, help="of the training data"
    )
    parser.add_argument("--limit", type=int, default=PROMPTS, help="prompts of a look")
    parser.add_argument("more", nargs="*", help="after --: further words for python -m ella.train")
    args = parser.parse_args(arguments)
    work: Path = args.work
    if not (work / "pairs" / "held-out" / "captions.jsonl").is_file():
        make_pairs.main(["--out", str(work / "pairs"), "--scenes", str(args.scenes)])
    started, used = time.perf_counter(), _processor_seconds()
    run("ella.train", *training_words(work, args.limit), *args.more)
    print(f"training and looks: {time.perf_counter() - started:.0f} s", flush=True)
    print(f"of them on a processor: {_processor_seconds() - used:.0f} s", flush=True)
    shipped = work / "shipped"
    run(
        "dpgbench", "generate", "--model=tiny-ella-sd15", "--bench=shapes",
        f"--limit={args.limit}", f"--out={shipped}",
    )  # fmt: skip
    run("dpgbench", "score", str(shipped), "--judge=tiny-mplug")
    looks = sorted((work / "embedded" / "looks").glob("step-*/"))
    words = [*map(str, looks), str(shipped), f"--out={work / 'report'}"]
    run("dpgbench", "report", *words, f"--figures={work / 'figures'}")
    if args.figure:
        (curve,) = (work / "figures").glob(f"learning-*{RULE}*.svg")
        shutil.copyfile(curve, args.figure)
    print(_curve_of((work / "report" / "leaderboard.md").read_text(encoding="utf-8")))


def training_words(work: Path, limit: int) -> list[str]:
    """What `python -m ella.train` is called with."""
    return [
        f"--config={recipes()['embedded']}",
        f"--base={embedded_path('sd15')}",
        f"--text-encoder={embedded_path('ella/text_encoder')}",
        f"--data={work / 'pairs' / 'train'}",
        f"--look-data={work / 'pairs' / 'held-out'}",
        f"--look-limit={limit}",
        f"--out={work / 'embedded'}",
    ]


def run(module: str, *words: str) -> None:
    """Run a module on one thread; stop where it fails."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", module, *words], check=True, env=one_thread)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _curve_of(markdown: str) -> str:
    """The part of a report about the learning curve under the usual rule."""
    parts = markdown.split("\n## ")
    return next(part for part in parts if part.startswith("Learning curve") and RULE in part)


if __name__ == "__main__":
    main()

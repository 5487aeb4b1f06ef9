"""The mPLUG network of this installation against recorded answers of the reference network.

A small network is built from weights that follow from their names alone, so that a torch or
transformers that computes something else is seen without the judge's weights. The recorded values
ship in `dpgbench/_golden`.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SCORE_TOLERANCE = 5e-3
"""How far a log-probability may be off: rounding is far below, another computation far above."""
FEW = 2
"""So many of 48 answers may be others."""


class GoldenReport(NamedTuple):
    """What the small network answered.

    Attributes:
        questions: how many were asked, over both layouts of the network.
        other_tokens: of these, how many the tokenizer cuts otherwise.
        other_answers: how many have another answer. Rounding may let two that are as probable
            change places, so `FEW` are no fault.
        other_scores: how many answers have another log-probability, by `SCORE_TOLERANCE`.
        largest_gap: between log-probabilities; None where nothing could be asked.
        error: why the network could not be run.
    """

    questions: int
    other_tokens: int
    other_answers: int
    other_scores: int
    largest_gap: float | None
    seconds: float
    error: str | None = None

    @property
    def sound(self) -> bool:
        """Whether this installation computes what the reference does."""
        faults = self.error or self.other_tokens or self.other_scores
        return not faults and self.other_answers <= FEW


class _Outcome(NamedTuple):
    """How one question went: is it cut otherwise, answered otherwise, how far is the score off."""

    other_tokens: bool
    other_text: bool
    gap: float


def check_golden(device: str = "cpu") -> GoldenReport:
    """Return how the network answers on a device, in float32; takes seconds."""
    start = time.monotonic()
    record = _record()
    pictures = _pictures(record)
    outcomes: list[_Outcome] = []
    try:
        with tempfile.TemporaryDirectory(prefix="dpgbench-golden-") as home, _one_thread():
            _write_weights(Path(home), record)
            for recorded in record["sets"]:
                outcomes += _check_set(Path(home), record, recorded, pictures, device)
    except Exception as error:  # noqa: BLE001 - whatever breaks here is the result
        text = shorten(f"{type(error).__name__}: {error}", 300, placeholder="...")
        return GoldenReport(0, 0, 0, 0, None, time.monotonic() - start, text)
    return GoldenReport(
        len(outcomes),
        sum(outcome.other_tokens for outcome in outcomes),
        sum(outcome.other_text for outcome in outcomes),
        sum(not outcome.gap <= SCORE_TOLERANCE for outcome in outcomes),  # so that NaN is a fault
        max((outcome.gap for outcome in outcomes if math.isfinite(outcome.gap)), default=None),
        time.monotonic() - start,
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Small networks lose more by waiting for a second thread than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _record() -> dict[str, Any]:
    file = resources.files("dpgbench") / "_golden" / "mplug_small.json"
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def _pictures(record: dict[str, Any]) -> list[Image]:
    from PIL import Image

    generator = np.random.default_rng(record["image_seed"])
    side = record["task"]["image_res"]
    pictures = []
    for width, height in record["image_sizes"]:
        picture = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        if height > width:  # recorded with Pillow 13, which takes a tall picture's height first
            picture = picture.resize((width, side), Image.Resampling.BICUBIC)
        pictures.append(picture)
    return pictures


def _write_weights(folder: Path, record: dict[str, Any]) -> None:
    """Write the weights: each tensor follows from its name and shape."""
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, shape in record["tensors"].items():
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        numbers = generator.standard_normal(tuple(shape), dtype=np.float32)
        gain = name.endswith("weight") and len(shape) == 1
        scaled = 1.0 + 0.1 * numbers if gain else record["weight_std"] * numbers
        tensors[name] = torch.from_numpy(np.asarray(scaled, dtype=np.float32))
    save_file(tensors, folder / "model.safetensors")


def _check_set(
    folder: Path,
    record: dict[str, Any],
    recorded: dict[str, Any],
    pictures: Sequence[Image],
    device: str,
) -> list[_Outcome]:
    from dpgbench.mplug import load_mplug

    _write_config(folder, record, recorded["stride_layer"])
    vqa = load_mplug(folder, device=device)
    questions = record["questions"]
    cut = vqa.processor.questions(questions).token_ST.tolist()
    other_tokens = [
        [number for number in ours if number] != recorded_tokens  # without padding
        for ours, recorded_tokens in zip(cut, record["question_tokens"], strict=True)
    ]
    asked = vqa.ask(pictures, [questions] * len(pictures), batch_size=len(pictures))
    return [
        _Outcome(other, answer.text != text, abs(answer.score - score))
        for answers, texts_scores in zip(asked, recorded["answers"], strict=True)
        for other, answer, (text, score) in zip(other_tokens, answers, texts_scores, strict=True)
    ]


def _write_config(folder: Path, record: dict[str, Any], stride: int) -> None:
    bert = {**record["bert"], "stride_layer": stride}
    (folder / "config_bert.json").write_text(json.dumps(bert), encoding="utf-8")
    (folder / "config.yaml").write_text(json.dumps(record["task"]), encoding="utf-8")
    words = "\n".join(record["vocabulary"]) + "\n"
    (folder / "vocab.txt").write_text(words, encoding="utf-8")

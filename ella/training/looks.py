"""Looks at a connector while it learns: loss on held-out pairs, pictures of fixed prompts, a score.

The loss of training steps says little: timesteps and captions differ from step to step. A look's
loss is of the same pairs, noise and timesteps each time. What draws and scores stands outside of
ella: a `Drawer` gets a connector's file and a folder.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ella.connector_base import Connector
from ella.connector_file import write_connector_file
from ella.files import replacing
from ella.training.batches import Batch, Samples, join_samples
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs
from ella.training.tokens import TokensOfTexts

FOLDER, FILE = "looks", "look.json"
NUM_BINS = 10
_SEED = 2403_05135

Drawer = Callable[[Path, Path], Mapping[str, Any]]
"""Draws with a connector's file into a folder; gives what is to be noted, such as scores."""


class LookedAt(Protocol):
    """What a look asks of a training: `Trainer`, which stands above this module."""

    out: Path
    step: int
    config: TrainConfig
    connector: Connector
    mean: Any
    base: Any
    objective: Any
    latents: Any
    accelerator: Any

    @property
    def samples_seen(self) -> int:
        """Pairs looked at so far."""
        ...

    def sample_losses(self, batch: Batch, model: Any, *, kept: bool = True) -> Tensor:
        """The loss of each sample `[B]`."""
        ...


@dataclass(frozen=True)
class Looks:
    """What is looked at.

    Attributes:
        pairs: Held-out pictures and captions; None: no loss.
        draw: Draws and scores; None: no pictures.
    """

    pairs: ImagePairs | None = None
    draw: Drawer | None = None

    def is_done(self, out: Path, step: int) -> bool:
        """Whether a run was looked at after so many steps."""
        return (_folder(out, step) / FILE).is_file()

    def look(self, trainer: LookedAt, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Look at weights, and note it in `OUT/looks/step-N`.

        Returns:
            Numbers by name, for trackers.
        """
        folder = _folder(trainer.out, trainer.step)
        noted: dict[str, Any] = {
            "step": trainer.step,
            "samples": trainer.samples_seen,
            "weights": "mean" if trainer.mean else "last",
        }
        if self.pairs is not None:
            noted |= held_out_loss(trainer, self.pairs, weights)
        folder.mkdir(parents=True, exist_ok=True)
        if self.draw is not None:
            file = folder.with_suffix(".safetensors")
            config, text = trainer.connector.config, trainer.connector.trained_text
            write_connector_file(file, config, weights, text)
            noted |= self.draw(file, folder)
            file.unlink(missing_ok=True)
        with replacing(folder / FILE) as part:
            part.write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
        return _numbers(noted)


def _folder(out: Path, step: int) -> Path:
    return out / FOLDER / f"step-{step:08d}"


@torch.no_grad()
def held_out_loss(
    trainer: LookedAt, pairs: ImagePairs, weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Mean loss on fixed pairs, noise and timesteps, and by tenths of the noise schedule.

    Pair n is shown with noise of the tenth n modulo 10, so each tenth has as many. Captions are
    whole: none is dropped. Weights of min-SNR count, as in training.

    Returns:
        `held_out_loss`, and `held_out_loss_by_timestep` from the least noise to the most, None
        where no pair fell.
    """
    number = min(len(pairs), trainer.config.look_pairs or len(pairs))
    shown = replace(
        trainer.config, seed=_SEED, caption_dropout=0.0, timestep_sampling="uniform", workers=0
    )
    steps = trainer.objective.num_timesteps
    samples = Samples(pairs, shown, trainer.latents.shape, steps, trainer.base.image_px)
    model = TokensOfTexts(_with_weights(trainer.connector, weights))
    losses: list[list[float]] = [[] for _ in range(NUM_BINS)]
    for first in range(0, number, shown.batch_size):
        members = range(first, min(number, first + shown.batch_size))
        batch = join_samples([samples[n, n] for n in members])
        low = torch.tensor([(n % NUM_BINS) * steps // NUM_BINS for n in members])
        high = torch.tensor([(n % NUM_BINS + 1) * steps // NUM_BINS for n in members])
        batch = batch._replace(timesteps=low + batch.timesteps % (high - low))
        with trainer.accelerator.autocast():
            of_samples = trainer.sample_losses(batch, model, kept=False)
        for n, loss in zip(members, of_samples.tolist(), strict=True):
            losses[n % NUM_BINS].append(loss)
    by_bin = [sum(some) / len(some) if some else None for some in losses]
    filled = [loss for loss in by_bin if loss is not None]
    return {
        "held_out_pairs": number,
        "held_out_loss": sum(filled) / len(filled),
        "held_out_loss_by_timestep": by_bin,
    }


def _with_weights(connector: Connector, weights: Mapping[str, Tensor]) -> Connector:
    other = copy.deepcopy(connector)
    other.load_state_dict(dict(weights))
    return other.eval()


def _numbers(noted: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in noted.items() if type(value) in (int, float)}
    for place, loss in enumerate(noted.get("held_out_loss_by_timestep", ())):
        if loss is not None:
            numbers[f"held_out_loss_{place}"] = loss
    for judge, scores in noted.get("scores", {}).items():
        numbers |= {f"{judge}/{rule}": score for rule, score in scores.items() if score is not None}
    return numbers

"""Figures in TensorBoard, Weights & Biases or trackio, through accelerate; none is needed."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from ella.errors import TrainingError
from ella.training.config import TrainConfig

PROJECT = "ella"


def check_trackers(config: TrainConfig) -> None:
    """Raise where a tracker's package is missing: accelerate would leave it out in silence.

    Raises:
        TrainingError: With the command that installs it.
    """
    for name in config.tracker_names:
        if find_spec(name) is None:
            raise TrainingError(
                f"--trackers {config.trackers}: the package {name} is not installed; run"
                f" `pip install {name}`, or leave it out (metrics.jsonl has the same figures)"
            )


def init_trackers(accelerator: Any, config: TrainConfig) -> None:
    """Begin a run in each tracker, with the settings."""
    if config.tracker_names:
        accelerator.init_trackers(PROJECT, config=asdict(config))

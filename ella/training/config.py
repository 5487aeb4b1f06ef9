"""What can be set in training. Nothing here needs torch."""

from __future__ import annotations

import difflib
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from ella.data.captions import CaptionColumns
from ella.data.conditions import parse_conditions

DATA_SETTINGS = ("pairs", "captions", "weights", "order")
CHANGEABLE = ("data", *DATA_SETTINGS)

TRACKERS = ("tensorboard", "wandb", "trackio")
Keep = Literal["none", "memory", "disk"]
"""Where what is computed once stays: nowhere (computed at every step), in memory, or on disk."""


TimestepSampling = Literal["uniform", "logit-normal", "cubic"]
"""How steps of the noise schedule are drawn: evenly; as the sigmoid of a normal number (of SD 3,
arXiv 2403.03206, section 3.1); or the noisy ones more often, at 1 - u^3 of the schedule."""


def _setting(
    default: Any, about: str, *, free: bool = False, least: float = 0, later: bool = False
) -> Any:
    """A field: what `--help` says of it, and what else is to be known of it.

    Args:
        default: Its default.
        about: What it means.
        free: Whether a resumed run may change it.
        least: Its lower bound.
        later: Whether there are checkpoints from before the setting, which say nothing of it: they
            were made with its default.
    """
    about_it = {"about": about, "free": free, "least": least, "later": later}
    return field(default=default, metadata=about_it)


@dataclass(frozen=True)
class TrainConfig:
    """How a connector is trained. The defaults are the paper's wherever the paper states one.

    Source: arXiv 2403.05135: AdamW with weight decay 0.01, constant learning rate 1e-4 (SD 1.5),
    280,000 steps, captions of fixed length. It states neither batch size nor caption dropout,
    clipping, EMA or precision: those are this project's choice. Each field says what it means
    (`TrainConfig.about("batch_size")`, and `python -m ella.train --help`). A value of 0 switches
    off what it governs. A resumed run may change only the fields that `is_free` names.

    Raises:
        ValueError: If a value is of another type or out of range.
    """

    seed: int = _setting(0, "all randomness follows from it and a sample's number")
    steps: int = _setting(280_000, "optimizer steps in all; may grow later", free=True, least=1)
    global_batch: int = _setting(
        0,
        "pairs per optimizer step over all processes; 0: as the checkpoint says, else batch_size x"
        " accumulation x processes",
        free=True,
    )
    batch_size: int = _setting(16, "pairs per process and micro-step, at most", free=True, least=1)
    accumulation: int = _setting(
        1, "micro-steps per optimizer step, where no global batch is set", free=True, least=1
    )
    learning_rate: float = _setting(1e-4, "after warm-up, constant")
    warmup_steps: int = _setting(0, "steps over which the learning rate rises linearly")
    weight_decay: float = _setting(0.01, "AdamW's")
    max_grad_norm: float = _setting(1.0, "longer gradients are shortened to it; 0: never")
    caption_dropout: float = _setting(
        0.1, "share of captions replaced by the empty text, for classifier-free guidance"
    )
    min_snr_gamma: float = _setting(0.0, "min-SNR loss weights (arXiv 2303.09556, 5); 0: none")
    offset_noise: float = _setting(
        0.0, "strength of noise that is one number a channel, added to the noise", later=True
    )
    zero_terminal_snr: bool = _setting(
        False, "betas rescaled so that the last step is noise alone (arXiv 2305.08891)", later=True
    )
    timestep_sampling: TimestepSampling = _setting(  # noqa: RUF009
        "uniform", "how steps of the noise schedule are drawn", later=True
    )
    timestep_mean: float = _setting(
        0.0, "of the normal number behind logit-normal; above 0: noisier", least=-10, later=True
    )
    timestep_std: float = _setting(1.0, "its standard deviation", later=True)
    ema_decay: float = _setting(0.9999, "of the running mean of the weights; 0: no mean is kept")
    mixed_precision: Literal["no", "fp16", "bf16"] = _setting(
        "no", "the frozen networks' precision and the connector's arithmetic; its weights: float32"
    )
    length: Literal["fixed", "flexible"] = _setting(
        "fixed",
        "captions padded and cut to one number of tokens, or each at its own length"
        " (of at most 4,096: longer ones are cut, with a warning)",
    )
    caption_column: str = _setting(
        "", "columns of captions with their weights, such as long:0.7,short:0.3", later=True
    )
    sentence_tokens: int = _setting(
        0, "captions with more tokens lose their last sentences; 0: never", later=True
    )
    filter: str = _setting("", "conditions on columns, such as width>=512,aesthetic>5", later=True)
    min_px: int = _setting(0, "shorter sides with fewer pixels are left out", later=True)
    largest_aspect: float = _setting(
        1.0, "longest side over shortest that pictures keep; 1: squares", least=1, later=True
    )
    bucket_px: int = _setting(64, "sides of other shapes are multiples of it", least=8, later=True)
    max_bad: float = _setting(
        0.1,
        "pictures that may be damaged: a number, or below 1 a share; more stop the run",
        free=True,
    )
    max_skipped: int = _setting(
        3, "steps in a row without a finite gradient that stop the run", free=True, least=1
    )
    allow: str = _setting(
        "", "settings that a resumed run may change, such as learning_rate,data", free=True
    )
    image_px: int = _setting(0, "side of the square that pictures are cut to; 0: the model's own")
    text_cache: Keep = _setting("none", "where captions' features stay")  # noqa: RUF009
    latent_cache: Keep = _setting("none", "where pictures' latents stay")  # noqa: RUF009
    gradient_checkpointing: bool = _setting(
        False, "the denoiser's activations computed twice, to need less memory", free=True
    )
    compile: bool = _setting(
        False, "denoiser and connector by torch.compile; equal but for rounding", free=True
    )
    tf32: bool = _setting(
        True, "float32 products in TF32 on GPUs that have it; equal but for rounding", free=True
    )
    device: Literal["auto", "cpu"] = _setting("auto", "cpu: also where there is an accelerator")
    workers: int = _setting(0, "processes that read pictures ahead; 0: read in between", free=True)
    save_every: int = _setting(1000, "steps between checkpoints", free=True, least=1)
    keep_last: int = _setting(2, "checkpoints that stay", free=True, least=1)
    log_every: int = _setting(10, "steps between lines of metrics.jsonl", free=True, least=1)
    trackers: str = _setting(
        "", "where figures go besides, with commas: tensorboard, wandb, trackio", free=True
    )
    look_every: int = _setting(
        0, "steps between looks: held-out loss, pictures, a score; 0: none", free=True
    )
    look_at: str = _setting("", "further steps to look at, with commas", free=True)
    look_pairs: int = _setting(64, "pairs of the held-out data in a look's loss; 0: all", free=True)

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            _check(name, getattr(self, name), kind, self._field(name).metadata["least"])
        for name in ("caption_dropout", "ema_decay"):
            if getattr(self, name) > 1:
                raise ValueError(f"`{name}` must be at most 1, got {getattr(self, name)}")
        for word in self.look_at.split(","):
            if word.strip() and not word.strip().isdecimal():
                raise ValueError(f"`look_at` must be steps with commas, got {self.look_at!r}")
        unknown = [word for word in self.tracker_names if word not in TRACKERS]
        if unknown:
            raise ValueError(f"`trackers` must be of {', '.join(TRACKERS)}, got {unknown[0]!r}")
        CaptionColumns.parse(self.caption_column)
        parse_conditions(self.filter)
        names = [*CHANGEABLE, *(one.name for one in fields(self))]
        for name in self.allowed - set(names):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}" if near else ""
            raise ValueError(f"`allow` must name settings, got {name!r}{hint}")

    @property
    def tracker_names(self) -> list[str]:
        """`trackers` as a list."""
        return [word.strip() for word in self.trackers.split(",") if word.strip()]

    @classmethod
    def _field(cls, name: str) -> Field[Any]:
        return next(one for one in fields(cls) if one.name == name)

    @classmethod
    def about(cls, name: str) -> str:
        """What the setting `name` means, with its default."""
        one = cls._field(name)
        assert one.default is not MISSING
        return f"{one.metadata['about']} (default {one.default})"

    @classmethod
    def is_free(cls, name: str) -> bool:
        """Whether a resumed run may change the setting `name`: it leaves each step as it is."""
        return bool(cls._field(name).metadata["free"])

    def binding(self) -> dict[str, Any]:
        """The settings that a resumed run must repeat."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if not self.is_free(one.name)
            and not (one.metadata["later"] and getattr(self, one.name) == one.default)
        }

    def looks_at(self, step: int) -> bool:
        """Whether there is a look after so many steps."""
        steps = {int(word) for word in self.look_at.split(",") if word.strip()}
        if not self.look_every and not steps:
            return False
        even = self.look_every and step % self.look_every == 0
        return bool(step) and (bool(even) or step in steps or step == self.steps)

    @property
    def allowed(self) -> set[str]:
        """The settings that `allow` names; `data` stands for what data a run has."""
        names = {word.strip() for word in self.allow.split(",") if word.strip()}
        return names | (set(DATA_SETTINGS) if "data" in names else set())

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step >= self.warmup_steps:
            return self.learning_rate
        return self.learning_rate * (step + 1) / self.warmup_steps


def _check(name: str, value: Any, kind: Any, least: float) -> None:
    choices = get_args(kind)
    if choices:
        if value not in choices:
            raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}")
        return
    allowed = (int, float) if kind is float else (kind,)
    if kind is str and type(value) is str:
        return
    if type(value) not in allowed:
        raise ValueError(f"`{name}` must be of type {kind.__name__}, got {value!r}")
    if kind is not str and not least <= value < float("inf"):
        raise ValueError(f"`{name}` must be finite and at least {least:g}, got {value}")

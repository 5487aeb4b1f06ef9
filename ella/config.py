"""The sizes of a connector. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Length = Literal["fixed", "flexible"]
"""`fixed`: padded and truncated to one length, as in training; `flexible`: as long as the text."""

TRAINED_LENGTH = 128
"""Tokens of `fixed` that ELLA's released connector was trained with."""


@dataclass(frozen=True, slots=True)
class TrainedText:
    """How long the texts were that a connector was trained with.

    Attributes:
        length: As in `Ella.generate`.
        tokens: Of `fixed`; None where it is `flexible`.

    Raises:
        ValueError: If they do not fit together.
    """

    length: Length
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.length not in ("fixed", "flexible"):
            raise ValueError(f"`length` must be 'fixed' or 'flexible', got {self.length!r}")
        fits = type(self.tokens) is int and self.tokens > 0
        if fits is not (self.length == "fixed"):
            raise ValueError(f"`tokens` of {self.length!r} cannot be {self.tokens!r}")


@dataclass(frozen=True, slots=True)
class ConnectorConfig:
    """Sizes of a Timestep-aware Semantic Connector; the defaults are the released SD 1.5 one's.

    Source: arXiv 2403.05135, section 3.2 and Table 6 (66.82M parameters).

    Attributes:
        time_channel: Channels of the sinusoidal timestep embedding.
        time_embed_dim: Width of the embedded timestep.
        width: Width of the latents, so of the tokens that the U-Net's cross-attention sees.
        layers: Number of resampler blocks.
        heads: Attention heads of each block; `width` must be a multiple.
        num_latents: Learned latents, so tokens out, whatever the text's length.
        input_dim: Width of the language model's features.

    Raises:
        ValueError: If a size is below 1, `width` no multiple of `heads`, or `time_channel` odd.
    """

    time_channel: int = 320
    time_embed_dim: int = 768
    width: int = 768
    layers: int = 6
    heads: int = 8
    num_latents: int = 64
    input_dim: int = 2048

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}")
        if self.width % self.heads:
            raise ValueError(f"`width` {self.width} must be a multiple of `heads` {self.heads}")
        if self.time_channel % 2:
            raise ValueError(f"`time_channel` must be even, got {self.time_channel}")

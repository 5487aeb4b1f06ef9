"""What a connector is like: its kind, its sizes, its texts. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

Length = Literal["fixed", "flexible"]
"""`fixed`: padded and truncated to one length, as in training; `flexible`: as long as the text."""

ConnectorKind = Literal["adaln", "adaln-zero", "resampler", "mlp"]
"""The connectors of arXiv 2403.05135, Table 6; `adaln` is the released one."""

TRAINED_LENGTH = 128
"""Tokens of `fixed` that ELLA's released connector was trained with."""


@dataclass(frozen=True, slots=True)
class TrainedText:
    """How texts became features when a connector was trained.

    Attributes:
        length: As in `Ella.generate`.
        tokens: Of `fixed`; None where it is `flexible`.
        hidden_layer: As in `TransformersTextEncoder`; None is the last one.
        language_model: Its kind, as transformers calls it (`llama`); None where it is a T5, or
            not known.

    Raises:
        ValueError: If they do not fit together.
    """

    length: Length
    tokens: int | None = None
    hidden_layer: int | None = None
    language_model: str | None = None

    def __post_init__(self) -> None:
        if self.length not in ("fixed", "flexible"):
            raise ValueError(f"`length` must be 'fixed' or 'flexible', got {self.length!r}")
        fits = type(self.tokens) is int and self.tokens > 0
        if fits is not (self.length == "fixed"):
            raise ValueError(f"`tokens` of {self.length!r} cannot be {self.tokens!r}")
        if self.hidden_layer is not None and type(self.hidden_layer) is not int:
            raise ValueError(f"`hidden_layer` must be a number, got {self.hidden_layer!r}")
        if not isinstance(self.language_model, str | None):
            raise ValueError(f"`language_model` must be a text, got {self.language_model!r}")


@dataclass(frozen=True, slots=True)
class ConnectorConfig:
    """Kind and sizes of a connector; the defaults are the released SD 1.5 one's.

    Source: arXiv 2403.05135, section 3.2 and Table 6, with the numbers that can be trained at
    `input_dim` 2048 and `width` 768: `adaln` 66,820,608; `adaln-zero` 73,907,712; `resampler`
    44,159,232, with one layer 8,712,192; `mlp` 2,164,224. A kind ignores the sizes of parts that
    it has not: without a timestep the first two, `mlp` also `layers`, `heads` and `num_latents`.

    Attributes:
        time_channel: Channels of the sinusoidal timestep embedding.
        time_embed_dim: Width of the embedded timestep.
        width: Width of the tokens out, which the U-Net's cross-attention sees.
        layers: Number of resampler blocks.
        heads: Attention heads of each block; `width` must be a multiple.
        num_latents: Learned latents, so tokens out, whatever the text's length. (`mlp` gives as
            many tokens as the text has.)
        input_dim: Width of the language model's features.
        kind: `adaln`: a resampler whose norms follow the timestep; `adaln-zero`: besides, gates
            that open with training; `resampler`: with plain norms; `mlp`: two linears.
        pooled_width: Width of one embedding of the whole text beside the tokens, as SDXL's U-Net
            takes it (1280); 0: none.

    Raises:
        ValueError: If a size is below 1 (`pooled_width`: 0), `width` no multiple of `heads`,
            `time_channel` odd, or the kind unknown.
    """

    time_channel: int = 320
    time_embed_dim: int = 768
    width: int = 768
    layers: int = 6
    heads: int = 8
    num_latents: int = 64
    input_dim: int = 2048
    kind: ConnectorKind = "adaln"
    pooled_width: int = 0

    def __post_init__(self) -> None:
        kinds = get_args(ConnectorKind)
        if self.kind not in kinds:
            raise ValueError(f"`kind` must be one of {', '.join(kinds)}, got {self.kind!r}")
        for name, value in asdict(self).items():
            least = 0 if name == "pooled_width" else 1
            if name != "kind" and value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}")
        if (self.has_latents or self.pooled_width) and self.width % self.heads:
            raise ValueError(f"`width` {self.width} must be a multiple of `heads` {self.heads}")
        if self.uses_timestep and self.time_channel % 2:
            raise ValueError(f"`time_channel` must be even, got {self.time_channel}")

    @property
    def uses_timestep(self) -> bool:
        """Whether tokens differ from step to step."""
        return self.kind in ("adaln", "adaln-zero")

    @property
    def has_latents(self) -> bool:
        """Whether the number of tokens is that of the latents, whatever the text's length."""
        return self.kind != "mlp"

    def num_tokens(self, text_tokens: int) -> int:
        """Tokens out for a text of so many tokens."""
        return self.num_latents if self.has_latents else text_tokens

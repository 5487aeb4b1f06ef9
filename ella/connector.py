"""The Timestep-aware Semantic Connector (TSC), the released kind: `adaln`.

Module and parameter names are those of the released weights; shape suffixes as in
`ella.connector_base`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from ella.config import ConnectorConfig, ConnectorKind
from ella.connector_base import Connector, normalize
from ella.connector_parts import PackedAttention, SquaredReluMlp


class TimeModulation(nn.Module):
    """The adaptive half of a LayerNorm: scale and shift that follow from the timestep.

    Apart from the normalisation itself, so that the text is normalised once for all blocks and
    steps. Zero at first, as in the paper: a fresh connector starts as a plain LayerNorm.
    """

    def __init__(self, width: int, time_embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(time_embed_dim, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, normalized_blw: Tensor, time_bt: Tensor) -> Tensor:
        """`[B, l, w]`, scaled and shifted."""
        shift_b1w, scale_b1w = self.linear(time_bt)[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift_b1w, normalized_blw, 1 + scale_b1w)


class PerceiverBlock(nn.Module):
    """One resampler block: the latents read themselves and the text, then an MLP."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.attn = PackedAttention(config.width, config.heads)
        self.mlp = SquaredReluMlp(config.width)
        self.ln_1 = TimeModulation(config.width, config.time_embed_dim)
        self.ln_2 = TimeModulation(config.width, config.time_embed_dim)
        self.ln_ff = TimeModulation(config.width, config.time_embed_dim)

    def forward(self, latents_bnw: Tensor, text_blw: Tensor, time_bt: Tensor) -> Tensor:
        """The latents `[B, n, w]` after the block."""
        query_bnw = self.ln_1(normalize(latents_bnw), time_bt)
        source_bkw = torch.cat([query_bnw, self.ln_2(text_blw, time_bt)], dim=1)
        latents_bnw = latents_bnw + self.attn(query_bnw, source_bkw)
        return latents_bnw + self.mlp(self.ln_ff(normalize(latents_bnw), time_bt))


class _PerceiverResampler(nn.Module):
    """The learned latents and the blocks that fill them."""

    def __init__(self, config: ConnectorConfig, block: type[nn.Module]) -> None:
        super().__init__()
        scale = config.width**-0.5
        self.latents = nn.Parameter(scale * torch.randn(config.num_latents, config.width))
        self.time_aware_linear = nn.Linear(config.time_embed_dim, config.width)
        self.proj_in = nn.Linear(config.input_dim, config.width)
        self.perceiver_blocks = nn.ModuleList(block(config) for _ in range(config.layers))

    def forward(self, text_blw: Tensor, time_bt: Tensor) -> Tensor:
        latents_bnw = self.latents + self.time_aware_linear(time_bt)[:, None]
        latents_bnw = latents_bnw.expand(len(text_blw), -1, -1)
        for block in self.perceiver_blocks:
            latents_bnw = block(latents_bnw, text_blw, time_bt)
        return latents_bnw


class TimestepAwareSemanticConnector(Connector):
    """A resampler whose norms follow the timestep: `num_latents` tokens at each step.

    Source: arXiv 2403.05135, section 3.2.
    """

    kind: ConnectorKind = "adaln"
    block: ClassVar[type[nn.Module]] = PerceiverBlock

    def __init__(self, config: ConnectorConfig | None = None) -> None:
        super().__init__(config or ConnectorConfig(kind=self.kind))
        # sin/cos flipped and no frequency shift: as Stable Diffusion's own U-Net embeds time.
        self.position = Timesteps(
            self.config.time_channel, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        self.time_embedding = TimestepEmbedding(
            self.config.time_channel, self.config.time_embed_dim
        )
        self.connector = _PerceiverResampler(self.config, self.block)

    def _project(self, text_bli: Tensor) -> Tensor:
        return normalize(self.connector.proj_in(text_bli))

    def _tokens(self, projected_blw: Tensor, timestep_rows: Tensor) -> Tensor:
        time_bt = self.time_embedding(self.position(timestep_rows).to(self.dtype))
        return self.connector(projected_blw, F.silu(time_bt))

"""The kind `resampler`: learned latents that read the text, without a timestep.

Source: arXiv 2403.05135, Tables 5 and 6 (six blocks 44.16M, one block 8.71M). The norms are plain
LayerNorms with weights: three a block make the table's numbers exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ella.config import ConnectorConfig, ConnectorKind
from ella.connector_base import NORM_EPS, Connector
from ella.connector_parts import PackedAttention, SquaredReluMlp


class _ResamplerBlock(nn.Module):
    """The latents read themselves and the text, then an MLP."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.attn = PackedAttention(config.width, config.heads)
        self.mlp = SquaredReluMlp(config.width)
        self.ln_1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.ln_2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.ln_ff = nn.LayerNorm(config.width, eps=NORM_EPS)

    def forward(self, latents_bnw: Tensor, text_blw: Tensor) -> Tensor:
        query_bnw = self.ln_1(latents_bnw)
        source_bkw = torch.cat([query_bnw, self.ln_2(text_blw)], dim=1)
        latents_bnw = latents_bnw + self.attn(query_bnw, source_bkw)
        return latents_bnw + self.mlp(self.ln_ff(latents_bnw))


class _Resampler(nn.Module):
    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        scale = config.width**-0.5
        self.latents = nn.Parameter(scale * torch.randn(config.num_latents, config.width))
        self.proj_in = nn.Linear(config.input_dim, config.width)
        self.perceiver_blocks = nn.ModuleList(_ResamplerBlock(config) for _ in range(config.layers))

    def forward(self, text_blw: Tensor) -> Tensor:
        latents_bnw = self.latents.expand(len(text_blw), -1, -1)
        for block in self.perceiver_blocks:
            latents_bnw = block(latents_bnw, text_blw)
        return latents_bnw


class ResamplerConnector(Connector):
    """`num_latents` tokens, the same at each step."""

    kind: ConnectorKind = "resampler"

    def __init__(self, config: ConnectorConfig | None = None) -> None:
        super().__init__(config or ConnectorConfig(kind=self.kind))
        self.connector = _Resampler(self.config)

    def _project(self, text_bli: Tensor) -> Tensor:
        return self.connector.proj_in(text_bli)

    def _tokens(self, projected_blw: Tensor, timestep_rows: Tensor) -> Tensor:
        return self.connector(projected_blw)

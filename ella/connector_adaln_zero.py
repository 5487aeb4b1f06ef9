"""The kind `adaln-zero`: the TSC's blocks with gates that open with training.

Source: arXiv 2403.05135, Table 6 (73.91M), after DiT's adaLN-Zero (arXiv 2212.09748, section 3.2):
besides scale and shift, a gate on what attention and MLP add, zero at first. Two gates a block
make the table's number exactly.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ella.config import ConnectorConfig, ConnectorKind
from ella.connector import TimeModulation, TimestepAwareSemanticConnector
from ella.connector_base import normalize
from ella.connector_parts import PackedAttention, SquaredReluMlp


class _GatedModulation(nn.Module):
    """Shift, scale and gate that follow from the timestep; all zero at first."""

    def __init__(self, width: int, time_embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(time_embed_dim, 3 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, normalized_bnw: Tensor, time_bt: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, n, w]`, scaled and shifted, and the gate `[B, 1, w]`."""
        shift_b1w, scale_b1w, gate_b1w = self.linear(time_bt)[:, None].chunk(3, dim=-1)
        return torch.addcmul(shift_b1w, normalized_bnw, 1 + scale_b1w), gate_b1w


class _GatedBlock(nn.Module):
    """A resampler block that adds nothing before its gates have learnt to."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.attn = PackedAttention(config.width, config.heads)
        self.mlp = SquaredReluMlp(config.width)
        self.ln_1 = _GatedModulation(config.width, config.time_embed_dim)
        self.ln_2 = TimeModulation(config.width, config.time_embed_dim)
        self.ln_ff = _GatedModulation(config.width, config.time_embed_dim)

    def forward(self, latents_bnw: Tensor, text_blw: Tensor, time_bt: Tensor) -> Tensor:
        query_bnw, gate_b1w = self.ln_1(normalize(latents_bnw), time_bt)
        source_bkw = torch.cat([query_bnw, self.ln_2(text_blw, time_bt)], dim=1)
        latents_bnw = latents_bnw + gate_b1w * self.attn(query_bnw, source_bkw)
        hidden_bnw, gate_b1w = self.ln_ff(normalize(latents_bnw), time_bt)
        return latents_bnw + gate_b1w * self.mlp(hidden_bnw)


class GatedSemanticConnector(TimestepAwareSemanticConnector):
    """The TSC with gates: `num_latents` tokens, other ones at each step."""

    kind: ConnectorKind = "adaln-zero"
    block: ClassVar[type[nn.Module]] = _GatedBlock

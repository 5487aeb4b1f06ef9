"""Attention and MLP of a resampler block, under the names of the released weights; pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedAttention(nn.Module):
    """Multi-head attention under `torch.nn.MultiheadAttention`'s parameter names, always fused."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query_bnw: Tensor, source_bkw: Tensor) -> Tensor:
        """`[B, n, w]` that queries read off sources `[B, k, w]`."""
        width = query_bnw.shape[-1]
        weight_q, weight_kv = self.in_proj_weight.split([width, 2 * width])
        bias_q, bias_kv = self.in_proj_bias.split([width, 2 * width])
        q = F.linear(query_bnw, weight_q, bias_q)
        k, v = F.linear(source_bkw, weight_kv, bias_kv).chunk(2, dim=-1)
        q, k, v = self._by_head(q), self._by_head(k), self._by_head(v)
        mixed_bhnd = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed_bhnd.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class SquaredReluMlp(nn.Module):
    """Two linears, four times as wide between them, with a squared ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., w]` to `[..., w]`."""
        return self.c_proj(F.relu(self.c_fc(x)).square())


class AttentionPool(nn.Module):
    """One embedding of a text's tokens: their mean asks them all, then a linear.

    The released weights have none. ELLA's authors say of their SDXL that an attention pool made its
    pooled embedding; heads and norm are this project's choice.
    """

    def __init__(self, width: int, heads: int, pooled_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attn = PackedAttention(width, heads)
        self.proj = nn.Linear(width, pooled_width)

    def forward(self, tokens_blw: Tensor) -> Tensor:
        """`[B, l, w]` to `[B, pooled_width]`."""
        normed_blw = self.norm(tokens_blw)
        mean_b1w = normed_blw.mean(dim=1, keepdim=True)
        source = torch.cat([mean_b1w, normed_blw], dim=1)
        return self.proj(self.attn(mean_b1w, source)[:, 0])

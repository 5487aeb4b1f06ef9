"""The Timestep-aware Semantic Connector (TSC): language-model features to U-Net tokens.

Only the network lives here; reading and writing its files is `ella.connector_file`'s.
Module and parameter names are those of the released weights.

Shape suffixes: b texts, l text tokens, n latents, k = n + l keys, w connector width,
t time embedding, h heads, d width of a head.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from ella import connector_file
from ella.config import ConnectorConfig, TrainedText

NORM_EPS = 1e-6


def _normalize(x: Tensor) -> Tensor:
    """LayerNorm without weights over the last axis."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)


class _TimeModulation(nn.Module):
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
        shift_b1w, scale_b1w = self.linear(time_bt)[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift_b1w, normalized_blw, 1 + scale_b1w)


class _PackedAttention(nn.Module):
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


class _SquaredReluMlp(nn.Module):
    """Two linears, four times as wide between them, with a squared ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.relu(self.c_fc(x)).square())


class _PerceiverBlock(nn.Module):
    """One resampler block: the latents read themselves and the text, then an MLP."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.attn = _PackedAttention(config.width, config.heads)
        self.mlp = _SquaredReluMlp(config.width)
        self.ln_1 = _TimeModulation(config.width, config.time_embed_dim)
        self.ln_2 = _TimeModulation(config.width, config.time_embed_dim)
        self.ln_ff = _TimeModulation(config.width, config.time_embed_dim)

    def forward(self, latents_bnw: Tensor, text_blw: Tensor, time_bt: Tensor) -> Tensor:
        query_bnw = self.ln_1(_normalize(latents_bnw), time_bt)
        source_bkw = torch.cat([query_bnw, self.ln_2(text_blw, time_bt)], dim=1)
        latents_bnw = latents_bnw + self.attn(query_bnw, source_bkw)
        return latents_bnw + self.mlp(self.ln_ff(_normalize(latents_bnw), time_bt))


class _PerceiverResampler(nn.Module):
    """The learned latents and the blocks that fill them."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        scale = config.width**-0.5
        self.latents = nn.Parameter(scale * torch.randn(config.num_latents, config.width))
        self.time_aware_linear = nn.Linear(config.time_embed_dim, config.width)
        self.proj_in = nn.Linear(config.input_dim, config.width)
        self.perceiver_blocks = nn.ModuleList(_PerceiverBlock(config) for _ in range(config.layers))

    def forward(self, text_blw: Tensor, time_bt: Tensor) -> Tensor:
        latents_bnw = self.latents + self.time_aware_linear(time_bt)[:, None]
        latents_bnw = latents_bnw.expand(len(text_blw), -1, -1)
        for block in self.perceiver_blocks:
            latents_bnw = block(latents_bnw, text_blw, time_bt)
        return latents_bnw


class TimestepAwareSemanticConnector(nn.Module):
    """Language-model features and a timestep in, `num_latents` tokens for the U-Net out.

    Source: arXiv 2403.05135, section 3.2. Padding tokens of the text are not masked.

    Attributes:
        config: The sizes.
        trained_text: How long the texts were in training; None where that is not known.
    """

    def __init__(self, config: ConnectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or ConnectorConfig()
        self.trained_text: TrainedText | None = None
        # sin/cos flipped and no frequency shift: as Stable Diffusion's own U-Net embeds time.
        self.position = Timesteps(
            self.config.time_channel, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        self.time_embedding = TimestepEmbedding(
            self.config.time_channel, self.config.time_embed_dim
        )
        self.connector = _PerceiverResampler(self.config)

    @classmethod
    def from_safetensors(
        cls,
        path: str | Path,
        *,
        heads: int | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> TimestepAwareSemanticConnector:
        """The connector in a file, in evaluation mode, loaded strictly by name.

        Args:
            path: A safetensors file: the released one, or one that `save_safetensors` wrote.
            heads: Attention heads, which no shape shows; by default what the file says, else 8.
            dtype: By default the file's (float16 for the released weights).
            device: Where to.

        Raises:
            ConnectorFileError: If the file is missing, damaged, a pickle, or not a connector.
        """
        config, state = connector_file.read_connector_file(path, heads=heads, device=device)
        with torch.device("meta"):  # no time lost on first values that the file replaces
            connector = cls(config)
        connector_file.check_names_and_shapes(path, expected=connector.state_dict(), tensors=state)
        connector.load_state_dict(state, strict=True, assign=True)
        connector.trained_text = connector_file.read_trained_text(path, forgive=heads is not None)
        return connector.to(dtype=dtype).eval()

    def save_safetensors(self, path: str | Path) -> None:
        """Write weights and sizes to `path`, whole or not at all; `from_safetensors` reads it."""
        connector_file.write_connector_file(path, self.config, self.state_dict(), self.trained_text)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype, so the tokens'."""
        return self.connector.latents.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.connector.latents.device

    def forward(self, text_features: Tensor, timestep: Tensor | float) -> Tensor:
        """Tokens for the U-Net's cross-attention.

        Args:
            text_features: `[B, L, input_dim]`, of any floating dtype, any L from 0.
            timestep: One for all texts, or `[B]`: one for each. From 0 to 999, fractions allowed.

        Returns:
            `[B, num_latents, width]` of the connector's dtype.

        Raises:
            ValueError: If a shape does not fit.
        """
        return self.forward_projected(self.project_text(text_features), timestep)

    def project_text(self, text_features: Tensor) -> Tensor:
        """The part of the work that no timestep changes: once per text, then step by step.

        Args:
            text_features: `[B, L, input_dim]`.

        Returns:
            `[B, L, width]`, for `forward_projected`.

        Raises:
            ValueError: If the shape does not fit.
        """
        _check_features("text_features", text_features, self.config.input_dim)
        features = text_features.to(self.device, self.dtype)
        return _normalize(self.connector.proj_in(features))

    def forward_projected(self, projected_text: Tensor, timestep: Tensor | float) -> Tensor:
        """`forward` for what `project_text` returned: `[B, L, width]` to `[B, num_latents, width]`.

        Raises:
            ValueError: If a shape does not fit.
        """
        _check_features("projected_text", projected_text, self.config.width)
        rows = _timestep_rows(timestep, len(projected_text), self.device)
        time_bt = self.time_embedding(self.position(rows).to(self.dtype))
        return self.connector(projected_text, F.silu(time_bt))


def _check_features(name: str, features: Tensor, width: int) -> None:
    if features.ndim != 3 or features.shape[-1] != width:
        shape = tuple(features.shape)
        raise ValueError(f"`{name}` must have the shape [texts, tokens, {width}], got {shape}")
    if not features.is_floating_point():
        raise ValueError(f"`{name}` must be of a floating dtype, got {features.dtype}")


def _timestep_rows(timestep: Tensor | float, num_texts: int, device: torch.device) -> Tensor:
    """`timestep` as float32 `[1]` or `[num_texts]`; float32 holds every integer step exactly."""
    if not isinstance(timestep, Tensor) and not math.isfinite(timestep):
        raise ValueError(f"`timestep` must be finite, got {timestep}")
    rows = torch.as_tensor(timestep, dtype=torch.float32, device=device)
    if rows.ndim > 1 or rows.numel() not in (1, num_texts):
        raise ValueError(
            f"`timestep` must be one number or one for each of the {num_texts} texts,"
            f" got the shape {tuple(rows.shape)}"
        )
    return rows.reshape(-1)

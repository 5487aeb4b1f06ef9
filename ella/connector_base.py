"""What all connectors share: files, checks of what goes in, and where they are.

Each kind of `ConnectorConfig.kind` is a class in a module of its own, listed in `CLASS_OF`.

Shape suffixes here and in those modules: b texts, l text tokens, n latents, k = n + l keys,
w connector width, t time embedding, h heads, d width of a head.
"""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ella import connector_file
from ella.config import ConnectorConfig, ConnectorKind, TrainedText
from ella.connector_parts import AttentionPool
from ella.errors import ConnectorFileError

CLASS_OF: dict[ConnectorKind, str] = {
    "adaln": "ella.connector:TimestepAwareSemanticConnector",
    "adaln-zero": "ella.connector_adaln_zero:GatedSemanticConnector",
    "resampler": "ella.connector_resampler:ResamplerConnector",
    "mlp": "ella.connector_mlp:MlpConnector",
}
NORM_EPS = 1e-6


def normalize(x: Tensor) -> Tensor:
    """LayerNorm without weights over the last axis."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)


class Connector(nn.Module):
    """Language-model features, and for some kinds a timestep, in; tokens for the U-Net out.

    `Connector.of` and `Connector.from_safetensors` give the class of the kind. Padding tokens of
    the text are never masked.

    Attributes:
        config: Kind and sizes.
        trained_text: How texts became features in training; None where that is not known.
    """

    kind: ConnectorKind

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        if config.kind != self.kind:
            raise ValueError(
                f"`config` is of the kind {config.kind!r}, but {type(self).__name__} is"
                f" {self.kind!r}; make it with Connector.of(config)"
            )
        self.config = config
        self.trained_text: TrainedText | None = None
        if config.pooled_width:
            self.pool = AttentionPool(config.width, config.heads, config.pooled_width)

    @staticmethod
    def of(config: ConnectorConfig) -> Connector:
        """A new connector of the configuration's kind, with random first weights."""
        module, _, name = CLASS_OF[config.kind].partition(":")
        made = getattr(import_module(module), name)(config)
        assert isinstance(made, Connector)
        return made

    @classmethod
    def from_safetensors(
        cls,
        path: str | Path,
        *,
        heads: int | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """A connector from its file, ready to draw (`eval`), trainable after `.float().train()`.

        Args:
            path: ELLA's released file, or one that `save_safetensors` wrote: of any kind where
                this is `Connector`, of its own kind where it is a subclass.
            heads: Attention heads, which no shape shows; by default what the file says, else 8.
            dtype: By default the file's (float16 for the released weights).
            device: Where to.

        Raises:
            ConnectorFileError: If the file is missing, damaged, a pickle, not a connector, or one
                of another kind.
        """
        config, state = connector_file.read_connector_file(path, heads=heads, device=device)
        with torch.device("meta"):  # no time lost on first values that the file replaces
            connector = Connector.of(config)
        if not isinstance(connector, cls):
            raise ConnectorFileError(
                f"{path}: holds a connector of the kind {config.kind!r}, not a {cls.__name__}; read"
                " it with Connector.from_safetensors"
            )
        connector_file.check_names_and_shapes(path, expected=connector.state_dict(), tensors=state)
        connector.load_state_dict(state, strict=True, assign=True)
        connector.trained_text = connector_file.read_trained_text(path, forgive=heads is not None)
        return connector.to(dtype=dtype).eval()

    def save_safetensors(self, path: str | Path) -> None:
        """Write weights, kind and sizes to `path`, whole or not at all.

        `Connector.from_safetensors` reads it.
        """
        connector_file.write_connector_file(path, self.config, self.state_dict(), self.trained_text)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype, so the tokens'."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, text_features: Tensor, timestep: Tensor | float) -> Tensor:
        """Tokens for the U-Net's cross-attention.

        Args:
            text_features: `[B, L, input_dim]`, of any floating dtype, any L from 0.
            timestep: One for all texts, or `[B]`: one for each. From 0 to 999, fractions allowed.
                Kinds without a timestep check and ignore it.

        Returns:
            `[B, num_latents, width]` of the connector's dtype; of the kind `mlp` `[B, L, width]`.

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
        return self._project(text_features.to(self.device, self.dtype))

    def forward_projected(self, projected_text: Tensor, timestep: Tensor | float) -> Tensor:
        """`forward` for what `project_text` returned.

        Raises:
            ValueError: If a shape does not fit.
        """
        _check_features("projected_text", projected_text, self.config.width)
        return self._tokens(
            projected_text, _timestep_rows(timestep, len(projected_text), self.device)
        )

    def pool_projected(self, projected_text: Tensor) -> Tensor:
        """One embedding of each text, the same at every step: `[B, pooled_width]`.

        Args:
            projected_text: What `project_text` gave.

        Raises:
            ValueError: If the connector pools nothing (`pooled_width` 0), or the shape does not
                fit.
        """
        if not self.config.pooled_width:
            raise ValueError("`pooled_width` of this connector is 0: it gives tokens alone")
        _check_features("projected_text", projected_text, self.config.width)
        pooled: Tensor = self.pool(projected_text)
        return pooled

    def _project(self, text_bli: Tensor) -> Tensor:
        raise NotImplementedError

    def _tokens(self, projected_blw: Tensor, timestep_rows: Tensor) -> Tensor:
        """Tokens for projected texts; `timestep_rows` is float32 `[1]` or `[B]`."""
        raise NotImplementedError


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

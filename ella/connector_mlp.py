"""The kind `mlp`: each text token through two linears, without latents or a timestep.

Source: arXiv 2403.05135, Table 6 (2.16M, LayerNorm): two linears make that number exactly, so the
norm has no weights. What the table does not say is this project's choice: the norm stands between
the first linear and the GELU.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ella.config import ConnectorConfig, ConnectorKind
from ella.connector_base import Connector, normalize


class _Mlp(nn.Module):
    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.proj_in = nn.Linear(config.input_dim, config.width)
        self.proj_out = nn.Linear(config.width, config.width)


class MlpConnector(Connector):
    """As many tokens as the text has, the same at each step."""

    kind: ConnectorKind = "mlp"

    def __init__(self, config: ConnectorConfig | None = None) -> None:
        super().__init__(config or ConnectorConfig(kind=self.kind))
        self.connector = _Mlp(self.config)

    def _project(self, text_bli: Tensor) -> Tensor:
        return normalize(self.connector.proj_in(text_bli))

    def _tokens(self, projected_blw: Tensor, timestep_rows: Tensor) -> Tensor:
        return self.connector.proj_out(F.gelu(projected_blw))

"""BERT's building blocks (post-norm, exact GELU) and the question encoder. Shapes: `attention`."""
# ruff: noqa: N803, N806

from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.attention import Attention
from dpgbench.mplug.config import MplugConfig


class Embeddings(nn.Module):
    """Words, positions and the one token type that is used, summed and normalised."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.num_positions, config.hidden_size)
        self.token_types = nn.Embedding(config.num_token_types, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, token_NL: Tensor, first_position: int = 0) -> Tensor:
        """Token numbers [N, L], the first at `first_position`, -> states [N, L, D]."""
        positions_LD = self.positions.weight[first_position : first_position + token_NL.shape[1]]
        return self.norm(self.words(token_NL) + self.token_types.weight[0] + positions_LD)


class FeedForward(nn.Module):
    """Two linear maps with GELU between them, added to the input, then LayerNorm."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.feed_forward_size)
        self.down = nn.Linear(config.feed_forward_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, x_NLD: Tensor) -> Tensor:
        """[N, L, D] -> [N, L, D]."""
        return self.norm(self.down(F.gelu(self.up(x_NLD))) + x_NLD)


class TextLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.attention = attention_of(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x_NLD: Tensor, visible: Tensor) -> Tensor:
        """[N, L, D] -> [N, L, D]; `visible` as in `Attention`."""
        return self.feed_forward(self.attention(x_NLD, visible))


class BertTextEncoder(nn.Module):
    """The question alone, before it meets the image."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.text_layers))

    def forward(self, token_ST: Tensor, is_text_ST: Tensor) -> Tensor:
        """Token numbers [S, T] -> states [S, T, D]; `is_text_ST` is False on padding."""
        x_STD = self.embeddings(token_ST)
        for layer in self.layers:
            x_STD = layer(x_STD, is_text_ST[:, None, None])
        return x_STD


def attention_of(config: MplugConfig) -> Attention:
    """An attention of BERT's sizes."""
    return Attention(config.hidden_size, config.num_heads, config.norm_eps)

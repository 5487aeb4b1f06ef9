"""The answer's language model. Shapes: `attention`.

It reads image and text at once: one softmax over the image's tokens and then the question's. The
image's keys are shared by all its questions and their beams, so scores are joined, never keys.
"""
# ruff: noqa: N803, N806, N815

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.attention import KeyValue, Seats
from dpgbench.mplug.bert import Embeddings, FeedForward, attention_of
from dpgbench.mplug.config import MplugConfig


class Source(NamedTuple):
    """What the decoder reads for S questions: per layer keys and values of images and texts."""

    image_keys: tuple[KeyValue, ...]
    text_keys: tuple[KeyValue, ...]
    is_text_ST: Tensor
    image_S: Tensor

    def take(self, question_S: Tensor) -> Self:
        """What some of the questions read."""
        return self._replace(
            text_keys=tuple(keys.take(question_S) for keys in self.text_keys),
            is_text_ST=self.is_text_ST[question_S],
            image_S=self.image_S[question_S],
        )


class DecoderLayer(nn.Module):
    """Attention to the answer so far, then to image and question; feed-forward."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.attention = attention_of(config)
        self.cross_attention = attention_of(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x_SBD: Tensor, past: KeyValue | None, source: Source, layer: int, seats: Seats
    ) -> tuple[Tensor, KeyValue]:
        """One more token of every beam: its states [S, B, D], and the past with it included."""
        x_N1D = x_SBD.flatten(0, 1)[:, None]
        new = self.attention.keys_values(x_N1D)
        past = past.append(new) if past else new
        read_NH1E = F.scaled_dot_product_attention(self.attention.queries(x_N1D), *past)
        x_SBD = self.attention.finish(read_NH1E, x_N1D).view_as(x_SBD)
        read_SHBE = read_image_and_text(
            self.cross_attention.queries(x_SBD),
            source.image_keys[layer],
            source.text_keys[layer],
            source.is_text_ST,
            seats,
        )
        return self.feed_forward(self.cross_attention.finish(read_SHBE, x_SBD)), past


class Decoder(nn.Module):
    """Embeddings, layers, and the head; one matrix is word embedding and vocabulary projection."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.head = nn.Linear(config.hidden_size, config.hidden_size)
        self.head_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.empty(config.vocab_size))

    def logits(self, x_SBD: Tensor) -> Tensor:
        """Float32 logits [S, B, V] of the next token."""
        x_SBD = self.head_norm(F.gelu(self.head(x_SBD)))
        return F.linear(x_SBD, self.embeddings.words.weight, self.bias).float()

    def forward(
        self, token_SB: Tensor, past: tuple[KeyValue, ...], source: Source, seats: Seats
    ) -> tuple[Tensor, tuple[KeyValue, ...]]:
        """Logits after one more token of every beam, and the past with that token included."""
        length = past[0].key.shape[2] if past else 0
        x_SBD = self.embeddings(token_SB.flatten()[:, None], length).view(*token_SB.shape, -1)
        extended = []
        for i, layer in enumerate(self.layers):
            x_SBD, layer_past = layer(x_SBD, past[i] if past else None, source, i, seats)
            extended.append(layer_past)
        return self.logits(x_SBD), tuple(extended)


class Decoding:
    """The decoder on a batch of searches: keeps the keys and values of the beams so far."""

    def __init__(self, decoder: Decoder, source: Source) -> None:
        self._decoder = decoder
        self._past: tuple[KeyValue, ...] = ()
        self._read(source)

    def begin(self, start_id: int) -> Tensor:
        """Logits [S, V] of the first token, one beam a search."""
        start_S1 = torch.full_like(self._source.image_S, start_id)[:, None]
        return self._advance(start_S1)[:, 0]

    def __call__(self, token_SB: Tensor, row_SB: Tensor, search_S: Tensor) -> Tensor:
        """Logits [S, B, V] after the tokens `token_SB`; see `beam.Step`."""
        self._past = tuple(keys.take(row_SB.flatten()) for keys in self._past)
        if len(search_S) < len(self._source.image_S):
            self._read(self._source.take(search_S))
        return self._advance(token_SB)

    def _read(self, source: Source) -> None:
        self._source = source
        self._seats = Seats.of(source.image_S, len(source.image_keys[0].key))

    def _advance(self, token_SB: Tensor) -> Tensor:
        logits_SBV, self._past = self._decoder(token_SB, self._past, self._source, self._seats)
        return logits_SBV


def read_image_and_text(
    query_SHBE: Tensor, image: KeyValue, text: KeyValue, is_text_ST: Tensor, seats: Seats
) -> Tensor:
    """Attention over the image's tokens followed by the question's: [S, H, B, E].

    The same numbers as with `image` [I, H, P, E] copied for every question and joined to `text`
    [S, H, T, E]: one softmax, in float32, over the scores for both.
    """
    query_SHBE = query_SHBE * query_SHBE.shape[-1] ** -0.5
    score_SHBT = query_SHBE @ text.key.mT
    score_SHBT = score_SHBT.masked_fill(~is_text_ST[:, None, None], -torch.inf)
    score_IHNP = seats.gather(query_SHBE) @ image.key.mT
    scores = torch.cat([score_IHNP, seats.gather(score_SHBT)], dim=-1)
    weights = scores.softmax(-1, dtype=torch.float32).to(scores.dtype)
    of_image, of_text = weights.tensor_split([score_IHNP.shape[-1]], dim=-1)
    return seats.scatter(of_image @ image.value) + seats.scatter(of_text) @ text.value

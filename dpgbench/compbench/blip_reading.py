"""How BLIP's layers are run for many short questions about few pictures: each thing once.

The weights and layers are transformers' `BlipForQuestionAnswering`; what differs is what is not
done again. A picture's keys and values are made once for all of its questions, which read them
together without a copy. Questions of any length go in one batch, and padding is masked everywhere,
the answer's cross-attention included (transformers 4.57 to 5.24 leave that mask out). Of the answer
one step is run, for the start token alone, and of the vocabulary's 30,524 rows only those that are
wanted. Attention is torch's own fused one, in the image encoder too.

Shapes: N questions, I pictures, P patches and the class token, T tokens, D width, H heads, E = D/H.
"""
# ruff: noqa: N803, N806

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BlipForQuestionAnswering


class LayerKeys(NamedTuple):
    """What one layer reads: keys and values [I or N, H, P or T, E]."""

    key: Tensor
    value: Tensor


class FusedAttention(nn.Module):
    """The image encoder's self-attention by torch's fused kernel: the same weights and names."""

    def __init__(self, eager: Any) -> None:
        super().__init__()
        self.qkv, self.projection = eager.qkv, eager.projection
        self.num_heads, self.scale = eager.num_heads, eager.scale

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
        """New states [I, P, D]; the probabilities, which nobody reads, are None."""
        num_I, num_P, num_D = hidden_states.shape
        qkv = self.qkv(hidden_states).view(num_I, num_P, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.projection(read.transpose(1, 2).reshape(num_I, num_P, num_D)), None


def fuse_image_attention(network: BlipForQuestionAnswering) -> None:
    """Let the image encoder attend by `FusedAttention`, in place."""
    for layer in network.vision_model.encoder.layers:
        layer.self_attn = FusedAttention(layer.self_attn)


class PaddedQuestions:
    """Tokens of questions, padded to the longest, and the pictures that they are about.

    Args:
        token_ids: of each question.
        pictures: number of the picture of each.
        device: that tensors are put on.
    """

    def __init__(
        self, token_ids: Sequence[Sequence[int]], pictures: Sequence[int], device: torch.device
    ) -> None:
        longest = max(map(len, token_ids))
        padded = [[*ids, *[0] * (longest - len(ids))] for ids in token_ids]
        lengths = torch.tensor([len(ids) for ids in token_ids], device=device)
        self.token_NT = torch.tensor(padded, device=device)
        self.mask_N11T: Tensor | None = None
        if int(lengths.min()) < longest:
            seen_NT = torch.arange(longest, device=device) < lengths[:, None]
            self.mask_N11T = seen_NT[:, None, None]
        seats: list[int] = []
        so_far: Counter[int] = Counter()
        for picture in pictures:
            seats.append(so_far[picture])
            so_far[picture] += 1
        self.picture_N = torch.tensor(list(pictures), device=device)
        self.seat_N = torch.tensor(seats, device=device)
        self.most_of_one = max(so_far.values())


class BlipReader:
    """Runs the two texts of a network, question and answer, over encoded pictures."""

    def __init__(self, network: BlipForQuestionAnswering) -> None:
        self.question = network.text_encoder
        self.answer = network.text_decoder

    def picture_keys(self, states_IPD: Tensor) -> list[LayerKeys]:
        """What each layer reads of pictures: nine tenths of a question's cost, and no part of it.

        Args:
            states_IPD: as the image encoder gives them.
        """
        return [
            _keys(layer.crossattention.self, states_IPD) for layer in self.question.encoder.layer
        ]

    def first_logits(
        self,
        keys: Sequence[LayerKeys],
        asked: PaddedQuestions,
        start_id: int,
        wanted: Sequence[int],
    ) -> Tensor:
        """Logits [N, wanted] of an answer's first token, float32.

        Args:
            keys: of the pictures, from `picture_keys`.
            asked: the questions.
            start_id: the token that an answer begins with.
            wanted: rows of the vocabulary.
        """
        states_NTD = self._question_states(keys, asked)
        x_ND = self._answer_state(states_NTD, asked.mask_N11T, start_id)
        head = self.answer.cls.predictions
        projection = head.decoder
        rows = torch.tensor(list(wanted), device=x_ND.device)
        logits: Tensor = F.linear(
            head.transform(x_ND), projection.weight[rows], projection.bias[rows]
        )
        return logits.float()

    def _question_states(self, keys: Sequence[LayerKeys], asked: PaddedQuestions) -> Tensor:
        """Last states [N, T, D] of the questions."""
        x_NTD = self.question.embeddings(input_ids=asked.token_NT)
        for layer, of_pictures in zip(self.question.encoder.layer, keys, strict=True):
            attention = layer.attention.self
            own = _keys(attention, x_NTD)
            read = F.scaled_dot_product_attention(
                _heads(attention.query(x_NTD), attention), *own, attn_mask=asked.mask_N11T
            )
            x_NTD = layer.attention.output(_joined(read), x_NTD)
            across = layer.crossattention.self
            read = _read_pictures(_heads(across.query(x_NTD), across), of_pictures, asked)
            x_NTD = layer.crossattention.output(_joined(read), x_NTD)
            x_NTD = layer.feed_forward_chunk(x_NTD)
        return x_NTD

    def _answer_state(self, states_NTD: Tensor, mask_N11T: Tensor | None, start_id: int) -> Tensor:
        """The state [N, D] of an answer's start token; alone, it attends to itself wholly."""
        bert = self.answer.bert
        start_11 = torch.tensor([[start_id]], device=states_NTD.device)
        x_N1D = bert.embeddings(input_ids=start_11)
        for layer in bert.encoder.layer:
            x_N1D = layer.attention.output(layer.attention.self.value(x_N1D), x_N1D)
            across = layer.crossattention.self
            query = _heads(across.query(x_N1D), across).expand(len(states_NTD), -1, -1, -1)
            read = F.scaled_dot_product_attention(
                query, *_keys(across, states_NTD), attn_mask=mask_N11T
            )
            x_N1D = layer.crossattention.output(_joined(read), x_N1D)
            x_N1D = layer.feed_forward_chunk(x_N1D)
        return x_N1D[:, 0]


def _read_pictures(query_NHTE: Tensor, keys: LayerKeys, asked: PaddedQuestions) -> Tensor:
    """What each question reads of its picture [N, H, T, E].

    A picture's questions stand behind one another as if they were one: its keys are not copied.
    """
    _, num_H, num_T, num_E = query_NHTE.shape
    num_I, num_S = keys.key.shape[0], asked.most_of_one
    seated = query_NHTE.new_zeros(num_I, num_S, num_H, num_T, num_E)
    seated[asked.picture_N, asked.seat_N] = query_NHTE
    together = seated.transpose(1, 2).reshape(num_I, num_H, num_S * num_T, num_E)
    read = F.scaled_dot_product_attention(together, *keys)
    apart = read.view(num_I, num_H, num_S, num_T, num_E).transpose(1, 2)
    return apart[asked.picture_N, asked.seat_N]


def _keys(attention: Any, states: Tensor) -> LayerKeys:
    key, value = attention.key(states), attention.value(states)
    return LayerKeys(_heads(key, attention), _heads(value, attention))


def _heads(states: Tensor, attention: Any) -> Tensor:
    """States [N, T, D] by heads: [N, H, T, E]."""
    return states.unflatten(-1, (-1, attention.attention_head_size)).transpose(1, 2)


def _joined(read_NHTE: Tensor) -> Tensor:
    """What heads read, side by side: [N, T, D]."""
    return read_NHTE.transpose(1, 2).flatten(2)

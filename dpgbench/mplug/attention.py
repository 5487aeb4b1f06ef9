"""Multi-head attention as BERT has it, cut where its keys and values can be shared.

Shapes, here and in the files beside this one: `S` questions, `I` images, `P` image tokens,
`T` text tokens, `B` beams, `L` query positions, `D` hidden size, `H` heads, `E` channels of a
head, `V` vocabulary; `N` any batch.
"""
# ruff: noqa: N803, N806, N815

from collections.abc import Iterable
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class KeyValue(NamedTuple):
    """What an attention reads: keys and values [N, H, tokens, E]."""

    key: Tensor
    value: Tensor

    def take(self, rows_N: Tensor) -> Self:
        """The keys and values of some rows of the batch."""
        return type(self)(self.key[rows_N], self.value[rows_N])

    def append(self, new: "KeyValue") -> Self:
        """These tokens followed by those of `new`."""
        return type(self)(
            torch.cat([self.key, new.key], dim=2), torch.cat([self.value, new.value], dim=2)
        )


class Attention(nn.Module):
    """Projections around an attention, then the residual sum and its LayerNorm (post-norm)."""

    def __init__(self, hidden_size: int, num_heads: int, norm_eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=norm_eps)

    def queries(self, x_NLD: Tensor) -> Tensor:
        """Queries [N, H, L, E]."""
        return split_heads(self.query(x_NLD), self.num_heads)

    def keys_values(self, x_NLD: Tensor) -> KeyValue:
        """Keys and values of the tokens `x_NLD`."""
        return KeyValue(
            split_heads(self.key(x_NLD), self.num_heads),
            split_heads(self.value(x_NLD), self.num_heads),
        )

    def finish(self, read_NHLE: Tensor, x_NLD: Tensor) -> Tensor:
        """The layer's result [N, L, D] from what its heads have read and from its input."""
        return self.norm(self.output(merge_heads(read_NHLE)) + x_NLD)

    def forward(self, x_NLD: Tensor, visible: Tensor | None = None) -> Tensor:
        """Self-attention over the tokens that `visible` (broadcast to [N, H, L, L]) marks True."""
        read_NHLE = F.scaled_dot_product_attention(
            self.queries(x_NLD), *self.keys_values(x_NLD), attn_mask=visible
        )
        return self.finish(read_NHLE, x_NLD)


class Seats(NamedTuple):
    """Where each question's queries sit when all questions of an image are asked as one.

    Keys and values of an image are large and its questions many: instead of copying the former
    for each of the latter, the queries of an image's questions are laid side by side. Images with
    fewer questions than the others have empty seats, whose results nobody reads.
    """

    seat_S: Tensor
    num_images: int
    num_seats: int

    @classmethod
    def of(cls, image_S: Tensor, num_images: int) -> Self:
        """Seats for questions about the images `image_S` (each from 0 below `num_images`)."""
        about_SI = F.one_hot(image_S, num_images)
        rank_S = (about_SI.cumsum(0) * about_SI).sum(1) - 1
        num_seats = int(about_SI.sum(0).max())
        return cls(image_S * num_seats + rank_S, num_images, num_seats)

    @classmethod
    def one_each(cls, num_images: int, device: torch.device) -> Self:
        """Seats for one question about each image, in order."""
        return cls(torch.arange(num_images, device=device), num_images, 1)

    def gather(self, x_SHLE: Tensor) -> Tensor:
        """Lays the questions' rows side by side: [S, H, L, E] -> [I, H, seats * L, E]."""
        _, H, L, E = x_SHLE.shape
        shape = (self.num_images, self.num_seats, H, L, E)
        seated = x_SHLE.new_zeros(self.num_images * self.num_seats, H, L, E)
        seated[self.seat_S] = x_SHLE
        return seated.view(shape).transpose(1, 2).reshape(self.num_images, H, -1, E)

    def scatter(self, x_IHNE: Tensor) -> Tensor:
        """Undoes `gather`: [I, H, seats * L, E] -> [S, H, L, E]."""
        _, H, _, E = x_IHNE.shape
        seated = x_IHNE.view(self.num_images, H, self.num_seats, -1, E).transpose(1, 2)
        return seated.flatten(0, 1)[self.seat_S]


def cross_keys_values(layers: Iterable[nn.Module], x_NLD: Tensor) -> tuple[KeyValue, ...]:
    """What the cross-attention of each layer reads of the tokens `x_NLD`."""
    return tuple(cast("Attention", layer.cross_attention).keys_values(x_NLD) for layer in layers)


def split_heads(x_NLD: Tensor, num_heads: int) -> Tensor:
    """[N, L, D] -> [N, H, L, E]."""
    return x_NLD.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x_NHLE: Tensor) -> Tensor:
    """[N, H, L, E] -> [N, L, D]."""
    return x_NHLE.transpose(1, 2).flatten(2)

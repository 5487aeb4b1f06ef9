"""The judge's layers in training: the same arithmetic as in inference, written out to be learned.

Inference works in place and shares keys between questions and beams; here every step keeps what the
gradient needs. Shapes as in `dpgbench.mplug.attention`, with `S = I * Q` questions image by image.
"""
# ruff: noqa: E741, N803, N806

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dpgbench.mplug.attention import Attention, KeyValue, merge_heads
from dpgbench.mplug.decoder import DecoderLayer
from dpgbench.mplug.fusion import CrossLayer
from dpgbench.mplug.vision import VisionBlock, VisionTrunk

QUICK_GELU_SLOPE = 1.702


def trunk_states(trunk: VisionTrunk, pixels_ICXY: Tensor) -> Tensor:
    """Image tokens [I, P, vision width] of normalised pixels."""
    patches_IPD = trunk.patches(pixels_ICXY).flatten(2).transpose(1, 2)
    class_I1D = trunk.class_token.expand(len(patches_IPD), 1, -1)
    x_IPD = trunk.norm_before(torch.cat([class_I1D, patches_IPD], dim=1) + trunk.positions)
    for block in trunk.blocks:
        assert isinstance(block, VisionBlock)
        heads = block.attention.projections(block.attention_norm(x_IPD))
        query, key, value = heads.unflatten(-1, (3, block.attention.num_heads, -1)).permute(
            2, 0, 3, 1, 4
        )
        read = merge_heads(_attend(query, key, value))
        x_IPD = x_IPD + block.attention.output(read)
        up = block.up(block.feed_forward_norm(x_IPD))
        x_IPD = x_IPD + block.down(up * torch.sigmoid(QUICK_GELU_SLOPE * up))
    final_IPD: Tensor = trunk.norm_after(x_IPD)
    return final_IPD


def _attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None) -> Tensor:
    """Attention written out: for such short texts faster on a CPU than PyTorch's fused one."""
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    if visible is not None:
        scores = scores.masked_fill(~visible, -1e4)
    read: Tensor = scores.softmax(-1).to(value.dtype) @ value
    return read


def self_attended(attention: Attention, x_NLD: Tensor, visible: Tensor) -> Tensor:
    """Self-attention of BERT's kind."""
    read = _attend(attention.queries(x_NLD), *attention.keys_values(x_NLD), visible)
    return attention.finish(read, x_NLD)


def crossed(layer: nn.Module, text_STD: Tensor, visible: Tensor, x_IPD: Tensor) -> Tensor:
    """A fusion layer, each image's questions laid side by side."""
    assert isinstance(layer, CrossLayer)
    S, T, D = text_STD.shape
    text_STD = self_attended(layer.attention, text_STD, visible)
    beside_IND = text_STD.reshape(len(x_IPD), -1, D)
    attention = layer.cross_attention
    read = _attend(attention.queries(beside_IND), *attention.keys_values(x_IPD))
    result_IND: Tensor = layer.feed_forward(attention.finish(read, beside_IND))
    return result_IND.view(S, T, D)


def decoded(
    layer: nn.Module, x_SLD: Tensor, text_STD: Tensor, visible: Tensor, x_IPD: Tensor
) -> Tensor:
    """A decoder layer over the start and the first token."""
    assert isinstance(layer, DecoderLayer)
    L = x_SLD.shape[1]
    past = torch.ones(L, L, dtype=torch.bool, device=x_SLD.device).tril()
    x_SLD = self_attended(layer.attention, x_SLD, past)
    attention = layer.cross_attention
    read = _read_both(attention, x_SLD, attention.keys_values(x_IPD), text_STD, visible)
    result_SLD: Tensor = layer.feed_forward(attention.finish(read, x_SLD))
    return result_SLD


def _read_both(
    attention: Attention, x_SLD: Tensor, image: KeyValue, text_STD: Tensor, visible: Tensor
) -> Tensor:
    """One softmax over the image's tokens and the question's, as `read_image_and_text` has it."""
    (_, L, D), I = x_SLD.shape, len(image.key)
    query_SHLE = attention.queries(x_SLD) / math.sqrt(D // attention.num_heads)
    text = attention.keys_values(text_STD)
    query_IHNE = _beside(query_SHLE, I)
    of_image = _apart(query_IHNE @ image.key.mT, L)
    of_text = (query_SHLE @ text.key.mT).masked_fill(~visible, -1e4)
    weights = torch.cat([of_image, of_text], dim=-1).float().softmax(-1).to(text.value.dtype)
    P = image.key.shape[2]
    read_image = _apart(_beside(weights[..., :P], I) @ image.value, L)
    return read_image + weights[..., P:] @ text.value


def _beside(x_SHLE: Tensor, I: int) -> Tensor:
    """[S, H, L, E] -> [I, H, Q * L, E]."""
    _, H, L, E = x_SHLE.shape
    return x_SHLE.reshape(I, -1, H, L, E).transpose(1, 2).reshape(I, H, -1, E)


def _apart(x_IHNE: Tensor, L: int) -> Tensor:
    """[I, H, Q * L, E] -> [S, H, L, E]."""
    I, H, _, E = x_IHNE.shape
    return x_IHNE.view(I, H, -1, L, E).transpose(1, 2).reshape(-1, H, L, E)

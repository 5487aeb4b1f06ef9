"""The judge's network in training: the same weights as in inference, in a differentiable forward.

Shapes as in `dpgbench.mplug.attention`; `Q` questions to each image, so that `S = I * Q` questions
come image by image. Every question is answered with two tokens: yes or no, and the end. Inference
works in place and shares keys between questions and beams; here every step keeps what the gradient
needs.
"""
# ruff: noqa: E741, N803, N806

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.attention import Attention, KeyValue, merge_heads
from dpgbench.mplug.bert import TextLayer
from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.decoder import DecoderLayer
from dpgbench.mplug.fusion import CrossLayer
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.vision import VisionBlock, VisionTrunk
from scripts.embedded.judge.data.batches import Questions
from scripts.embedded.judge.data.hints import NUM_HINTS, WHOLE_CLASSES, WHOLE_PLACES
from scripts.embedded.judge.data.labels import CELL_CLASSES, PICTURE_CLASSES

QUICK_GELU_SLOPE = 1.702
WORD_SPREAD = 0.05
"""Standard deviation of embeddings at the start."""


class TrainedJudge(nn.Module):
    """The network and, beside it, heads that read labels off its image tokens."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.mplug = Mplug(config)
        self.cell_head = nn.Linear(config.hidden_size, sum(CELL_CLASSES))
        self.picture_head = nn.Linear(config.hidden_size, sum(PICTURE_CLASSES))
        self.early_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.hint_heads = nn.ModuleList(
            nn.Linear(config.hidden_size, NUM_HINTS) for _ in range(config.fusion_layers - 1)
        )
        self.whole_heads = nn.ModuleList(
            nn.Linear(config.hidden_size, sum(WHOLE_CLASSES)) for _ in self.hint_heads
        )
        self.center_9: Tensor
        self.register_buffer("center_9", _center_tokens(config), persistent=False)
        start_(self)

    def label_loss(self, x_IPD: Tensor, cell_I9L: Tensor, whole_IL: Tensor) -> Tensor:
        """Mean cross-entropy of the labels, read off each cell's middle patch and the class token.

        Args:
            x_IPD: Image states.
            cell_I9L: Labels of `judge.data.labels.cell_labels`.
            whole_IL: Labels of `judge.data.labels.picture_labels`.
        """
        cells = torch.split(self.cell_head(x_IPD[:, self.center_9]).float(), list(CELL_CLASSES), -1)
        wholes = torch.split(self.picture_head(x_IPD[:, 0]).float(), list(PICTURE_CLASSES), -1)
        losses = [
            F.cross_entropy(logits.flatten(0, 1), cell_I9L[..., n].flatten())
            for n, logits in enumerate(cells)
        ]
        of_picture = [F.cross_entropy(logits, whole_IL[:, n]) for n, logits in enumerate(wholes)]
        return torch.stack(losses).mean() + torch.stack(of_picture).mean()

    def labels_only(self, pixels_ICXY: Tensor, cell_I9L: Tensor, whole_IL: Tensor) -> Tensor:
        """`label_loss` of pictures."""
        return self.label_loss(self.images(pixels_ICXY), cell_I9L, whole_IL)

    def images(self, pixels_ICXY: Tensor) -> Tensor:
        """Image states [I, P, D]."""
        encoder = self.mplug.image_encoder
        x_IPD: Tensor = encoder.norm(encoder.projection(_trunk_states(encoder.trunk, pixels_ICXY)))
        return x_IPD

    def fuse(self, x_IPD: Tensor, token_IQT: Tensor) -> list[Tensor]:
        """States [S, T, D] of the questions after each fusion layer."""
        mplug = self.mplug
        token_ST = token_IQT.flatten(0, 1)
        is_text_ST = token_ST != mplug.config.pad_id
        visible = is_text_ST[:, None, None]
        text_STD = mplug.text_encoder.embeddings(token_ST)
        for text_layer in mplug.text_encoder.layers:
            assert isinstance(text_layer, TextLayer)
            text_STD = _self_attended(text_layer.attention, text_STD, visible)
            text_STD = text_layer.feed_forward(text_STD)
        states = []
        for layer in mplug.fusion.layers:
            text_STD = _crossed(layer, text_STD, visible, x_IPD)
            states.append(text_STD)
        return states

    def decode(
        self, x_IPD: Tensor, token_IQT: Tensor, text_STD: Tensor, answers_SL: Tensor
    ) -> Tensor:
        """Float32 logits [S, L + 1, V] of the next tokens after the start and the answer so far."""
        mplug = self.mplug
        visible = (token_IQT.flatten(0, 1) != mplug.config.pad_id)[:, None, None]
        answers_SL = F.pad(answers_SL, (1, 0), value=mplug.config.search.start_id)
        states_SLD = mplug.decoder.embeddings(answers_SL)
        for layer in mplug.decoder.layers:
            states_SLD = _decoded(layer, states_SLD, text_STD, visible, x_IPD)
        return mplug.decoder.logits(states_SLD)

    def forward(
        self,
        pixels_ICXY: Tensor,
        cell_I9L: Tensor,
        whole_IL: Tensor,
        groups: Sequence[Questions],
        with_end: bool = True,
    ) -> dict[str, Tensor]:
        """What is minimised, apart; those of questions are weighed by their number in each group.

        Args:
            pixels_ICXY: Normalised pixels.
            cell_I9L: Labels of cells.
            whole_IL: Labels of pictures.
            groups: Questions, in groups of one length each, so that little of it is padding.
            with_end: Whether to look at the token after the answer's first, for the loss `end`.
        """
        x_IPD = self.images(pixels_ICXY)
        labels = self.label_loss(x_IPD, cell_I9L, whole_IL)
        numbers = [len(group.answers_S) for group in groups]
        parts = [self._answer(x_IPD, group, whole_IL, with_end) for group in groups]
        losses = {"labels": labels}
        for name in parts[0]:
            weighed = [n * part[name] for n, part in zip(numbers, parts, strict=True)]
            losses[name] = torch.stack(weighed).sum() / sum(numbers)
        return losses

    def _answer(
        self, x_IPD: Tensor, group: Questions, whole_IL: Tensor, with_end: bool
    ) -> dict[str, Tensor]:
        """Losses of a group of questions."""
        answers_S, counts_S = group.answers_S, group.counts_S
        states = self.fuse(x_IPD, group.token_IQT)
        heard_SL = answers_S[:, None][:, : int(with_end)]
        logits_SLV = self.decode(x_IPD, group.token_IQT, states[-1], heard_SL)
        number = counts_S.sum().clamp(min=1)
        answer_S = F.cross_entropy(logits_SLV[:, 0], answers_S, reduction="none")
        early_SV = self.early_head(states[-1][:, 0]).float()
        early_S = F.cross_entropy(early_SV, answers_S, reduction="none")
        losses = {
            "answer": (answer_S * counts_S).sum() / number,
            "early": (early_S * counts_S).sum() / number,
            "hints": self._hint_loss(states, group),
            "whole": self._whole_loss(states, whole_IL),
        }
        if with_end:
            end_S = torch.full_like(answers_S, self.mplug.config.search.end_id)
            losses["end"] = F.cross_entropy(logits_SLV[:, 1], end_S)
        return losses

    def _hint_loss(self, states: Sequence[Tensor], group: Questions) -> Tensor:
        """Cross-entropy of the nouns' hints, after all layers but the last."""
        is_noun = group.is_noun_IQT.flatten()
        wanted = group.hint_IQTH.flatten(0, 2)[is_noun]
        losses = [
            F.binary_cross_entropy_with_logits(
                head(text_STD.flatten(0, 1)[is_noun]).float(), wanted
            )
            for head, text_STD in zip(self.hint_heads, states, strict=False)
        ]
        return torch.stack(losses).mean()

    def _whole_loss(self, states: Sequence[Tensor], whole_IL: Tensor) -> Tensor:
        """Cross-entropy of what the start token is to know of the picture."""
        wanted_IL = whole_IL[:, list(WHOLE_PLACES)]
        wanted_SL = wanted_IL.repeat_interleave(len(states[0]) // len(whole_IL), dim=0)
        losses = []
        for head, text_STD in zip(self.whole_heads, states, strict=False):
            parts = torch.split(head(text_STD[:, 0]).float(), list(WHOLE_CLASSES), -1)
            losses += [F.cross_entropy(part, wanted_SL[:, n]) for n, part in enumerate(parts)]
        return torch.stack(losses).mean()


@torch.no_grad()
def start_(model: nn.Module) -> None:
    """Numbers to start training from, drawn from PyTorch's global generator."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=WORD_SPREAD)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, VisionTrunk):
            nn.init.normal_(module.patches.weight, std=module.patches.weight[0].numel() ** -0.5)
            nn.init.normal_(module.class_token, std=WORD_SPREAD)
            nn.init.normal_(module.positions, std=0.3)
        elif isinstance(module, Mplug):
            nn.init.zeros_(module.decoder.bias)
    for block in (module for module in model.modules() if isinstance(module, VisionBlock)):
        block.attention.output.weight.mul_(0.5)
        block.down.weight.mul_(0.5)


def _center_tokens(config: MplugConfig) -> Tensor:
    """The numbers of the image tokens in the middle of the grid's nine cells."""
    side = config.image_px // config.patch_px
    middles = [int(side * (cell + 0.5) / 3) for cell in range(3)]
    return torch.tensor([1 + row * side + column for row in middles for column in middles])


def _trunk_states(trunk: VisionTrunk, pixels_ICXY: Tensor) -> Tensor:
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


def _self_attended(attention: Attention, x_NLD: Tensor, visible: Tensor) -> Tensor:
    """Self-attention of BERT's kind."""
    read = _attend(attention.queries(x_NLD), *attention.keys_values(x_NLD), visible)
    return attention.finish(read, x_NLD)


def _crossed(layer: nn.Module, text_STD: Tensor, visible: Tensor, x_IPD: Tensor) -> Tensor:
    """A fusion layer, each image's questions laid side by side."""
    assert isinstance(layer, CrossLayer)
    S, T, D = text_STD.shape
    text_STD = _self_attended(layer.attention, text_STD, visible)
    beside_IND = text_STD.reshape(len(x_IPD), -1, D)
    attention = layer.cross_attention
    read = _attend(attention.queries(beside_IND), *attention.keys_values(x_IPD))
    result_IND: Tensor = layer.feed_forward(attention.finish(read, beside_IND))
    return result_IND.view(S, T, D)


def _decoded(
    layer: nn.Module, x_SLD: Tensor, text_STD: Tensor, visible: Tensor, x_IPD: Tensor
) -> Tensor:
    """A decoder layer over the start and the first token."""
    assert isinstance(layer, DecoderLayer)
    L = x_SLD.shape[1]
    past = torch.ones(L, L, dtype=torch.bool, device=x_SLD.device).tril()
    x_SLD = _self_attended(layer.attention, x_SLD, past)
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

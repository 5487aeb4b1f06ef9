"""The judge's network in training: the same weights as in inference, in a differentiable forward.

Shapes as in `dpgbench.mplug.attention`; `Q` questions to each image, so that `S = I * Q` questions
come image by image. Every question is answered with two tokens: yes or no, and the end.
"""
# ruff: noqa: N803, N806, N815

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.bert import TextLayer
from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.vision import VisionBlock, VisionTrunk
from scripts.embedded.judge.data.hints import NUM_HINTS, WHOLE_CLASSES, WHOLE_PLACES
from scripts.embedded.judge.data.labels import CELL_CLASSES, PICTURE_CLASSES
from scripts.embedded.judge.forward import crossed, decoded, self_attended, trunk_states

WORD_SPREAD = 0.05
"""Standard deviation of embeddings at the start."""


class Questions(NamedTuple):
    """Questions of about one length to each image, and what their tokens are to learn.

    `said_S`: tokens of the true answers; `counts_S`: 0 leaves a question out, 1 lets it count;
    `hint_IQTH` and `is_noun_IQT`: of `judge.hints`.
    """

    token_IQT: Tensor
    said_S: Tensor
    counts_S: Tensor
    hint_IQTH: Tensor
    is_noun_IQT: Tensor


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
            cell_I9L: Labels of `judge.labels.cell_labels`.
            whole_IL: Labels of `judge.labels.picture_labels`.
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
        x_IPD: Tensor = encoder.norm(encoder.projection(trunk_states(encoder.trunk, pixels_ICXY)))
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
            text_STD = self_attended(text_layer.attention, text_STD, visible)
            text_STD = text_layer.feed_forward(text_STD)
        states = []
        for layer in mplug.fusion.layers:
            text_STD = crossed(layer, text_STD, visible, x_IPD)
            states.append(text_STD)
        return states

    def decode(self, x_IPD: Tensor, token_IQT: Tensor, text_STD: Tensor, said_SL: Tensor) -> Tensor:
        """Float32 logits [S, L + 1, V] of the next tokens after the start and what was said."""
        mplug = self.mplug
        visible = (token_IQT.flatten(0, 1) != mplug.config.pad_id)[:, None, None]
        said_SL = F.pad(said_SL, (1, 0), value=mplug.config.search.start_id)
        states_SLD = mplug.decoder.embeddings(said_SL)
        for layer in mplug.decoder.layers:
            states_SLD = decoded(layer, states_SLD, text_STD, visible, x_IPD)
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
        numbers = [len(group.said_S) for group in groups]
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
        said_S, counts_S = group.said_S, group.counts_S
        states = self.fuse(x_IPD, group.token_IQT)
        heard_SL = said_S[:, None][:, : int(with_end)]
        logits_SLV = self.decode(x_IPD, group.token_IQT, states[-1], heard_SL)
        number = counts_S.sum().clamp(min=1)
        answer_S = F.cross_entropy(logits_SLV[:, 0], said_S, reduction="none")
        early_SV = self.early_head(states[-1][:, 0]).float()
        early_S = F.cross_entropy(early_SV, said_S, reduction="none")
        losses = {
            "answer": (answer_S * counts_S).sum() / number,
            "early": (early_S * counts_S).sum() / number,
            "hints": self._hint_loss(states, group),
            "whole": self._whole_loss(states, whole_IL),
        }
        if with_end:
            end_S = torch.full_like(said_S, self.mplug.config.search.end_id)
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
    places = [int(side * (place + 0.5) / 3) for place in range(3)]
    return torch.tensor([1 + row * side + column for row in places for column in places])

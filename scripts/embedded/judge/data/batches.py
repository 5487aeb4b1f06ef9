"""Batches: pictures as they are shown, with labels, questions, answers and hints."""
# ruff: noqa: N815

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from scripts.embedded.judge.data.degrade import Degrader
from scripts.embedded.judge.data.hints import Meanings
from scripts.embedded.judge.data.labels import STYLE_LABEL, UNKNOWN, cell_labels, picture_labels
from scripts.embedded.judge.data.questions import Asked

LABEL_BATCH: Final = 64
SHORT_TOKENS: Final = 10
SHORT_QUESTIONS: Final = 3
LONG_QUESTIONS: Final = 5
"""Asked about each picture of a batch; short ones have up to `SHORT_TOKENS` tokens."""
NUMBERS_FIRST: Final = 0.12
"""Questions for a number are hard, and chosen before others: their lots, 0 to 1, times this."""
REDRAWN_CHANCE: Final = 0.4
"""How often a picture of which there is a redrawn one is that."""


class Data(NamedTuple):
    """Pictures [N, 64, 64, 3] and labels of a pool; questions to the first of them; the answers.

    `redrawn` holds what a generator's decoder made of the first pictures, `redrawn_plain` whether
    their style is still to be seen. `number_words` are tokens.
    """

    picture: Tensor
    fields: Tensor
    asked: Asked
    redrawn: Tensor
    redrawn_plain: Tensor
    yes_no: tuple[int, int]
    meanings: Meanings
    number_words: Tensor


class Questions(NamedTuple):
    """Questions of about one length to each image, and what their tokens are to learn.

    `answers_S`: tokens of the true answers; `counts_S`: 0 leaves a question out, 1 lets it count;
    `hint_IQTH` and `is_noun_IQT`: of `hints`.
    """

    token_IQT: Tensor
    answers_S: Tensor
    counts_S: Tensor
    hint_IQTH: Tensor
    is_noun_IQT: Tensor


class Batch(NamedTuple):
    """What `TrainedJudge.forward` takes."""

    pixels_ICXY: Tensor
    cell_I9L: Tensor
    whole_IL: Tensor
    groups: list[Questions]


@dataclass(frozen=True)
class Batches:
    """Draws batches; the same generator state, the same batch.

    A batch with questions has `num_pictures`, one without them `LABEL_BATCH`.
    """

    data: Data
    degrader: Degrader
    num_pictures: int
    device: str

    def of_labels(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """What `TrainedJudge.labels_only` takes."""
        chosen = torch.randint(len(self.data.picture), (LABEL_BATCH,), generator=rng)
        pixels, plain = self._pixels(chosen, rng)
        return self._labelled(chosen, pixels, plain)

    def of_questions(self, rng: torch.Generator) -> Batch:
        """A batch with questions."""
        chosen = torch.randint(len(self.data.asked.token), (self.num_pictures,), generator=rng)
        pixels, plain = self._pixels(chosen, rng)
        token = torch.from_numpy(self.data.asked.token[chosen.numpy()])
        is_long = (token != 0).sum(-1) > SHORT_TOKENS
        order = torch.rand(is_long.shape, generator=rng)
        order[torch.isin(token, self.data.number_words).any(-1) & ~is_long] *= NUMBERS_FIRST
        short = (order + is_long).argsort(1)[:, :SHORT_QUESTIONS]
        long = (order - is_long.int()).argsort(1)[:, :LONG_QUESTIONS]
        pixels, cell, whole = self._labelled(chosen, pixels, plain)
        asked = self.data.asked.token.shape[-1]
        groups = [
            self._ask(chosen, short, plain, min(SHORT_TOKENS, asked)),
            self._ask(chosen, long, plain, asked),
        ]
        return Batch(pixels, cell, whole, groups)

    def _labelled(
        self, chosen: Tensor, pixels: Tensor, plain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels and labels; a style that is no longer to be seen is none to learn."""
        whole = picture_labels(self.data.fields[chosen])
        whole[~plain, STYLE_LABEL] = UNKNOWN
        cell = cell_labels(self.data.fields[chosen])
        pixels, cell, whole = self._there(pixels, cell, whole)
        return pixels, cell, whole

    def _ask(self, chosen: Tensor, among: Tensor, plain: Tensor, num_tokens: int) -> Questions:
        """Some of the questions to the chosen pictures."""
        asked, (yes, no) = self.data.asked, self.data.yes_no
        place = (chosen[:, None].numpy(), among.numpy())
        token = torch.from_numpy(asked.token[place]).long()
        is_whole = ~token[..., num_tokens:].any(-1)
        token = token[..., :num_tokens]
        answers = torch.where(torch.from_numpy(asked.is_yes[place]), yes, no)
        counts = (plain[:, None] | ~torch.from_numpy(asked.is_style[place])) & is_whole
        hints, is_noun = self.data.meanings.targets(token, self.data.fields[chosen])
        tensors = (token, answers.flatten(), counts.flatten().float(), hints, is_noun)
        return Questions(*self._there(*tensors))

    def _pixels(self, chosen: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Harmed pictures, and in which of them style is still to be seen."""
        data = self.data
        picture = data.picture[chosen]
        swapped = torch.rand(len(chosen), generator=rng) < REDRAWN_CHANCE
        swapped &= chosen < len(data.redrawn)
        picture[swapped] = data.redrawn[chosen[swapped]]
        pixels, plain = self.degrader(picture, rng)
        plain[swapped] &= data.redrawn_plain[chosen[swapped]]
        return pixels, plain

    def _there(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.to(self.device) for tensor in tensors]

"""What a Hugging Face judge is asked, and which of its tokens are its answer.

A prompt's wording decides answers: each has a version, and the version changes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.answer_reading import (
    first_word_answer,
    first_word_settled,
    kept,
    word_answer,
)
from dpgbench.backends.protocols import JudgeAnswer, TileQuestions
from dpgbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

MAX_NEW_TOKENS = 8
OVERFLOW_REMEDY = "use --dtype bfloat16 or float32"
DECODE = f"greedy, at most {MAX_NEW_TOKENS} tokens"
P_YES = "first token: yes / (yes + no)"

_SPACES = ("", " ", "\u0120", "\u2581")  # as written; byte-level BPE; SentencePiece


@dataclass(frozen=True)
class PromptTemplate:
    """How a question is put; `template` has the question in ``{question}``."""

    version: str
    template: str

    def put(self, question: str) -> str:
        """Return the text that stands for `question`."""
        return self.template.format(question=question)

    def describe(self) -> dict[str, str]:
        """Return what goes into the manifest."""
        return {"version": self.version, "template": self.template}


CHAT = PromptTemplate("chat-v1", "{question}\nAnswer with one word only: yes or no.")
ONE_WORD = PromptTemplate("one-word-v1", "{question}\nAnswer with one word only.")
AS_WORDED = PromptTemplate("as-worded-v1", "{question}")
"""A question whose right answer is a number or a word, and one that the benchmark words itself."""
BLIP_VQA = PromptTemplate("blip-vqa-v1", "{question}")
WITHOUT_CHAT = {
    "paligemma": PromptTemplate("paligemma-v1", "<image>answer en {question}"),
    "blip-2": PromptTemplate("blip-2-v1", "Question: {question} Answer:"),
}
"""Prompts of models that are no chat models, by model type, as their own pages give them."""


def word_ids(tokenizer: Any, word: str) -> list[int]:
    """Return the tokens that are `word` and nothing else: any case, with or without a space."""
    vocabulary = tokenizer.get_vocab()
    forms = {space + form for space in _SPACES for form in (word, word.title(), word.upper())}
    return sorted(vocabulary[form] for form in forms if form in vocabulary)


class GeneratedTokens(NamedTuple):
    """What a model generates, a row a question.

    Attributes:
        first_logits: for its first token; (rows, vocabulary).
        token_ids: greedy, padded after the end; (rows, length).
    """

    first_logits: Tensor
    token_ids: Tensor

    @property
    def overflowed(self) -> bool:
        """Whether a number is none, as happens in float16 to models made for bfloat16."""
        return bool(self.first_logits.isnan().any())


class AnswerKind(NamedTuple):
    """What a question wants: a number or a word in place of yes or no; the forms of its answer."""

    is_word: bool = False
    forms: tuple[str, ...] = ()


def kinds_of(tile: TileQuestions) -> list[AnswerKind]:
    """Return what each question of a tile wants."""
    return [
        AnswerKind(tile.wants_word(number), forms)
        for number, forms in enumerate(tile.forms_of_each)
    ]


class AnswerTokens:
    """A tokenizer's side of an answer: which tokens mean yes, no and the end."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int], pad_id: int) -> None:
        self.tokenizer = tokenizer
        self.end_ids = list(end_ids)
        self.pad_id = pad_id
        self.yes_ids = word_ids(tokenizer, "yes")
        self.no_ids = word_ids(tokenizer, "no")
        self._first_of: dict[str, int | None] = {}

    def p_yes(self, logits: Tensor) -> Sequence[float | None]:
        """Return yes / (yes + no) for each row of first-token `logits` (rows, vocabulary).

        None where the vocabulary has no token for one of the two words.
        """
        if not self.yes_ids or not self.no_ids:
            return [None] * len(logits)
        yes = logits[:, self.yes_ids].float().logsumexp(-1)
        no = logits[:, self.no_ids].float().logsumexp(-1)
        return [float(value) for value in (yes - no).sigmoid()]

    def p_answer(self, logits: Tensor, forms: Sequence[Sequence[str]]) -> list[float | None]:
        """Return the probability that each row's first token begins one of its forms.

        Among all of the vocabulary, each token once; None for a row without forms.

        Args:
            logits: for the first token; (rows, vocabulary).
            forms: of each row.
        """
        p_first = logits.float().softmax(-1)
        return [
            min(1.0, float(row[ids].sum())) if (ids := self._first_ids(of_row)) else None
            for row, of_row in zip(p_first, forms, strict=True)
        ]

    def _first_ids(self, forms: Sequence[str]) -> list[int]:
        return sorted({first for form in forms if (first := self._first_id(form)) is not None})

    def _first_id(self, form: str) -> int | None:
        """Return the first token of a form; None where it has none, or an unknown one."""
        if form not in self._first_of:
            ids = self.tokenizer(form, add_special_tokens=False).input_ids
            is_known = bool(ids) and ids[0] != self.tokenizer.unk_token_id
            self._first_of[form] = int(ids[0]) if is_known else None
        return self._first_of[form]

    def texts(self, token_ids: Tensor) -> list[str]:
        """Return the text of each row of tokens (rows, length), without special tokens."""
        texts: list[str] = self.tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def ended(self, token_ids: Tensor) -> Tensor:
        """Return for each row whether its answer stands: the end came, or a whole yes or no."""
        import torch

        decoded = self.tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        whole = [first_word_settled(text) for text in decoded]
        ends = torch.tensor(self.end_ids, device=token_ids.device)
        stands = torch.tensor(whole, device=token_ids.device)
        return torch.isin(token_ids, ends).any(-1) | stands

    def answers(
        self, generated: GeneratedTokens, rows: Sequence[AnswerKind] | None = None
    ) -> list[JudgeAnswer]:
        """Return an answer for each row: its words, and the probabilities of its first token.

        Args:
            generated: tokens, a row a question.
            rows: what each question wants; yes or no where None.

        Raises:
            DataError: the model's numbers overflowed.
        """
        if generated.overflowed:
            raise DataError(f"the judge's numbers overflow on this image; {OVERFLOW_REMEDY}")
        texts = self.texts(generated.token_ids)
        p_yes = self.p_yes(generated.first_logits)
        rows = [AnswerKind()] * len(texts) if rows is None else rows
        p_answer = self.p_answer(generated.first_logits, [row.forms for row in rows])
        return [
            (_word(text) if row.is_word else _answer(text, yes))._replace(p_answer=p)
            for text, yes, p, row in zip(texts, p_yes, p_answer, rows, strict=True)
        ]


def _word(text: str) -> JudgeAnswer:
    """Return an answer that is neither yes nor no, and should not be."""
    word = word_answer(text)
    return JudgeAnswer(word, invalid=not word)


def _answer(text: str, p_yes: float | None) -> JudgeAnswer:
    word = first_word_answer(text)
    if word is None:
        return JudgeAnswer(kept(text), p_yes, invalid=True)
    return JudgeAnswer(word, p_yes)

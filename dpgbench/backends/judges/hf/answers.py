"""What a Hugging Face judge is asked, and which of its tokens are its answer.

A prompt's wording decides answers: each has a version, and the version changes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.answer_reading import first_word_answer, first_word_settled, kept
from dpgbench.backends.protocols import JudgeAnswer
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


class AnswerTokens:
    """A tokenizer's side of an answer: which tokens mean yes, no and the end."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int], pad_id: int) -> None:
        self.tokenizer = tokenizer
        self.end_ids = list(end_ids)
        self.pad_id = pad_id
        self.yes_ids = word_ids(tokenizer, "yes")
        self.no_ids = word_ids(tokenizer, "no")

    def p_yes(self, logits: Tensor) -> Sequence[float | None]:
        """Return yes / (yes + no) for each row of first-token `logits` (rows, vocabulary).

        None where the vocabulary has no token for one of the two words.
        """
        if not self.yes_ids or not self.no_ids:
            return [None] * len(logits)
        yes = logits[:, self.yes_ids].float().logsumexp(-1)
        no = logits[:, self.no_ids].float().logsumexp(-1)
        return [float(value) for value in (yes - no).sigmoid()]

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

    def answers(self, generated: GeneratedTokens) -> list[JudgeAnswer]:
        """Return an answer for each row: its words, and the probability of its first token.

        Raises:
            DataError: the model's numbers overflowed.
        """
        if generated.overflowed:
            raise DataError(f"the judge's numbers overflow on this image; {OVERFLOW_REMEDY}")
        texts = self.texts(generated.token_ids)
        p_yes = self.p_yes(generated.first_logits)
        return [_answer(text, p) for text, p in zip(texts, p_yes, strict=True)]


def _answer(text: str, p_yes: float | None) -> JudgeAnswer:
    word = first_word_answer(text)
    if word is None:
        return JudgeAnswer(kept(text), p_yes, invalid=True)
    return JudgeAnswer(word, p_yes)

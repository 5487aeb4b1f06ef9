"""What making graphs is going to cost, before anything is asked: by the length of prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dpgbench.backends.llms.chat import (
    SCHEMA_REFUSED,
    ChatReply,
    ChatRequest,
    Ended,
    advanced,
    num_tokens,
)
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.jobs.make.conversation import MakeSettings, Talk

_WORDS_A_QUESTION = 5  # of 100 items of DPG-Bench
_TOKENS_OF_OBJECT, _TOKENS_OF_TUPLE, _TOKENS_OF_QUESTION = 65, 16, 12
_TOKENS_OF_PARENTS, _TOKENS_OF_ANSWER = 5, 6
_TOKENS_AROUND_CHECK = 110


@dataclass(frozen=True)
class MakeEstimate:
    """What is still to be asked.

    Attributes:
        prompts: all that are wanted.
        kept: those that kept replies answer wholly.
        requests: without repairs and retries.
        cost_usd: None where no price is given.
    """

    prompts: int
    kept: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {**self.__dict__}


@dataclass
class _Sum:
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens


def estimate(
    talks: Iterable[tuple[str, Talk]],
    look_up: Callable[[ChatRequest], ChatReply | None],
    settings: MakeSettings,
    options: LlmOptions,
    *,
    by_steps: bool,
) -> MakeEstimate:
    """Return what is still to be asked.

    Args:
        talks: prompts and their conversations, each led as far as kept replies go.
        look_up: gives the kept reply to a request.
        settings: of the conversations.
        options: prices.
        by_steps: the model cannot be held to a schema.
    """
    total, prompts, kept = _Sum(), 0, 0

    def reply_to(request: ChatRequest) -> ChatReply | None:
        return SCHEMA_REFUSED if by_steps and request.needs_schema else look_up(request)

    for prompt, talk in talks:
        prompts += 1
        step = advanced(talk, None, reply_to)
        if isinstance(step, Ended):
            kept += 1
        else:
            _add(total, step, prompt, settings)
            talk.close()
    cost = options.cost(total.prompt_tokens, total.completion_tokens)
    rounded = None if cost is None else round(cost, 4)
    return MakeEstimate(
        prompts, kept, total.requests, total.prompt_tokens, total.completion_tokens, rounded
    )


def _add(total: _Sum, step: ChatRequest, prompt: str, settings: MakeSettings) -> None:
    """Add what a conversation costs from its request `step` on."""
    words = len(prompt.split())
    number = max(1, min(settings.max_questions, round(words / _WORDS_A_QUESTION)))
    tuples, questions = number * _TOKENS_OF_TUPLE, number * _TOKENS_OF_QUESTION
    if step.purpose == "graph":
        total.add(step.num_tokens, number * _TOKENS_OF_OBJECT)
    else:
        steps = {"tuples": tuples, "questions": questions, "parents": number * _TOKENS_OF_PARENTS}
        open_steps = list(steps)[list(steps).index(step.purpose) :] if step.purpose in steps else []
        for name in open_steps:
            total.add(step.num_tokens + (tuples if name != step.purpose else 0), steps[name])
    if settings.text_check:
        around = _TOKENS_AROUND_CHECK + num_tokens(prompt)
        total.add(around + questions, number * _TOKENS_OF_ANSWER)

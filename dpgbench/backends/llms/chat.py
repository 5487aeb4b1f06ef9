"""What is asked of a language model and what it replies; a conversation that knows no model.

A conversation is a generator: it yields requests, is sent the reply to each, and returns its
result. Who runs it decides where replies come from: a server, a network in this process, or the
replies that an earlier command kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dpgbench.domain.spec import canonical_json

Value = TypeVar("Value")
Message = Mapping[str, str]
BYTES_A_TOKEN = 4
"""Of text in UTF-8, roughly; what is expected before anything is asked rests on it."""


@dataclass(frozen=True)
class ChatRequest:
    """What is said up to the point where the model speaks, and how it is to speak.

    Attributes:
        messages: with `role` and `content`.
        max_tokens: how long the reply may be.
        schema: the JSON schema of the reply, if it is to be JSON.
        needs_schema: where the model cannot be held to the schema, it is not asked at all.
        attempt: grows where a kept reply is not wanted again.
        purpose: what it is for, in a word, for records; decides nothing.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    needs_schema: bool = False
    attempt: int = 0
    purpose: str = ""

    def then(self, reply: str, message: str, *, max_tokens: int | None = None) -> ChatRequest:
        """Return the request that goes on after `reply` with another message of the user's."""
        spoken = {"role": "assistant", "content": reply.strip() or "(nothing)"}
        messages = (*self.messages, spoken, {"role": "user", "content": message})
        return replace(self, messages=messages, max_tokens=max_tokens or self.max_tokens)

    def key(self, identity: Mapping[str, Any]) -> str:
        """Return the SHA-256 of everything that decides the reply of a model.

        Args:
            identity: of the model.
        """
        value = [identity, self.messages, self.max_tokens, self.schema, self.attempt]
        return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def num_tokens(self) -> int:
        """How many tokens its messages have, roughly."""
        return sum(num_tokens(message["content"]) for message in self.messages)


@dataclass(frozen=True)
class ChatReply:
    """What a model says.

    Attributes:
        finish: why it stopped: ``stop``, ``length``, ``content_filter``, or a server's own word.
        prompt_tokens, completion_tokens: what it cost.
        are_counted: whether the server counted these tokens; else they are estimates.
        schema_refused: the model cannot be held to the schema; nothing was asked.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    are_counted: bool = True
    schema_refused: bool = False


SCHEMA_REFUSED = ChatReply("", schema_refused=True)
Conversation = Generator[ChatRequest, ChatReply, Value]


def num_tokens(text: str) -> int:
    """Return how many tokens a text has, roughly."""
    return len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN


class Job(NamedTuple, Generic[Value]):
    """A conversation about an item."""

    item_id: str
    conversation: Conversation[Value]


class TalkOutcome(NamedTuple, Generic[Value]):
    """How a conversation ended: with its value, or with the reason why there is none.

    Attributes:
        is_open: nothing was wrong with it; it was not its turn any more.
    """

    item_id: str
    value: Value | None
    error: str | None = None
    is_open: bool = False


class KeptReplies(Protocol):
    """Replies by key, as long as the work goes on and beyond it."""

    def get(self, key: str) -> ChatReply | None:
        """Return the reply that is kept under a key."""

    def keep(self, key: str, item_id: str, request: ChatRequest, reply: ChatReply) -> None:
        """Keep a reply before anything else happens with it."""

    def keep_cost(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Keep what a reply of no use has cost."""


class LanguageModel(Protocol):
    """A model that writes text."""

    name: str

    @property
    def takes_schemas(self) -> bool:
        """Whether replies can be held to a JSON schema, as far as it can be known."""

    def identity(self) -> Mapping[str, Any]:
        """Return what decides replies, as far as it can be known from here."""

    def describe(self) -> Mapping[str, Any]:
        """Return what stands in records: the identity, and where it was."""

    def account(self) -> Mapping[str, Any]:
        """Return what asking has cost in this command, beyond what replies say."""

    def converse(
        self, jobs: Iterator[Job[Value]], kept: KeptReplies
    ) -> Iterator[TalkOutcome[Value]]:
        """Yield how each conversation ends, as it ends; several go on at a time.

        Raises:
            DpgBenchError: what ends all work: the model cannot be reached, for one.
        """


def advanced(
    conversation: Conversation[Value],
    reply: ChatReply | None,
    look_up: Callable[[ChatRequest], Any],
) -> ChatRequest | Ended[Value]:
    """Return the next request of a conversation that no kept reply answers, or its end.

    Args:
        conversation: where it stands.
        reply: to its last request; None where it has not begun.
        look_up: gives the kept reply to a request, or None.
    """
    try:
        request = next(conversation) if reply is None else conversation.send(reply)
        while (kept := look_up(request)) is not None:
            request = conversation.send(kept)
    except StopIteration as stop:
        return Ended(stop.value)
    return request


class Ended(NamedTuple, Generic[Value]):
    """A conversation has ended with a value."""

    value: Value

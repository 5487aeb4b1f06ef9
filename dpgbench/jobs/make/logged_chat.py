"""The log that language models are asked through, so that nothing is paid twice; its account."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dpgbench.backends.llms.chat import SCHEMA_REFUSED, ChatReply, ChatRequest, LanguageModel
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.store.chat_log import ChatLine, ChatLog
from dpgbench.store.run.manifest import now

_SCHEMA_REFUSED = "schema_refused"


class LoggedReplies:
    """The log as a language model sees it (a `KeptReplies`)."""

    def __init__(self, chat_log: ChatLog) -> None:
        self._log = chat_log

    def get(self, key: str) -> ChatReply | None:
        """Return the reply that is kept under a key."""
        line = self._log.lines.get(key)
        if line is None:
            return None
        if line["finish"] == _SCHEMA_REFUSED:
            return SCHEMA_REFUSED
        tokens = line["prompt_tokens"], line["completion_tokens"]
        return ChatReply(line["text"], line["finish"], *tokens, line["are_counted"])

    def keep(self, key: str, item_id: str, request: ChatRequest, reply: ChatReply) -> None:
        """Keep a reply before anything else happens with it."""
        line: ChatLine = {
            "key": key,
            "item_id": item_id,
            "purpose": request.purpose,
            "text": reply.text,
            "finish": _SCHEMA_REFUSED if reply.schema_refused else reply.finish,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "are_counted": reply.are_counted,
            "date": now(),
        }
        self._log.append(line)

    def keep_cost(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Keep what a reply of no use has cost."""
        self._log.append_cost(prompt_tokens, completion_tokens, now())


def account(
    options: LlmOptions, chat_log: ChatLog, model: LanguageModel, expected: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what all commands for these files have cost, and what was expected of this one."""
    tokens = chat_log.total_tokens()
    return {
        "replies": sum(line["finish"] != _SCHEMA_REFUSED for line in chat_log.lines.values()),
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "tokens_of_useless_replies": sum(chat_log.useless_tokens),
        "replies_with_estimated_tokens": sum(
            not line["are_counted"] for line in chat_log.lines.values()
        ),
        "cost_usd": options.cost(*tokens),
        "expected": dict(expected),
        "last_command": dict(model.account()),
    }


def begin_attempts(chat_log: ChatLog, failures: Mapping[str, Any], items: Collection[str]) -> None:
    """Have those of `items` that failed asked anew, once, however often a command is killed."""
    for item_id, failure in failures.items():
        if item_id not in items:
            continue
        attempt = failure.get("attempt") if isinstance(failure, dict) else None
        if attempt == chat_log.attempts.get(item_id, 0):
            chat_log.begin_attempt(item_id, now())

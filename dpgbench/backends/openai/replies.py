"""What an HTTP reply means: words of the model, or which kind of trouble."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dpgbench.backends.openai.http import Client, Reply
from dpgbench.backends.openai.parsing import p_yes
from dpgbench.backends.openai.throttle import retry_after
from dpgbench.errors import SetupError

_TOO_MANY = 429
_NO_MONEY = 402
_PASSING = {408, 409, 425, _TOO_MANY}
_NO_MONEY_WORD = "insufficient_quota"  # others say "quota" and "billing" of a limit a minute
_CHECK_ADDRESS = "check --base-url, which mostly ends in /v1"
_WHAT_TO_DO = {
    401: "set OPENAI_API_KEY to a key that the server at this --base-url takes",
    _NO_MONEY: "the account of OPENAI_API_KEY has no money or quota left; "
    "mend that, then run the same command again",
    403: "OPENAI_API_KEY may not use model {model} at this --base-url",
    404: "check the model's name ({model}) and --base-url, which mostly ends in /v1",
    405: _CHECK_ADDRESS,
}


class Completion(NamedTuple):
    """What the model said, and how sure it was of yes (None where unknown)."""

    text: str
    p_yes: float | None


class PassingError(Exception):
    """May go well another time.

    Attributes:
        too_many: the server wants fewer requests; there is nothing wrong with this one.
        wait_seconds: what the server asks for, if it does.
    """

    def __init__(
        self, reason: str, *, too_many: bool = False, wait_seconds: float | None = None
    ) -> None:
        super().__init__(reason)
        self.too_many = too_many
        self.wait_seconds = wait_seconds


class RefusedError(Exception):
    """The server does not want a request like this one."""


def completion_of(reply: Reply, client: Client, model: str) -> dict[str, Any]:
    """Return the chat completion in a reply.

    Raises:
        PassingError: there is none this time.
        RefusedError: not for this request.
        SetupError: not for any request: the key, the model or the address is wrong.
    """
    if reply.status == 200:
        return _parsed(reply)
    status, reason = reply.status, client.reason(reply)
    said = f"the server answered {status}: {reason}"
    if status == _TOO_MANY and _NO_MONEY_WORD in client.text(reply):
        status = _NO_MONEY
    if status in _PASSING or status >= 500:
        wait_seconds = retry_after(reply.headers)
        raise PassingError(said, too_many=status == _TOO_MANY, wait_seconds=wait_seconds)
    what_to_do = _CHECK_ADDRESS if status < 400 else _WHAT_TO_DO.get(status)
    if what_to_do is None:
        raise RefusedError(said)
    quoted = "" if status == 401 else f" ({reason})"  # whose words tend to quote the key
    raise SetupError(
        f"{client.base_url} answered {reply.status}{quoted}: {what_to_do.format(model=model)}"
    )


def words_of(completion: dict[str, Any]) -> Completion:
    """Return what the model says in a completion; nothing where it is not text."""
    choice = completion["choices"][0]
    message, logprobs = choice.get("message"), choice.get("logprobs")
    said = message.get("content") or message.get("refusal") if isinstance(message, dict) else None
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return Completion(said if isinstance(said, str) else "", p_yes(tokens))


def _parsed(reply: Reply) -> dict[str, Any]:
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        value = None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise PassingError("the server's answer is not a chat completion")
    assert isinstance(value, dict)
    return value

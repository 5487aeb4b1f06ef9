"""What an HTTP reply means: words of the model, or which kind of trouble."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from dpgbench.backends.judges.answer_reading import without_thoughts
from dpgbench.backends.judges.openai.client import Client, Reply
from dpgbench.backends.judges.openai.parsing import p_yes
from dpgbench.backends.judges.openai.throttle import retry_after
from dpgbench.errors import SetupError
from dpgbench.store.files import parse_json

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
_OF_REQUEST_OR_ALL = {403, 404}  # a picture that moderation flags, or the key or model of all
_TEXT_PARTS = ("text", "output_text")


class Completion(NamedTuple):
    """What the model said, and how sure it was of yes (None where unknown).

    `silence` is why it has said nothing, where the server tells: ``content_filter``, or ``length``
    where its tokens were spent on thinking.
    """

    text: str
    p_yes: float | None
    silence: Literal["content_filter", "length"] | None = None


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


class KeyOrModelError(RefusedError):
    """Refused by a status that may be about this picture, or about the key or model of all.

    Attributes:
        told: what to do if it is about all.
    """

    def __init__(self, reason: str, told: str) -> None:
        super().__init__(reason)
        self.told = told


def completion_of(reply: Reply, client: Client, model: str) -> dict[str, Any]:
    """Return the chat completion in a reply.

    Raises:
        PassingError: there is none this time.
        RefusedError: not for this request.
        KeyOrModelError: not for this request, and perhaps not for any.
        SetupError: not for any request: the key, the account or the address is wrong.
    """
    if reply.status == 200:
        completion = _parsed(reply)
        error = _error_in(completion)
        if error is None:
            return completion
        status, reason = _status_of(error), client.reason_of(error)
    else:
        status, reason = reply.status, client.reason(reply)
    shown = status
    said = f"the server answered {shown}: {reason}"
    if status == _TOO_MANY and _NO_MONEY_WORD in client.text(reply):
        status = _NO_MONEY
    if status in _PASSING or status >= 500:
        wait_seconds = retry_after(reply.headers)
        raise PassingError(said, too_many=status == _TOO_MANY, wait_seconds=wait_seconds)
    what_to_do = _CHECK_ADDRESS if status < 400 else _WHAT_TO_DO.get(status)
    if what_to_do is None:
        raise RefusedError(said)
    quoted = "" if status == 401 else f" ({reason})"  # whose words tend to quote the key
    told = f"{client.base_url} answered {shown}{quoted}: {what_to_do.format(model=model)}"
    if status in _OF_REQUEST_OR_ALL:
        raise KeyOrModelError(said, told)
    raise SetupError(told)


def words_of(completion: dict[str, Any]) -> Completion:
    """Return what the model says in a completion; ``reasoning_content`` is never a part of it."""
    choice = completion["choices"][0]
    message, logprobs = choice.get("message"), choice.get("logprobs")
    said = _text(message.get("content")) if isinstance(message, dict) else ""
    if isinstance(message, dict) and not said.strip():
        said = _text(message.get("refusal"))
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    silence: Literal["content_filter", "length"] | None = None
    if choice.get("finish_reason") == "content_filter":
        silence = "content_filter"
    elif choice.get("finish_reason") == "length" and not without_thoughts(said).strip():
        silence = "length"
    return Completion(said, p_yes(tokens), silence)


def _text(content: Any) -> str:
    """Return a message's text: its parts of text joined, those that are thoughts left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, dict) else {"text": part} for part in content]
    texts = [part.get("text") for part in parts if part.get("type", "text") in _TEXT_PARTS]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    return "".join(text for text in texts + refusals if isinstance(text, str))


def _parsed(reply: Reply) -> dict[str, Any]:
    try:
        value = parse_json(reply.body)
    except ValueError:
        value = None
    choices = value.get("choices") if isinstance(value, dict) else None
    if isinstance(value, dict) and value.get("error"):
        return value
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise PassingError("the server's answer is not a chat completion")
    assert isinstance(value, dict)
    return value


def _error_in(completion: dict[str, Any]) -> Any:
    """Return the error that a server or a router sends with status 200, at the top or inside."""
    if completion.get("error"):
        return completion["error"]
    choice = completion["choices"][0]
    if choice.get("error"):
        return choice["error"]
    return "finish_reason error" if choice.get("finish_reason") == "error" else None


def _status_of(error: Any) -> int:
    """Return the HTTP status that an error within a reply names; 500 where it names none."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    text = str(code)
    return int(text) if text.isdecimal() and 400 <= int(text[:4]) < 600 else 500

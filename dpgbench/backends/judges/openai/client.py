"""One model at a chat-completions server: what a request's reply means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import httpx2

from dpgbench.backends.judges.openai.parameters import ServerParameters
from dpgbench.backends.judges.openai.parsing import p_yes
from dpgbench.backends.judges.openai.usage import Usage, counted_tokens
from dpgbench.backends.openai_server import OpenAiServer, json_object, status_of
from dpgbench.backends.rate_limit import RetryPolicy
from dpgbench.backends.secrets import hide_key

PATH = "chat/completions"
_TEXT_PARTS = ("text", "output_text")


class Completion(NamedTuple):
    """What the model says, how sure it is of yes (None: unknown), and why it stopped.

    The tokens are those that the server counted; None where it counted none. `logprobs` is what it
    tells of each token that the model said, whatever that is; None where it tells nothing.
    """

    text: str
    p_yes: float | None
    finish: object = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: Any = None


class Request(Protocol):
    """What a model is asked with."""

    def body(self, model: str, used: ServerParameters) -> bytes:
        """Return the request as JSON, with the parameters that the server takes."""


class Client(OpenAiServer):
    """A model at a server; used within one event loop.

    Args:
        base_url: as `check_base_url` returns it.
        key: sent as a bearer token; None where the server wants none.
        policy: how long to wait, and for how much.
        usage: counts what replies cost, also those that are errors.

    Raises:
        SetupError: the environment's proxies or certificates cannot be used.
    """

    def __init__(
        self, base_url: str, key: str | None, model: str, policy: RetryPolicy, usage: Usage
    ) -> None:
        super().__init__(base_url, key, model, policy, path=PATH)
        self.usage = usage

    async def complete(self, request: Request, used: ServerParameters) -> Completion:
        """Return what the model says to a request, sent once.

        Raises:
            PassingError: nothing this time.
            RefusedError: nothing to this request.
            SetupError: nothing to any request: the key, the account or the address is wrong.
        """
        response, content = await self.post(request.body(self._model, used))
        body = json_object(content)
        self.usage.replied(body.get("usage"), hide_key(str(body.get("model") or ""), self._key))
        try:
            return self._read(response, content, body)
        except Exception:
            self.usage.useless(body.get("usage"))
            raise

    def _read(
        self, response: httpx2.Response, content: bytes, body: Mapping[str, Any]
    ) -> Completion:
        """Return the completion that a reply holds; raise what `complete` raises."""
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        choice = choice if isinstance(choice, dict) else {}
        status, error = response.status_code, body.get("error")
        if status == httpx2.codes.OK:  # which routers also send with an error in it
            broken = choice.get("finish_reason") == "error" and "finish_reason error"
            error = error or choice.get("error") or broken
            if not error and not choice:
                raise self.foreign(content, body, "choices")
            if not error:
                self.served = True
                prompt, completion = counted_tokens(body.get("usage"))
                return _completion(choice)._replace(
                    prompt_tokens=prompt, completion_tokens=completion
                )
            status = status_of(error)
        text = content.decode(errors="replace")
        raise self.trouble(status, error or body or text, text, response)


def _completion(choice: Mapping[str, Any]) -> Completion:
    """Return what the model says in a choice; ``reasoning_content`` is never a part of it."""
    message, logprobs = choice.get("message"), choice.get("logprobs")
    message = message if isinstance(message, dict) else {}
    text = _text(message.get("content"))
    text = text if text.strip() else _text(message.get("refusal"))
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return Completion(text, p_yes(tokens), choice.get("finish_reason"), logprobs=tokens)


def _text(content: Any) -> str:
    """Return a message's text: its parts of text joined, those that are thoughts left out."""
    listed = content if isinstance(content, list) else [content] * isinstance(content, str)
    parts = [part if isinstance(part, dict) else {"text": part} for part in listed]
    texts = [part.get("text") for part in parts if part.get("type", "text") in _TEXT_PARTS]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    return "".join(text for text in texts + refusals if isinstance(text, str))

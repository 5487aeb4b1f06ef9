"""One model at a chat-completions server: how a request gets there, and what its reply means.

httpx2 does the HTTP: kept connections, the environment's proxies and certificates. Redirects are
not followed, so the key goes to one host only, and it is taken out of all that the server says.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from dpgbench.backends.failures import PassingError, RefusedError
from dpgbench.backends.judges.openai.parameters import ServerParameters
from dpgbench.backends.judges.openai.parsing import p_yes
from dpgbench.backends.judges.openai.prompts import Conversation
from dpgbench.backends.judges.openai.usage import Usage
from dpgbench.backends.rate_limit import RetryPolicy, retry_after
from dpgbench.backends.secrets import hide_key
from dpgbench.errors import SetupError, UsageError
from dpgbench.store.files import parse_json

_NO_MONEY, _TOO_MANY = 402, 429
_PASSING = {408, 409, 425, _TOO_MANY}
_NO_MONEY_WORD = "insufficient_quota"  # others say "quota" and "billing" of a limit a minute
_CHECK_ADDRESS = "check --base-url, which mostly ends in /v1"
_ADVICE = {
    401: "set OPENAI_API_KEY to a key that the server at this --base-url takes",
    _NO_MONEY: "the account of OPENAI_API_KEY has no money or quota left; "
    "mend that, then run the same command again",
    403: "OPENAI_API_KEY may not use model {model} at this --base-url",
    404: "check the model's name ({model}) and --base-url, which mostly ends in /v1",
    405: _CHECK_ADDRESS,
}
_OF_REQUEST_OR_ALL = {403, 404}  # a picture that moderation flags, or the key or model of all
_TEXT_PARTS = ("text", "output_text")
_LONGEST_REASON = 300


class Completion(NamedTuple):
    """What the model says, how sure it is of yes (None: unknown), and why it stopped."""

    text: str
    p_yes: float | None
    finish: object = None


class Client:
    """A model at a server; used within one event loop.

    Args:
        base_url: as `check_base_url` returns it.
        key: sent as a bearer token; None where the server wants none.
        policy: how long to wait, and for how much.
        usage: counts what replies cost, also those that are errors.

    Attributes:
        reached: the server has begun to reply, whatever it was.

    Raises:
        SetupError: the environment's proxies or certificates cannot be used.
    """

    def __init__(
        self, base_url: str, key: str | None, model: str, policy: RetryPolicy, usage: Usage
    ) -> None:
        self.base_url, self.policy, self.usage, self.reached = base_url, policy, usage, False
        self._key, self._model, self._url = key, model, httpx2.URL(f"{base_url}/chat/completions")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        timeout = httpx2.Timeout(policy.timeout_seconds, connect=policy.connect_seconds, pool=None)
        try:
            self._http = httpx2.AsyncClient(
                headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                timeout=timeout,
                verify=self._url.scheme == "https",  # loading authorities for nothing takes 25 ms
                limits=httpx2.Limits(),  # whoever calls decides how many are in flight
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
            raise SetupError(
                "a proxy or the certificates that the environment names cannot be used "
                f"({type(error).__name__}); check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and "
                "SSL_CERT_FILE. A SOCKS proxy needs: pip install 'httpx2[socks]'"
            ) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def complete(self, conversation: Conversation, used: ServerParameters) -> Completion:
        """Return what the model says in a conversation, asked once.

        Raises:
            PassingError: nothing this time.
            RefusedError: nothing to this request.
            SetupError: nothing to any request: the key, the account or the address is wrong.
        """
        response, content = await self._post(conversation.body(self._model, used))
        body = _json_object(content)
        self.usage.replied(body.get("usage"), hide_key(str(body.get("model") or ""), self._key))
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        choice = choice if isinstance(choice, dict) else {}
        status, error = response.status_code, body.get("error")
        if status == httpx2.codes.OK:  # which routers also send with an error in it
            broken = choice.get("finish_reason") == "error" and "finish_reason error"
            error = error or choice.get("error") or broken
            if not error and not choice:
                raise PassingError("the server's answer is not a chat completion")
            if not error:
                return _completion(choice)
            status = _status_of(error)
        text = content.decode(errors="replace")
        raise self._trouble(status, error or body or text, text, response)

    async def _post(self, request: bytes) -> tuple[httpx2.Response, bytes]:
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self.policy.reply_seconds),
                self._http.stream("POST", self._url, content=request) as response,
            ):
                self.reached = True
                async for part in response.aiter_raw():
                    content += part
                    if len(content) > self.policy.largest_reply:
                        raise PassingError(f"no answer: more than {len(content) - 1} bytes")
        except (httpx2.HTTPError, OSError, UnicodeError) as error:
            cause: BaseException = error
            while deeper := cause.__cause__ or cause.__context__:
                cause = deeper
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise SetupError(
                    f"the certificate of {self._url.netloc.decode()} is not trusted: "
                    f"{cause.verify_message}; check --base-url, or name your own authority's file "
                    "in SSL_CERT_FILE"
                ) from None
            reason = hide_key(str(cause) or type(error).__name__, self._key)
            raise PassingError(f"no answer: {reason}") from None
        return response, bytes(content)

    def _trouble(self, status: int, error: Any, text: str, response: httpx2.Response) -> Exception:
        """Return what a reply with an `error` in its `text` means."""
        message = error.get("message") or error if isinstance(error, dict) else error
        reason = hide_key(str(message), self._key)[:_LONGEST_REASON] or "(no words)"
        words = f"the server answered {status}: {reason}"
        advice = _CHECK_ADDRESS if status < 400 else _ADVICE.get(status, "")
        if status == _TOO_MANY and _NO_MONEY_WORD in text:
            advice = _ADVICE[_NO_MONEY]
        elif status in _PASSING or status >= 500:
            wait_seconds = retry_after(response.headers)
            return PassingError(words, too_many=status == _TOO_MANY, wait_seconds=wait_seconds)
        quoted = "" if status == 401 else f" ({reason})"  # whose words tend to quote the key
        advised = f"{self.base_url} answered {status}{quoted}: {advice.format(model=self._model)}"
        if advice and status not in _OF_REQUEST_OR_ALL:
            return SetupError(advised)
        return RefusedError(words, advice and advised)


def check_base_url(url: str) -> str:
    """Return the address below which ``/chat/completions`` is; a UsageError where it is none."""
    address = url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parts = urlsplit(address)
        host = httpx2.URL(address).host
        valid = parts.scheme in ("http", "https") and host and parts.port != 0
    except (ValueError, httpx2.InvalidURL):
        valid = False
    if not valid or not re.fullmatch(r"[!-~]+", address):
        raise UsageError("--base-url is not an address such as http://localhost:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "--base-url holds a user, a password or a query, and it is written into the run; "
            "give the bare address and put the key into OPENAI_API_KEY"
        )
    return address


def _json_object(content: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        value = parse_json(content)
        return value if isinstance(value, dict) else {}
    return {}


def _completion(choice: Mapping[str, Any]) -> Completion:
    """Return what the model says in a choice; ``reasoning_content`` is never a part of it."""
    message, logprobs = choice.get("message"), choice.get("logprobs")
    message = message if isinstance(message, dict) else {}
    text = _text(message.get("content"))
    text = text if text.strip() else _text(message.get("refusal"))
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return Completion(text, p_yes(tokens), choice.get("finish_reason"))


def _text(content: Any) -> str:
    """Return a message's text: its parts of text joined, those that are thoughts left out."""
    listed = content if isinstance(content, list) else [content] * isinstance(content, str)
    parts = [part if isinstance(part, dict) else {"text": part} for part in listed]
    texts = [part.get("text") for part in parts if part.get("type", "text") in _TEXT_PARTS]
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    return "".join(text for text in texts + refusals if isinstance(text, str))


def _status_of(error: Any) -> int:
    """Return the HTTP status that an error within a reply names; 500 where it names none."""
    code = str(error.get("code", error.get("status"))) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 500

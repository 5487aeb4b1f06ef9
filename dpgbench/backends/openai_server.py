"""An OpenAI-compatible server: how a request gets there, what its troubles mean, when to try again.

httpx2 does the HTTP: kept connections, the environment's proxies and certificates. Redirects are
not followed, so the key goes to one host only, and it is taken out of all that the server says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dpgbench.backends.failures import (
    ForeignReplyError,
    PassingError,
    RefusedError,
    RequestFailedError,
)
from dpgbench.backends.rate_limit import RateLimit, RetryPolicy, retry_after
from dpgbench.backends.secrets import hide_key
from dpgbench.errors import IncompleteError, SetupError, UsageError
from dpgbench.store.files import parse_json

PUBLIC_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
TIMEOUT_VARIABLE = "DPGBENCH_OPENAI_TIMEOUT"
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
_LONGEST_REASON = 300
_PAGE = re.compile(rb"\s*<[!a-zA-Z?]")
_MOST_FOREIGN_REPLIES = 2  # to one request: the first may have been the page of a restart


class OpenAiServer:
    """One path of a server that serves a model; used within one event loop.

    Args:
        base_url: as `check_base_url` returns it.
        key: sent as a bearer token; None where the server wants none.
        policy: how long to wait, and for how much.
        path: below `base_url`, such as ``chat/completions``.

    Attributes:
        reached: the server has begun to reply, whatever it was.
        served: it has given what was asked for, once at least.

    Raises:
        SetupError: the environment's proxies or certificates cannot be used.
    """

    def __init__(
        self, base_url: str, key: str | None, model: str, policy: RetryPolicy, *, path: str
    ) -> None:
        self.base_url, self.policy, self.reached, self.served = base_url, policy, False, False
        self._key, self._model, self._url = key, model, httpx2.URL(f"{base_url}/{path}")
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

    async def post(self, request: bytes) -> tuple[httpx2.Response, bytes]:
        """Return the response to a request, sent once, and its body.

        Raises:
            PassingError: none this time.
            SetupError: none to any request.
        """
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

    def foreign(self, content: bytes, body: Mapping[str, Any], expected: str) -> PassingError:
        """Return what a reply of a good status means that is not what was asked for.

        Args:
            content: of the reply.
            body: the JSON object that it is; empty where it is none.
            expected: the key that every good reply has.
        """
        if _PAGE.match(content):
            return ForeignReplyError("HTML, a page for people, instead of JSON")
        if body and expected not in body:
            return ForeignReplyError(f"JSON without {expected!r}")
        return PassingError(f"the server's answer holds no {expected}")

    def trouble(self, status: int, error: Any, text: str, response: httpx2.Response) -> Exception:
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


def check_base_url(url: str, path: str) -> str:
    """Return the address below which `path` is; a UsageError where it is none."""
    address = url.strip().rstrip("/").removesuffix(f"/{path}")
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


def json_object(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body is; empty where it is none."""
    with contextlib.suppress(ValueError):
        value = parse_json(content)
        return value if isinstance(value, dict) else {}
    return {}


def status_of(error: Any) -> int:
    """Return the HTTP status that an error within a reply names; 500 where it names none."""
    code = str(error.get("code", error.get("status"))) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 500


class Patience:
    """How a server is tried again; used within one event loop."""

    def __init__(
        self,
        server: OpenAiServer,
        limit: RateLimit,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server, self._limit, self._sleep = server, limit, sleep

    async def wait(
        self, error: PassingError, failures: int, refusals: int, foreign: int = 0
    ) -> None:
        """Wait as long as `error` calls for, or raise where trying has an end.

        Args:
            error: the latest.
            failures, refusals: of this request; the latter are those for sending too much.
            foreign: failures that were replies of something else than such a service.
        """
        policy = self._server.policy
        if foreign >= _MOST_FOREIGN_REPLIES and not self._server.served:
            raise SetupError(
                f"{self._server.base_url} answers with {error}: no OpenAI-compatible server is "
                f"there; {_CHECK_ADDRESS}, and whether a login or a proxy stands before the server"
            )
        if failures >= policy.tries and self._server.reached:
            raise RequestFailedError(f"{error} ({failures} tries)")
        if failures >= policy.tries:
            raise SetupError(
                f"{self._server.base_url} cannot be reached ({error}); "
                "start the server, or check --base-url"
            )
        seconds = max(policy.pause(max(failures, refusals)), error.wait_seconds or 0.0)
        if error.wait_seconds is None and not error.too_many:
            await self._sleep(seconds)
            return
        if seconds > policy.asked_seconds:
            raise IncompleteError(
                f"{error}; it asks for a pause of {seconds:.0f} s. What was answered is kept: "
                "run the same command again after that"
            )
        refusing = self._limit.pause(seconds, str(error))
        if refusing > policy.refusing_seconds:
            raise RequestFailedError(f"{error} (for {refusing:.0f} s, to every request)")


def with_timeout(policy: RetryPolicy) -> RetryPolicy:
    """Return `policy` with the timeout that the environment names, if it does."""
    text = os.environ.get(TIMEOUT_VARIABLE)
    try:
        seconds = float(text) if text else policy.timeout_seconds
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"{TIMEOUT_VARIABLE}={text}: give seconds, such as 600")
    return replace(policy, timeout_seconds=seconds)


def server_key(base_url: str) -> str | None:
    """Return the key of the environment; None where there is none and none is needed."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and base_url == PUBLIC_URL:
        raise SetupError(
            f"{base_url} wants a key: set {KEY_VARIABLE}, or give your own server's --base-url"
        )
    if key and not re.fullmatch(r"[!-~]+", key):
        raise SetupError(f"{KEY_VARIABLE} holds a character that no key has; set it again")
    return key or None

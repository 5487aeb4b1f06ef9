"""One HTTP server: requests on kept connections, closed at once when it is over.

Small on purpose, with the standard library alone: whoever calls decides how many requests are in
flight and what is tried again. Redirects are not followed, so the key goes to one host only, and
the key is taken out of every text that comes from the server.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import selectors
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from dpgbench.backends.judges.answer_reading import writable
from dpgbench.errors import SetupError, UsageError
from dpgbench.store.files import parse_json

_CONNECT_SECONDS = 10.0
_LARGEST_REPLY = 1 << 24
_LONGEST_REASON = 300
_MASKED = re.compile(r"\S*\*{3,}\S*")  # as OpenAI shows a refused key: its ends are still there
_SHORTENED = re.compile(r"([\w-]*?)(?:\*+|\.{2,}|…|•+|#+|[xX]{3,})([\w-]*)")
_SECRET = 16  # characters from which on a key is no word such as "EMPTY" that servers take
_PART = 6  # characters in a row of a secret key that are not shown
_END = 4  # of its last ones, where they stand alone


class HungUpError(Exception):
    """No reply, or not all of one: refused, cut off, too late."""


class Reply(NamedTuple):
    """What the server said; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_base_url(url: str) -> str:
    """Return the address below which ``/chat/completions`` is.

    Raises:
        UsageError: it is no http(s) address, or holds what could be a secret.
    """
    address = url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"[!-~]+", address):
        raise UsageError("--base-url is not an address such as http://localhost:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "--base-url holds a user, a password or a query, and it is written into the run; "
            "give the bare address and put the key into OPENAI_API_KEY"
        )
    return address


class Client:
    """A server at an address; may be used by many threads at a time.

    Args:
        base_url: as `check_base_url` returns it.
        key: sent as a bearer token; None where the server wants none.
        timeout_seconds: how long the server may be silent.
    """

    def __init__(self, base_url: str, key: str | None, *, timeout_seconds: float) -> None:
        self.base_url = base_url
        self._url = urlsplit(base_url + "/chat/completions")
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = threading.Event()
        self._route = _Route(self._url)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "dpgbench",
            **({"Authorization": f"Bearer {key}"} if key else {}),
            **self._route.headers,
        }

    def post(self, body: bytes) -> Reply:
        """Return the server's reply to a JSON `body`, whatever its status.

        Raises:
            HungUpError: there was none, or it was cut off.
            SetupError: the server's certificate is not valid.
        """
        try:
            with self._borrowed() as connection:
                return self._exchange(connection, body)
        except ssl.SSLCertVerificationError as error:
            raise SetupError(
                f"the certificate of {self._url.netloc} is not trusted: {error.verify_message}; "
                "check --base-url, or name your own authority's file in SSL_CERT_FILE"
            ) from None
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise HungUpError(self.scrub(str(error) or type(error).__name__)) from None

    def close(self) -> None:
        """Cut off every request in flight and refuse new ones."""
        with self._lock:
            self._closed.set()
            for connection in self._idle:
                connection.close()
            for sock in [connection.sock for connection in self._busy]:
                with contextlib.suppress(OSError):
                    if sock is not None:
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes its reader

    def reason(self, reply: Reply) -> str:
        """Return what an error reply says, in one short line without the key."""
        text: Any = self.text(reply)
        with contextlib.suppress(ValueError):
            text = parse_json(text.encode())
        return self.reason_of(text.get("error", text) if isinstance(text, dict) else text)

    def reason_of(self, error: Any) -> str:
        """Return what an error object says, in one short line without the key."""
        said = error.get("message") or error if isinstance(error, dict) else error
        return self.scrub(str(said))[:_LONGEST_REASON] or "(no words)"

    def text(self, reply: Reply) -> str:
        """Return a reply's body as it is: not for people's eyes."""
        return reply.body.decode(errors="replace")

    def scrub(self, text: str) -> str:
        """Return `text` as one line in which the key, whole, in part or masked, is not to be seen.

        Half of a surrogate pair, which no file could hold, becomes a question mark.
        """
        shown = _without_key(writable(text), self._key) if self._key else writable(text)
        return " ".join(_MASKED.sub("[key]", shown).split())

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[http.client.HTTPConnection]:
        with self._lock:
            if self._closed.is_set():
                raise ConnectionAbortedError("closed")
            connection = self._idle.pop() if self._idle else self._route.connection()
            self._busy.add(connection)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        finally:
            with self._lock:
                self._busy.discard(connection)
                if self._closed.is_set():
                    connection.close()
                else:
                    self._idle.append(connection)  # a closed one connects again when used

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> Reply:
        if connection.sock is not None and _has_news(connection.sock):
            connection.close()  # the server has closed it meanwhile
        if connection.sock is None:
            connection.timeout = _CONNECT_SECONDS
            connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(self._timeout_seconds)
        # a server may refuse, and hang up, before it has read everything
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", self._route.target, body, self._headers)
        response = connection.getresponse()
        content = response.read(_LARGEST_REPLY)
        if response.length or (response.chunked and not response.isclosed()):
            raise http.client.IncompleteRead(content, response.length)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, headers, content)


class _Route:
    """How to reach an address: straight, or by the proxy that the environment names."""

    def __init__(self, url: SplitResult) -> None:
        self._host, self._port = url.hostname or "", url.port
        self._secure = url.scheme == "https"
        proxy = None if proxy_bypass(self._host) else getproxies().get(url.scheme)
        self._proxy = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else None
        login = _login(self._proxy) if self._proxy else {}
        self._tunnel_headers = login if self._secure else {}
        self.headers = {} if self._secure else login
        self.target = url.geturl() if self._proxy and not self._secure else url.path

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        if self._proxy is None:
            return kind(self._host, self._port)
        connection = kind(self._proxy.hostname or "", self._proxy.port)
        if self._secure:
            connection.set_tunnel(self._host, self._port, self._tunnel_headers)
        return connection


def _without_key(text: str, key: str) -> str:
    """Return `text` without `key`, and without the parts of it that servers echo."""
    text = text.replace(key, "[key]")
    if len(key) < _SECRET:
        return text

    def masked(match: re.Match[str]) -> str:
        head, tail = match.groups()
        ends = (len(head) > 1 and key.startswith(head)) or (len(tail) > 1 and key.endswith(tail))
        return "[key]" if ends else match[0]

    text = _SHORTENED.sub(masked, text)
    parts = {key[start : start + _PART] for start in range(len(key) - _PART + 1)}
    hidden = [False] * len(text)
    for start in range(len(text) - _PART + 1):
        if text[start : start + _PART] in parts:
            hidden[start : start + _PART] = [True] * _PART
    shown = "".join("\0" if hide else c for c, hide in zip(text, hidden, strict=True))
    end = rf"(?<![\w-])[\w-]{{0,2}}{re.escape(key[-_END:])}(?![\w-])"
    return re.sub(rf"\0+|{end}", "[key]", shown)


def _login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + b64encode(pair.encode()).decode()}


def _has_news(sock: socket.socket) -> bool:
    """Return whether an idle connection is readable, which means that it has ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))

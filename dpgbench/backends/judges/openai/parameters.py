"""Which optional parameters an OpenAI-compatible server takes, found out from its refusals.

Servers differ: one refuses `response_format` or some of its types, another `logprobs`, newer
models of OpenAI `temperature` and `max_tokens`. The first refusals teach; from the first success
on nothing changes any more, so that all answers of a command were asked for alike.
"""

from __future__ import annotations

import threading
from typing import Any, Literal, NamedTuple


class Dialect(NamedTuple):
    """The optional parameters of a request.

    Attributes:
        limit: the parameter's name that bounds the reply's length.
    """

    response_format: Literal["json_schema", "json_object"] | None = "json_schema"
    logprobs: bool = True
    temperature: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"

    def record(self) -> dict[str, Any]:
        """Return the parameters as plain data for the manifest."""
        return self._asdict()

    def without_what(self, text: str) -> Dialect | None:
        """Return the next simpler dialect if `text` names a parameter of this one, else None."""
        text = text.lower()
        if self.response_format and any(name in text for name in _FORMAT_WORDS):
            schema = self.response_format == "json_schema"
            return self._replace(response_format="json_object" if schema else None)
        if self.logprobs and "logprobs" in text:
            return self._replace(logprobs=False)
        if self.limit and self.limit in text:
            old = self.limit == "max_tokens"
            return self._replace(limit="max_completion_tokens" if old else None)
        if self.temperature and "temperature" in text:
            return self._replace(temperature=False)
        return None

    def bare(self) -> Dialect:
        """Return the dialect that any server should understand."""
        return self._replace(response_format=None, logprobs=False)


_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "structured output", "guided")


class Dialects:
    """The dialect in use, shared by all requests."""

    def __init__(self) -> None:
        self.current = Dialect()
        self._proven = False
        self._lock = threading.Lock()

    def worked(self, used: Dialect) -> None:
        """Note that the server took a request; the first time settles the dialect."""
        with self._lock:
            if not self._proven:
                self._proven, self.current = True, used

    def after_refusal(self, used: Dialect, text: str, *, only_named: bool) -> Dialect | None:
        """Return what to try instead of `used`, or None where parameters are not the trouble.

        Args:
            text: what the server said.
            only_named: change nothing unless the text names a parameter.
        """
        with self._lock:
            simpler = used.without_what(text)
            if simpler is None and only_named:
                return None
            if self._proven:  # another request has found out meanwhile, or it is not that
                return self.current if used != self.current else None
            if simpler is None:
                bare = used.bare()  # a trial for this request; it settles the dialect if it works
                return bare if used != bare else None
            self.current = simpler
            return simpler

"""Which optional parameters an OpenAI-compatible server takes, found out from its refusals.

Servers differ: one refuses `response_format` or some of its types, another `logprobs`, newer
models of OpenAI `temperature` and `max_tokens`. The first refusals teach; from the first success
on nothing changes any more, so that all answers of a command were asked for alike.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "structured output", "guided")


class ServerParameters(NamedTuple):
    """The optional parameters of a request; `limit` is the name of the one for its length."""

    response_format: Literal["json_schema", "json_object"] | None = "json_schema"
    logprobs: bool = True
    temperature: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"

    def to_json(self) -> dict[str, Any]:
        """Return the parameters as plain data for the manifest."""
        return self._asdict()

    def without_named(self, text: str) -> ServerParameters | None:
        """Return the next simpler parameters if `text` names one of these, else None."""
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


class Negotiation:
    """The parameters in use, shared by all requests."""

    def __init__(self) -> None:
        self.current = ServerParameters()
        self._settled = False

    def accepted(self, used: ServerParameters) -> None:
        """Note that the server took a request; the first time settles the parameters."""
        self.current = self.current if self._settled else used
        self._settled = True

    def instead_of(
        self, used: ServerParameters, refusal: str, *, only_named: bool = False
    ) -> ServerParameters | None:
        """Return what to try after a `refusal` of `used`; None where these are not the trouble.

        Where `only_named`, nothing changes unless the refusal names one of them.
        """
        simpler = used.without_named(refusal)
        if simpler is None and only_named:
            return None
        if self._settled:  # another request has found out meanwhile, or it is not that
            return self.current if used != self.current else None
        if simpler is None:  # a trial for this request; it settles them if it works
            bare = used._replace(response_format=None, logprobs=False)
            return bare if used != bare else None
        self.current = simpler
        return simpler

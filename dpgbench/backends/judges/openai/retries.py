"""A conversation partner that does not give up easily: prompts in, words out.

Tries again what may pass, with growing pauses that all requests share where the server asks for
them; tells apart what concerns one request (`RequestFailedError`) and what ends all work.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dpgbench.backends.judges.openai.client import Client, HungUpError
from dpgbench.backends.judges.openai.parameters import Dialect, Dialects
from dpgbench.backends.judges.openai.prompts import Prompt
from dpgbench.backends.judges.openai.replies import (
    Completion,
    KeyOrModelError,
    PassingError,
    RefusedError,
    completion_of,
    words_of,
)
from dpgbench.backends.judges.openai.throttle import Throttle
from dpgbench.backends.judges.openai.usage import Account
from dpgbench.errors import IncompleteError, SetupError

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        tries: of one request that fails by hang-ups, timeouts, errors of the server.
        first_seconds: pause after the first failure; doubles with each further one.
        longest_seconds: of such a pause.
        refusing_seconds: how long a server may answer nothing but 429 before a request fails.
        asked_seconds: the longest pause that is granted to a server that asks for one.
        timeout_seconds: of silence, before a request counts as failed.
    """

    tries: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    refusing_seconds: float = 900.0
    asked_seconds: float = 600.0
    timeout_seconds: float = 180.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures, never the same for two requests."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)


class RequestFailedError(Exception):
    """This request has no answer; others may have. The message says why, without any key."""


class RefusedRequestError(RequestFailedError):
    """The server is well, and does not answer this request; it would not another time either.

    Attributes:
        told: what to do if it answers no other request either: the key or the model is wrong.
    """

    def __init__(self, reason: str, told: str | None = None) -> None:
        super().__init__(reason)
        self.told = told


@dataclass
class _Tries:
    """What became of one prompt's requests so far."""

    failures: int = 0
    too_many: int = 0


class Session:
    """A model at a server; may be used by many threads at a time."""

    def __init__(
        self, client: Client, model: str, account: Account, throttle: Throttle, patience: Patience
    ) -> None:
        self.dialects = Dialects()
        self._client = client
        self._model = model
        self._account = account
        self._throttle = throttle
        self._patience = patience
        self._reached = False

    def complete(self, prompt: Prompt) -> Completion:
        """Return what the model says to `prompt`.

        Raises:
            RequestFailedError: it says nothing, and others may have better luck.
            CapReachedError: no further request may be sent.
            StoppedError: the work was called off.
            SetupError: no request can succeed: the key, the account or the address is wrong.
            IncompleteError: the server wants a pause that is too long to sit through.
        """
        dialect, tries, again = self.dialects.current, _Tries(), False
        while True:
            try:
                return self._once(prompt, dialect, again=again)
            except KeyOrModelError as error:
                raise RefusedRequestError(str(error), error.told) from None
            except RefusedError as error:
                simpler = self.dialects.after_refusal(dialect, str(error), only_named=False)
                if simpler is None:
                    raise RefusedRequestError(str(error)) from None
            except PassingError as error:
                # some servers answer 500 to a parameter that they do not know
                simpler = self.dialects.after_refusal(dialect, str(error), only_named=True)
                if simpler is None:
                    self._wait(error, tries)
            dialect, again = simpler or dialect, True

    def _once(self, prompt: Prompt, dialect: Dialect, *, again: bool) -> Completion:
        body = prompt.body(self._model, dialect)
        with self._throttle.turn():
            self._account.send(again=again)
            try:
                reply = self._client.post(body)
            except HungUpError as error:
                raise PassingError(f"no answer: {error}") from None
        self._reached = True
        completion = completion_of(reply, self._client, self._model)
        served = self._client.scrub(str(completion.get("model") or ""))[:_LONGEST_NAME]
        self._account.served(completion.get("usage"), served)
        self._throttle.success()
        self.dialects.worked(dialect)
        return words_of(completion)

    def _wait(self, error: PassingError, tries: _Tries) -> None:
        """Wait as long as `error` calls for, or raise where trying has an end."""
        if error.too_many:
            tries.too_many += 1
        else:
            tries.failures += 1
        if tries.failures >= self._patience.tries:
            raise self._given_up(error)
        seconds = self._patience.pause(max(tries.failures, tries.too_many))
        if error.wait_seconds is None and not error.too_many:
            self._throttle.sleep(seconds)
        else:
            self._pause_all(error, max(seconds, error.wait_seconds or 0.0))

    def _pause_all(self, error: PassingError, seconds: float) -> None:
        if seconds > self._patience.asked_seconds:
            raise IncompleteError(
                f"{error}; it asks for a pause of {seconds:.0f} s. What was answered is kept: "
                "run the same command again after that"
            )
        refusing_seconds = self._throttle.pause(seconds, str(error))
        if refusing_seconds > self._patience.refusing_seconds:
            raise RequestFailedError(f"{error} (for {refusing_seconds:.0f} s, to every request)")

    def _given_up(self, error: PassingError) -> Exception:
        if self._reached:
            return RequestFailedError(f"{error} ({self._patience.tries} tries)")
        return SetupError(
            f"{self._client.base_url} cannot be reached ({error}); "
            "start the server, or check --base-url"
        )

"""A chat model behind an OpenAI-compatible server, as a judge.

The parts: `prompts` (what is said), `parsing` (what the answer means), `http`
(one server), `throttle` (when a request may go out), `replies` and `session`
(what is tried again), `account` (what it costs), `crew` (many tiles at a time).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dpgbench.backends.judges.openai.client import Client, check_base_url
from dpgbench.backends.judges.openai.prompts import IMAGE_FORMAT, TEMPERATURE, TEMPLATE
from dpgbench.backends.judges.openai.retries import Patience, Session
from dpgbench.backends.judges.openai.throttle import Throttle
from dpgbench.backends.judges.openai.usage import Account
from dpgbench.backends.judges.openai.workers import Crew
from dpgbench.backends.protocols import JudgeReply, JudgeRequest, TileQuestions
from dpgbench.errors import SetupError, UsageError

PREFIX = "openai:"
PUBLIC_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
TIMEOUT_VARIABLE = "DPGBENCH_OPENAI_TIMEOUT"
PATIENCE = Patience()


class OpenAiJudge:
    """Asks `MODEL` of ``openai:MODEL`` yes-or-no questions about images.

    Options of the request: `base_url`, `max_requests`, `questions_per_request`, `concurrency`.

    Attributes:
        has_answers: whoever asks sets it where the run holds answers of this judge, so that its key
            and model are known to be right.
    """

    def __init__(self, request: JudgeRequest) -> None:
        options = request.options
        self.model = request.name.removeprefix(PREFIX)
        given = options.get("base_url") or os.environ.get(URL_VARIABLE)
        self.base_url = check_base_url(given or PUBLIC_URL)
        self.questions_per_request = _at_least_one(options, "questions_per_request") or 1
        self.concurrency = _at_least_one(options, "concurrency") or 1
        prices = (_price(options, "price_in"), _price(options, "price_out"))
        self._account = Account(_at_least_one(options, "max_requests"), prices)
        self._patience = replace(PATIENCE, timeout_seconds=_timeout_seconds())
        self._key = _key(self.base_url)
        self._session: Session | None = None
        self.has_answers = False

    def describe(self) -> dict[str, Any]:
        """Return what decides the answers, as far as it can be known from here."""
        return {
            "model": self.model,
            "base_url": self.base_url,
            "prompt": TEMPLATE,
            "temperature": TEMPERATURE,
            "image": IMAGE_FORMAT,
            "questions_per_request": self.questions_per_request,
        }

    def account(self) -> dict[str, Any]:
        """Return what asking has cost so far, and which parameters the server took."""
        parameters = self._session.dialects.current.record() if self._session else None
        return {**self._account.record(), "parameters": parameters}

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield replies as they come; at no time are more requests in flight than allowed.

        Raises:
            SetupError: no request can succeed: key, model or address are wrong.
            IncompleteError: `max_requests` is reached, or the server fails item after item.
        """
        throttle = Throttle(self.concurrency)
        client = Client(self.base_url, self._key, timeout_seconds=self._patience.timeout_seconds)
        session = Session(client, self.model, self._account, throttle, self._patience)
        self._session = session

        def stop() -> None:
            throttle.stop()
            client.close()

        crew = Crew(
            self.concurrency,
            session,
            self._account,
            questions_per_request=self.questions_per_request,
            has_answers=self.has_answers,
            scrub=client.scrub,
            stop=stop,
        )
        yield from crew.replies(tiles)


def _at_least_one(options: Any, name: str) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if int(value) < 1:
        raise UsageError(f"--{name.replace('_', '-')} {value}: give 1 or more")
    return int(value)


def _price(options: Any, name: str) -> float | None:
    value = options.get(name)
    if value is not None and not 0 <= value < 1e9:
        raise UsageError(f"--{name.replace('_', '-')} {value}: give dollars for a million tokens")
    return None if value is None else float(value)


def _timeout_seconds() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE)
    if not text:
        return PATIENCE.timeout_seconds
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"{TIMEOUT_VARIABLE}={text}: give seconds, such as 600")
    return seconds


def _key(base_url: str) -> str | None:
    """Return the key of the environment; None where there is none and none is needed."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and base_url == PUBLIC_URL:
        raise SetupError(
            f"{base_url} wants a key: set {KEY_VARIABLE}, or give your own server's --base-url"
        )
    if key and not re.fullmatch(r"[!-~]+", key):
        raise SetupError(f"{KEY_VARIABLE} holds a character that no key has; set it again")
    return key or None

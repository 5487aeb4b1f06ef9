"""A chat model behind an OpenAI-compatible server, as a judge.

The parts: `prompts` (what is asked), `parsing` (what the answer means), `client` (one server),
`parameters` and `retries` (what is tried again, and when), `usage` (what it costs).
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.entries import argument_of
from dpgbench.backends.event_loop import in_event_loop
from dpgbench.backends.failures import RefusedError, RequestFailedError, ServerFailures
from dpgbench.backends.judges.answer_reading import (
    first_word_answer,
    kept,
    plain_answer,
    without_thoughts,
    word_answer,
)
from dpgbench.backends.judges.openai import prompts
from dpgbench.backends.judges.openai.client import PATH, Client, Completion
from dpgbench.backends.judges.openai.parsing import p_answer, read
from dpgbench.backends.judges.openai.retries import Retries
from dpgbench.backends.judges.openai.usage import CapReachedError, Usage
from dpgbench.backends.openai_server import (
    PUBLIC_URL,
    URL_VARIABLE,
    check_base_url,
    server_key,
    with_timeout,
)
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.backends.rate_limit import RateLimit, RetryPolicy
from dpgbench.backends.secrets import hide_key
from dpgbench.domain.answer_text import is_word
from dpgbench.errors import DpgBenchError, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_FILTERED = "the server's content filter let no answer through (content_filter)"
_SPENT = (
    "the model said nothing: its tokens all went into thinking (finish_reason length); "
    "turn thinking off or down at the server"
)


class OpenAiJudge(Judge):
    """Asks `MODEL` of ``openai:MODEL`` yes-or-no questions about images.

    Options of the request: `base_url`, `max_requests`, `questions_per_request`, `concurrency`,
    `price_in`, `price_out`. Where the run holds answers already (`has_answers`), its key and model
    are known to be right.
    """

    def __init__(self, request: JudgeRequest, policy: RetryPolicy | None = None) -> None:
        options = request.options
        self.model = argument_of(request.name)
        address = options.get("base_url") or os.environ.get(URL_VARIABLE) or PUBLIC_URL
        self.base_url = check_base_url(address, PATH)
        self.questions_per_request = int(options.get("questions_per_request") or 1)
        self.concurrency = int(options.get("concurrency") or 1)
        prices = (options.get("price_in"), options.get("price_out"))
        self.usage = Usage(options.get("max_requests"), *prices)
        self._policy = with_timeout(policy or RetryPolicy())
        self.key = server_key(self.base_url)
        self._retries: Retries | None = None

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers, as far as it can be known from here."""
        return {
            "model": self.model,
            "base_url": self.base_url,
            "prompt": prompts.TEMPLATE,
            "temperature": prompts.TEMPERATURE,
            "image": prompts.IMAGE_FORMAT,
            "questions_per_request": self.questions_per_request,
        }

    def account(self) -> Mapping[str, Any]:
        """Return what asking has cost so far, and which parameters the server took."""
        parameters = self._retries.negotiation.current.to_json() if self._retries else None
        return {**self.usage.to_json(), "parameters": parameters}

    def prepare(self, image: Image) -> str:
        """Return `image` as it is sent."""
        return prompts.data_url(image)

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield replies as they come; at no time are more requests in flight than allowed.

        Raises:
            SetupError: no request can succeed: key, model or address are wrong.
            IncompleteError: `max_requests` is reached, or the server fails item after item.
        """
        client = Client(self.base_url, self.key, self.model, self._policy, self.usage)
        self._retries = Retries(client, RateLimit(self.concurrency))
        asking = _Asking(self, self._retries)
        parts, size, name = asking.parts(tiles), self.concurrency, "dpgbench-openai"
        yield from in_event_loop(parts, asking.ask, client.close, size=size, name=name)
        asking.failures.check_end()
        if asking.cap is not None:
            raise asking.cap


class _Part(NamedTuple):
    """Questions about one tile that go into one request."""

    key: tuple[str, int]
    image_url: str
    tile: TileQuestions

    @property
    def qids(self) -> Sequence[int]:
        """Numbers of its questions."""
        return self.tile.qids

    @property
    def questions(self) -> Sequence[str]:
        """Its questions."""
        return self.tile.questions

    @property
    def is_worded(self) -> bool:
        """Whether it is one question whose answer is taken as it is said, not as yes or no."""
        return self.tile.is_templated(0) or self.tile.wants_word(0)

    def conversation(self) -> prompts.Conversation:
        """Return what is sent."""
        (forms, *_) = self.tile.forms_of_each
        if self.is_worded:
            return prompts.worded_question(
                self.image_url, self.questions[0], forms, as_it_is=self.tile.is_templated(0)
            )
        return prompts.first_question(self.image_url, self.questions, forms)

    def reply(self, answers: Mapping[int, JudgeAnswer]) -> JudgeReply:
        """Return answers by their number in the request as answers by question number."""
        return JudgeReply(*self.key, {self.qids[n - 1]: answers[n] for n in sorted(answers)})


class _Asking:
    """One call of `OpenAiJudge.stream`."""

    def __init__(self, judge: OpenAiJudge, retries: Retries) -> None:
        self._judge, self._retries = judge, retries
        self.failures = ServerFailures(has_answers=judge.has_answers)
        self._failed: set[tuple[str, int]] = set()  # tiles that nothing is asked about any more
        self.cap: CapReachedError | None = None

    def parts(self, tiles: Iterator[TileQuestions]) -> Iterator[_Part]:
        """Yield what goes into a request each; takes a tile when its turn has come."""
        for tile in tiles:
            alone = tile.forms or any(tile.templated) or any(map(is_word, tile.expected))
            size = 1 if alone else self._judge.questions_per_request
            key, url = (tile.item_id, tile.tile), tile.prepared or prompts.data_url(tile.image)
            for start in range(0, len(tile.qids), size):
                if self.cap:
                    return
                some = slice(start, start + size)
                yield _Part(key, url, tile.part(some))

    async def ask(self, part: _Part) -> AsyncIterator[JudgeReply]:
        """Yield the replies to a part, or its tile's error, once; raise what ends all work."""
        try:
            if not self.cap and part.key not in self._failed:
                async for reply in self._answers(part):
                    self.failures.success()
                    yield reply
        except CapReachedError as error:
            self.cap = error
        except DpgBenchError:
            raise
        except Exception as error:  # whatever a server did to one request; others may go well
            log.debug("item %s tile %d", *part.key, exc_info=error)
            reason = hide_key(reason_of(error), self._judge.key)
            failed = error if isinstance(error, RequestFailedError) else RequestFailedError(reason)
            if part.key not in self._failed:
                yield JudgeReply(*part.key, {}, str(failed))
            self._failed.add(part.key)
            self.failures.record(*part.key, failed)

    async def _answers(self, part: _Part) -> AsyncIterator[JudgeReply]:
        """Yield the answers to a part: the plain ones at once, the others after a repair."""
        conversation = part.conversation()
        first = await self._complete(conversation)
        sure = p_answer(first.logprobs, conversation.forms, structured=conversation.structured)
        if part.is_worded:
            yield part.reply({1: self._worded(part, first, sure)})
            return
        words = read(first.text, conversation.asked, len(part.questions))
        plain = _plain(words)
        if plain:
            p_yes = first.p_yes if len(part.questions) == 1 else None
            yield part.reply(
                {n: JudgeAnswer(text, p_yes, p_answer=sure) for n, text in plain.items()}
            )
        missing = [number for number in conversation.asked if number not in plain]
        if not missing:
            return
        second = await self._complete(conversation.again(first.text, missing))
        spent = second.finish == "length" and not without_thoughts(second.text).strip()
        if spent and not any(words.values()):
            raise RefusedError(_SPENT)
        repaired = read(second.text, missing, len(part.questions))
        plain = _plain(repaired)
        answers = {number: JudgeAnswer(text) for number, text in plain.items()}
        for number in missing:
            if number not in plain:
                text = repaired.get(number) or words.get(number) or second.text or first.text
                answers[number] = JudgeAnswer(kept(hide_key(text, self._judge.key)), invalid=True)
        self._judge.usage.counts["repaired"] += len(plain)
        self._judge.usage.counts["invalid"] += len(missing) - len(plain)
        yield part.reply(answers)

    def _worded(self, part: _Part, reply: Completion, sure: float | None) -> JudgeAnswer:
        """Return an answer that is taken as it is said: a number, a word, or yes or no.

        Args:
            part: that was asked.
            reply: of the model.
            sure: the probability of the right answer, where it is known.

        Raises:
            RefusedError: the model's tokens all went into thinking.
        """
        if reply.finish == "length" and not without_thoughts(reply.text).strip():
            raise RefusedError(_SPENT)
        if part.tile.wants_word(0):
            word = word_answer(hide_key(reply.text, self._judge.key))
            self._judge.usage.counts["invalid"] += not word
            return JudgeAnswer(word, invalid=not word, p_answer=sure)
        if plain := first_word_answer(reply.text):
            return JudgeAnswer(plain, reply.p_yes, p_answer=sure)
        self._judge.usage.counts["invalid"] += 1
        text = kept(hide_key(reply.text, self._judge.key))
        return JudgeAnswer(text, reply.p_yes, invalid=True, p_answer=sure)

    async def _complete(self, conversation: prompts.Conversation) -> Completion:
        completion = await self._retries.complete(conversation)
        if completion.finish == "content_filter":
            raise RefusedError(_FILTERED)
        return completion


def _plain(words: Mapping[int, str]) -> dict[int, str]:
    """Return the answers that are yes or no."""
    return {number: answer for number, text in words.items() if (answer := plain_answer(text))}

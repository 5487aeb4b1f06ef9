"""A language model behind an OpenAI-compatible server: ``openai:MODEL``.

The connection, retries, rates and the search for what a server takes are those of the judge of the
same name (`backends.judges.openai`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dpgbench.backends.entries import argument_of
from dpgbench.backends.event_loop import in_event_loop
from dpgbench.backends.failures import RefusedError, RequestFailedError, ServerFailures
from dpgbench.backends.judges.openai.client import PATH, Client, Completion
from dpgbench.backends.judges.openai.parameters import ServerParameters
from dpgbench.backends.judges.openai.retries import Retries
from dpgbench.backends.judges.openai.usage import CapReachedError, Usage
from dpgbench.backends.llms.chat import (
    SCHEMA_REFUSED,
    ChatReply,
    ChatRequest,
    Ended,
    Job,
    KeptReplies,
    TalkOutcome,
    advanced,
    num_tokens,
)
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.backends.openai_server import (
    PUBLIC_URL,
    URL_VARIABLE,
    check_base_url,
    server_key,
    with_timeout,
)
from dpgbench.backends.rate_limit import RateLimit, RetryPolicy
from dpgbench.backends.secrets import hide_key
from dpgbench.errors import DpgBenchError, UsageError, reason_of

log = logging.getLogger(__name__)
Value = TypeVar("Value")
TEMPERATURE = 0
CONCURRENCY = 8
_NOT_ASKED = "not asked any more: the command ended before"


class _SchemaRefusedError(Exception):
    """The server was found not to take a JSON schema, and the request needs one."""


class ChatServer:
    """Asks `MODEL` of ``openai:MODEL``.

    Args:
        name: as the user writes it.
        options: address, requests in flight, caps and prices.
        spent: US dollars that earlier commands for the same output have cost.
        policy: how long the server is tried.

    Raises:
        UsageError: an option cannot be right, or is not for servers.
        SetupError: OpenAI's own server wants a key.
    """

    def __init__(
        self,
        name: str,
        options: LlmOptions,
        *,
        spent: float = 0.0,
        policy: RetryPolicy | None = None,
    ) -> None:
        options.refuse("openai:MODEL", "device", "dtype", "revision")
        self.name, self.options = name, options
        self.model = argument_of(name)
        if not self.model:
            raise UsageError("--llm openai: names no model; write openai:MODEL")
        address = options.base_url or os.environ.get(URL_VARIABLE) or PUBLIC_URL
        self.base_url = check_base_url(address, PATH)
        self.key = server_key(self.base_url)
        self.usage = Usage(options.max_requests, options.price_in, options.price_out)
        self.budget = Budget(options, spent, self.usage)
        self.parameters: Mapping[str, Any] | None = None
        self.takes_schemas = True  # until it refuses one
        self._policy = with_timeout(policy or RetryPolicy())

    def identity(self) -> Mapping[str, Any]:
        """Return the model's name: where its server is may change."""
        return {"model": self.name, "temperature": TEMPERATURE}

    def describe(self) -> Mapping[str, Any]:
        """Return the model and its server."""
        return {**self.identity(), "base_url": self.base_url}

    def account(self) -> Mapping[str, Any]:
        """Return what was sent, and which parameters the server took."""
        counts = self.usage.to_json()
        names = ("requests", "retries", "served_models")
        return {**{name: counts[name] for name in names}, "parameters": self.parameters}

    def converse(
        self, jobs: Iterator[Job[Value]], kept: KeptReplies
    ) -> Iterator[TalkOutcome[Value]]:
        """Yield how each conversation ends; at no time are more requests in flight than allowed.

        Raises:
            SetupError: no request can succeed: key, model or address are wrong.
            IncompleteError: a cap is reached (all else is yielded before), or the server fails item
                after item.
        """
        client = Client(self.base_url, self.key, self.model, self._policy, self.usage)
        self.usage.on_useless = kept.keep_cost
        size = self.options.concurrency or CONCURRENCY
        talk = _Talk(self, client, RateLimit(size), kept)
        try:
            yield from in_event_loop(
                jobs, talk.converse, client.close, size=size, name="dpgbench-llm"
            )
        finally:
            self.parameters = talk.parameters()
        talk.failures.check_end()
        if talk.cap is not None:
            raise talk.cap


class Budget:
    """Keeps what is spent, and what requests in flight may cost, below a cap.

    Used in one thread.
    """

    def __init__(self, options: LlmOptions, spent: float, usage: Usage) -> None:
        self._options, self._reserved, self.spent = options, 0.0, spent
        self._before, self._usage = spent, usage

    def reserve(self, request: ChatRequest) -> float:
        """Return US dollars that a request may cost, put aside until `settle`.

        Raises:
            CapReachedError: it might cost more than is left.
        """
        most = self._options.cost(request.num_tokens, request.max_tokens) or 0.0
        cap = self._options.max_cost
        if cap is not None and self.spent + self._reserved + most > cap:
            raise CapReachedError(
                f"--max-cost {cap:g}: {self.spent:.4f} dollars are spent, and the next request may "
                f"cost {most:.4f}; prompts are left. What was answered is kept: run the same "
                "command again with a higher --max-cost"
            )
        self._reserved += most
        return most

    def settle(self, reserved: float, reply: ChatReply | None) -> None:
        """Note what a request has cost in fact; replies of no use count by their tokens."""
        self._reserved -= reserved
        if reply is not None:
            tokens = reply.prompt_tokens, reply.completion_tokens
            self.spent += self._options.cost(*tokens) or 0.0
        counts = self._usage.counts
        billed = self._options.cost(counts["prompt_tokens"], counts["completion_tokens"])
        self.spent = max(self.spent, self._before + (billed or 0.0))


@dataclass(frozen=True)
class _Body:
    """A request as the server takes it; stands where a judge's conversation does."""

    request: ChatRequest

    def body(self, model: str, used: ServerParameters) -> bytes:
        """Return the request as JSON.

        Raises:
            _SchemaRefusedError: it needs a schema, and the server takes none.
        """
        request = self.request
        fields: dict[str, Any] = {"model": model, "messages": request.messages}
        if used.temperature:
            fields["temperature"] = TEMPERATURE
        if used.limit:
            fields[used.limit] = request.max_tokens
        if request.schema is not None and used.response_format == "json_schema":
            named = {"name": "reply", "strict": True, "schema": request.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.needs_schema:
            raise _SchemaRefusedError
        elif request.schema is not None and used.response_format:
            fields["response_format"] = {"type": used.response_format}
        return json.dumps(fields).encode()


class _Talk:
    """One call of `ChatServer.converse`; lives in its event loop."""

    def __init__(
        self, server: ChatServer, client: Client, limit: RateLimit, kept: KeptReplies
    ) -> None:
        self._server, self._client, self._kept = server, client, kept
        self._held, self._free = Retries(client, limit), Retries(client, limit)
        self._held.negotiation.current = ServerParameters(logprobs=False)
        self._free.negotiation.current = ServerParameters(response_format=None, logprobs=False)
        self._schema_worked = self._schema_failed = False
        self._asking: dict[str, asyncio.Future[ChatReply]] = {}
        self.failures = ServerFailures(has_answers=False)
        self.cap: CapReachedError | None = None

    def parameters(self) -> Mapping[str, Any]:
        """Return which optional parameters the server took."""
        used = (self._held if self._schema_worked else self._free).negotiation.current
        names = ("response_format", "temperature", "limit")
        return {name: getattr(used, name) for name in names}

    async def converse(self, job: Job[Value]) -> AsyncIterator[TalkOutcome[Value]]:
        """Yield how a conversation ends; raise what ends all work."""
        try:
            value: Value = await self._value(job)
            yield TalkOutcome(job.item_id, value)
        except CapReachedError as error:
            self.cap = error
            yield TalkOutcome(job.item_id, None, _NOT_ASKED, is_open=True)
        except DpgBenchError:
            raise
        except Exception as error:  # whatever a server did to one request; others may go well
            log.debug("item %s", job.item_id, exc_info=error)
            reason = hide_key(reason_of(error), self._server.key)
            failed = error if isinstance(error, RequestFailedError) else RequestFailedError(reason)
            yield TalkOutcome(job.item_id, None, str(failed))
            self.failures.record(job.item_id, 0, failed)

    async def _value(self, job: Job[Value]) -> Value:
        step = advanced(job.conversation, None, self._look_up)
        while not isinstance(step, Ended):
            reply = await self._reply(job.item_id, step)
            step = advanced(job.conversation, reply, self._look_up)
        return step.value

    def _look_up(self, request: ChatRequest) -> ChatReply | None:
        return self._kept.get(request.key(self._server.identity()))

    async def _reply(self, item_id: str, request: ChatRequest) -> ChatReply:
        """Return the reply to a request; two alike are asked once."""
        key = request.key(self._server.identity())
        while (other := self._asking.get(key)) is not None:
            await asyncio.wait([other])
            if (kept := self._kept.get(key)) is not None:
                return kept
        if self.cap is not None:
            raise self.cap
        if request.needs_schema and self._takes_no_schema():
            self._kept.keep(key, item_id, request, SCHEMA_REFUSED)
            return SCHEMA_REFUSED
        done: asyncio.Future[ChatReply] = asyncio.get_running_loop().create_future()
        self._asking[key] = done
        try:
            reply = await self._asked(request)
            self._kept.keep(key, item_id, request, reply)
            if not reply.schema_refused:
                self.failures.success()
            return reply
        finally:
            del self._asking[key]
            done.cancel()

    def _takes_no_schema(self) -> bool:
        if self._schema_worked:
            return False
        return (
            self._schema_failed or self._held.negotiation.current.response_format != "json_schema"
        )

    async def _asked(self, request: ChatRequest) -> ChatReply:
        budget = self._server.budget
        reserved, reply = budget.reserve(request), None
        retries = self._free if request.schema is None else self._held
        try:
            completion = await retries.complete(_Body(request))
            reply = _reply(request, completion, self._server.key)
            self._schema_worked = self._schema_worked or request.needs_schema
            return reply
        except _SchemaRefusedError:
            self._client.usage.counts["requests"] -= 1  # it was not sent
            self._schema_failed = True
            return SCHEMA_REFUSED
        except RefusedError:
            if retries is self._free:  # it was the prompt that the server refused, not the schema
                self._schema_failed = False
            raise
        finally:
            budget.settle(reserved, reply)


def _reply(request: ChatRequest, completion: Completion, key: str | None) -> ChatReply:
    """Return a completion with its cost, estimated where the server does not count."""
    text = completion.text.replace(key, "[key]") if key else completion.text
    tokens = completion.prompt_tokens, completion.completion_tokens
    counted = tokens[0] is not None and tokens[1] is not None
    finish = completion.finish if isinstance(completion.finish, str) else "stop"
    return ChatReply(
        text.encode("utf-8", "replace").decode(),
        finish[:40],
        request.num_tokens if tokens[0] is None else tokens[0],
        num_tokens(text) if tokens[1] is None else tokens[1],
        counted,
    )

"""What is tried again, and when, until the model has answered or there is no use in trying."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dpgbench.backends.failures import ForeignReplyError, PassingError, RefusedError
from dpgbench.backends.judges.openai.client import Client, Completion, Request
from dpgbench.backends.judges.openai.parameters import Negotiation
from dpgbench.backends.openai_server import Patience
from dpgbench.backends.rate_limit import RateLimit


class Retries(Patience):
    """A model at a server that is not given up easily; used within one event loop."""

    def __init__(
        self,
        client: Client,
        limit: RateLimit,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(client, limit, sleep)
        self.negotiation = Negotiation()
        self._client = client

    async def complete(self, request: Request) -> Completion:
        """Return what the model says.

        Raises:
            RequestFailedError: it says nothing, and others may have better luck.
            CapReachedError: no further request may be sent.
            SetupError: no request can succeed: the key, the account or the address is wrong.
            IncompleteError: the server wants a pause that is too long to sit through.
        """
        used, again = self.negotiation.current, False
        failures = refusals = foreign = 0
        while True:
            try:
                async with self._limit.turn():
                    self._client.usage.sending(again=again)
                    completion = await self._client.complete(request, used)
                self._limit.success()
                self.negotiation.accepted(used)
                return completion
            except RefusedError as error:
                simpler = None if error.advice else self.negotiation.instead_of(used, str(error))
                if simpler is None:
                    raise
            except PassingError as error:  # some answer 500 to a parameter that they do not know
                simpler = self.negotiation.instead_of(used, str(error), only_named=True)
                if simpler is None:
                    failures, refusals = failures + (not error.too_many), refusals + error.too_many
                    foreign += isinstance(error, ForeignReplyError)
                    await self.wait(error, failures, refusals, foreign)
            used, again = simpler or used, True

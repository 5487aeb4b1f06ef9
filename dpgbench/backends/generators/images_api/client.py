"""One image from a server: what is sent, which parameters it takes, what its reply means."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx2

from dpgbench.backends.failures import ForeignReplyError, PassingError, RefusedError
from dpgbench.backends.generators.images_api.costs import ImageCosts
from dpgbench.backends.openai_server import OpenAiServer, Patience, json_object, status_of
from dpgbench.backends.rate_limit import RateLimit
from dpgbench.errors import clipped

log = logging.getLogger(__name__)
PATH = "images/generations"
_FILTERED = (
    "the server gave no picture for this prompt: its content filter, as a rule; the same command "
    "asks again, and what is refused for good counts as missing"
)
_ADDRESS = (
    "the server gave the address of a picture instead of the picture: it must take "
    "response_format b64_json"
)
# In the words of servers that refuse a parameter.
_OF_PARAMETERS = ("param", "argument", "support", "permitted", "unknown", "unexpected", "extra")


class TakenParameters(NamedTuple):
    """Which optional parameters a request has: servers differ in which they take."""

    response_format: bool = True
    seed: bool = True

    def without_named(self, text: str) -> TakenParameters | None:
        """Return the parameters without the one that a refusal names; None where it names none.

        Args:
            text: what the server says, without the prompt, which may hold any word.
        """
        text = text.lower()
        if not any(word in text for word in _OF_PARAMETERS):
            return None
        for name in self._fields:
            if getattr(self, name) and re.search(rf"\b{name}\b", text):
                return self._replace(**{name: False})
        return None


class ImageRequests(Patience):
    """A model's images from a server that is not given up easily; used within one event loop.

    Args:
        server: for `PATH`.
        limit: of requests in flight.
        costs: counts what is sent and what replies cost.
        fixed: what every request has: model, size, the user's settings.
        taken: parameters that the server has taken before, in an earlier loop.
    """

    def __init__(
        self,
        server: OpenAiServer,
        limit: RateLimit,
        costs: ImageCosts,
        fixed: Mapping[str, Any],
        taken: TakenParameters | None,
    ) -> None:
        super().__init__(server, limit)
        self._costs, self._fixed = costs, fixed
        self.taken, self.settled = taken or TakenParameters(), taken is not None

    async def picture(self, prompt: str, seed: int) -> bytes:
        """Return the file of one image.

        Raises:
            RequestFailedError: there is none, and others may have better luck.
            SetupError: no request can succeed: the key, the account or the address is wrong.
            IncompleteError: no further request may be sent, or the server wants a long pause.
        """
        failures = refusals = foreign = 0
        again = False
        while True:
            used = self.taken
            try:
                async with self._limit.turn():
                    used = self.taken  # others may have learned while this one waited
                    self._costs.sending(again=again)
                    data = await self._once(prompt, seed, used)
                self._limit.success()
                self.settled = True
                self._costs.counts["images"] += 1
                return data
            except RefusedError as error:
                if error.advice or not self._learned(used, str(error).replace(prompt, "")):
                    raise
            except PassingError as error:  # some answer 500 to a parameter that they do not know
                if not self._learned(used, str(error).replace(prompt, "")):
                    failures, refusals = failures + (not error.too_many), refusals + error.too_many
                    foreign += isinstance(error, ForeignReplyError)
                    await self.wait(error, failures, refusals, foreign)
            again = True

    def _learned(self, used: TakenParameters, refusal: str) -> bool:
        """Return whether other parameters than `used` are to be tried after a refusal.

        From the first image on none is left out any more: all were asked for alike.
        """
        if used != self.taken:
            return True
        simpler = None if self.settled else used.without_named(refusal)
        if simpler is None:
            return False
        if used.seed and not simpler.seed:
            log.warning(
                "the server takes no seed (%s): the same command would draw other pictures, and "
                "no seeds are recorded",
                refusal,
            )
        self.taken = simpler
        return True

    async def _once(self, prompt: str, seed: int, used: TakenParameters) -> bytes:
        request = {**self._fixed, "prompt": prompt, "n": 1}
        if used.response_format:
            request["response_format"] = "b64_json"
        if used.seed:
            request["seed"] = seed
        response, content = await self._server.post(json.dumps(request).encode())
        body = json_object(content)
        self._costs.replied(body.get("usage"))
        status, error = response.status_code, body.get("error")
        if status == httpx2.codes.OK and not error:
            if not isinstance(body.get("data"), list):
                raise self._server.foreign(content, body, "data")
            file = _file_of(body["data"])
            self._server.served = True
            self._note_rewriting(body, prompt)
            return file
        if status == httpx2.codes.OK:
            status = status_of(error)
        text = content.decode(errors="replace")
        raise self._server.trouble(status, error or body or text, text, response)

    def _note_rewriting(self, body: Mapping[str, Any], prompt: str) -> None:
        """Count a prompt that the server says it replaced by words of its own; warn once."""
        revised = body["data"][0].get("revised_prompt")
        if not isinstance(revised, str) or revised.strip() in ("", prompt.strip()):
            return
        if not self._costs.counts["rewritten_prompts"]:
            log.warning(
                "the server draws prompts in words of its own (%s for %s): scores are of what it "
                "makes of the benchmark's prompts; how often stands in the manifest under "
                "generation.account",
                clipped(revised),
                clipped(prompt),
            )
        self._costs.counts["rewritten_prompts"] += 1


def _file_of(data: Sequence[Any]) -> bytes:
    """Return the file of the one image in a reply's `data`.

    Raises:
        RefusedError: there is none, or its address.
        PassingError: the picture is not in base64.
    """
    image = data[0] if data else None
    encoded = image.get("b64_json") if isinstance(image, dict) else None
    address = image.get("url") if isinstance(image, dict) else None
    if isinstance(address, str) and address.startswith("data:image/"):
        encoded = encoded or address.partition(",")[2]
    elif address and not encoded:
        raise RefusedError(_ADDRESS)
    if not isinstance(encoded, str) or not encoded:
        raise RefusedError(_FILTERED)
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)  # lines of 76, as in mail
    except (binascii.Error, ValueError):
        raise PassingError("the server's picture is not in base64") from None

"""A model behind an OpenAI-compatible server of images, as a generator.

Each image is a request of its own, with its own seed where the server takes one; several are in
flight at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpgbench.backends.entries import ModelEntry, argument_of
from dpgbench.backends.event_loop import in_event_loop
from dpgbench.backends.failures import RequestFailedError, ServerFailures
from dpgbench.backends.generators.images_api.client import PATH, ImageRequests, TakenParameters
from dpgbench.backends.generators.images_api.costs import ImageCosts
from dpgbench.backends.generators.images_api.options import ServerOptions
from dpgbench.backends.generators.named_generator import ModelDefaults, NamedGenerator
from dpgbench.backends.openai_server import (
    PUBLIC_URL,
    URL_VARIABLE,
    OpenAiServer,
    check_base_url,
    server_key,
    with_timeout,
)
from dpgbench.backends.protocols import DrawnItem, ItemToDraw, Truncation
from dpgbench.backends.rate_limit import RateLimit, RetryPolicy
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import DataError, DpgBenchError, UsageError
from dpgbench.store.image_files import EncodedFile
from dpgbench.store.images import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


class ImagesApi(NamedGenerator):
    """Draws with `MODEL` of ``images-api:MODEL``.

    Args:
        entry: the model.
        spec: size; steps, guidance and negative prompt are sent where the user names them.
        weights: none.
        device: none.
        server: how the server is asked.
        policy: how long it is tried.
    """

    def __init__(
        self,
        entry: ModelEntry,
        spec: GenerationSpec,
        weights: Mapping[str, Weights],
        device: str,
        server: ServerOptions | None = None,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.spec, self.options = spec, server or ServerOptions()
        self.model = argument_of(entry.name)
        self.base_url = str(spec.options["base_url"])
        self.key = server_key(self.base_url)
        self.costs = ImageCosts(self.options)
        self._policy = with_timeout(policy or RetryPolicy())
        self._taken: TakenParameters | None = None
        self._num_failed = 0

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return where the server is, by the environment or OpenAI's own."""
        address = os.environ.get(URL_VARIABLE) or PUBLIC_URL
        return ModelDefaults(options={"base_url": check_base_url(address, PATH)})

    @staticmethod
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where the server's address or key cannot be right.

        Raises:
            UsageError: it is no address, or names a user or a password; or a precision is named.
            SetupError: OpenAI's own wants a key.
        """
        server_key(check_base_url(str(spec.options["base_url"]), PATH))
        if spec.dtype != "float32":
            raise UsageError(
                f"--dtype {spec.dtype}: {spec.model} is drawn by a server; leave it out"
            )

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what cannot be known of a server."""
        return [
            f"{entry.name} is drawn by a server: which weights it has, what it does to prompts and "
            "whether it uses the seeds that it takes cannot be known from here"
        ]

    @property
    def takes_seeds(self) -> bool:
        """Whether the server has taken seeds with its images."""
        return self._taken is None or self._taken.seed

    def account(self) -> Mapping[str, Any]:
        """Return what drawing has cost so far, and which parameters the server took."""
        taken = self._taken._asdict() if self._taken else None
        return {**self.costs.to_json(), "parameters": taken}

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return that no limit is known."""
        return Truncation(None)

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed.

        Raises:
            DataError: the server gives none for this prompt.
        """
        (drawn,) = self.draw_many(iter([ItemToDraw("", prompt, tuple(seeds))]))
        if isinstance(drawn.result, Exception):
            raise drawn.result
        return drawn.result

    def draw_many(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        """Yield the images of each item, or why it has none, as they come.

        Raises:
            SetupError: no request can succeed.
            IncompleteError: no further request may be sent, or the server fails item after item.
        """
        server = OpenAiServer(self.base_url, self.key, self.model, self._policy, path=PATH)
        limit = RateLimit(self.options.concurrency)
        requests = ImageRequests(server, limit, self.costs, self._fixed(), self._taken)
        failures = ServerFailures(has_answers=self._taken is not None)

        async def draw(item: ItemToDraw) -> AsyncIterator[DrawnItem]:
            started = time.perf_counter()
            result: list[Image] | Exception
            try:
                result = await self._draw(requests, item)
                failures.success()
            except RequestFailedError as error:
                result = DataError(str(error))
                failures.record(str(self._num_failed), 0, error)
                self._num_failed += 1
            except DpgBenchError as error:
                if not isinstance(error, DataError):
                    raise
                result = error
            yield DrawnItem(item, result, time.perf_counter() - started)

        # One item more than fills the requests: its first images wait for their turn.
        at_once = -(-self.options.concurrency // self.spec.num_images) + 1
        yield from in_event_loop(
            items, draw, server.close, size=at_once, name="dpgbench-images-api"
        )
        failures.check_end()

    def _fixed(self) -> dict[str, Any]:
        """Return what every request has; of the settings those that the user chose."""
        spec = self.spec
        settings = {
            "quality": spec.options.get("quality") or None,
            "num_inference_steps": spec.steps,
            "guidance_scale": spec.guidance_scale,
            "negative_prompt": spec.negative_prompt or None,
        }
        chosen = {name: value for name, value in settings.items() if value is not None}
        return {"model": self.model, "size": f"{spec.width_px}x{spec.height_px}", **chosen}

    async def _draw(self, requests: ImageRequests, item: ItemToDraw) -> list[Image]:
        """Return an item's images; the others' requests go on where one fails."""
        results = await asyncio.gather(
            *(requests.picture(item.prompt, seed) for seed in item.seeds), return_exceptions=True
        )
        self._taken = requests.taken if requests.settled else self._taken
        for result in results:
            if isinstance(result, BaseException):
                raise result
        files = [result for result in results if isinstance(result, bytes)]
        self._note_repeated(item, len(files) - len(set(files)))
        return [self._opened(file, tile) for tile, file in enumerate(files)]

    def _note_repeated(self, item: ItemToDraw, repeated: int) -> None:
        """Count images of an item that are another one's again; warn once."""
        if not repeated:
            return
        if not self.costs.counts["repeated_images"]:
            log.warning(
                "%d of %d images of item %s are others of it again, byte for byte: the server uses "
                "no seeds, or keeps its replies; several images an item tell nothing then. How "
                "many there were stands in the manifest under generation.account.repeated_images",
                repeated,
                len(item.seeds),
                item.item_id or "?",
            )
        self.costs.counts["repeated_images"] += repeated

    def _opened(self, file: bytes, tile: int) -> Image:
        image = open_picture(EncodedFile(f"of tile {tile} from {self.base_url}", file))
        wanted = (self.spec.width_px, self.spec.height_px)
        if image.size != wanted:
            raise DataError(
                f"the server drew {image.width}x{image.height} px instead of "
                f"{wanted[0]}x{wanted[1]}: give --width and --height that it draws"
            )
        return image

"""What one request may cost, and how its body is read within these limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

_MIB = 2**20
MEGAPIXEL = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of one server.

    Attributes:
        request_bytes: of a body, as it comes.
        bodies_bytes: of all bodies that are held at a time.
        json_values: commas, colons and brackets in a JSON text: what bounds its values.
        items: in one request.
        images: of one item.
        questions: of one item that the caller asks.
        picture_pixels: of one picture, whatever its sides.
        picture_side_px: the longer side of one picture.
        queue: pictures that wait or are asked about, each counted once for every megapixel begun.
        requests: in progress at a time.
        request_seconds: from the last byte of a body to the reply.
        upload_seconds: a body may take so long, and longer as far as it comes at `upload_rate`.
        upload_rate: bytes a second.
        reply_seconds: a client may take so long to take a reply.
        head_seconds: from the first byte of a request, or the connection, to the end of its head.
        idle_seconds: a connection is kept so long between requests.
        idle_connections: beyond so many, those that have waited longest are closed.
        discarded_bytes: of a body that was refused are read so that the refusal arrives.
        batch_seconds: a batch that is not full waits so long for more tiles.
        grace_seconds: what was accepted is finished within them once the server is to end.
    """

    request_bytes: int = 64 * _MIB
    bodies_bytes: int = 512 * _MIB
    json_values: int = 200_000
    items: int = 256
    images: int = 64
    questions: int = 200
    picture_pixels: int = 2**24
    picture_side_px: int = 8192
    queue: int = 512
    requests: int = 256
    request_seconds: float = 300.0
    upload_seconds: float = 10.0
    upload_rate: float = 64 * 1024
    reply_seconds: float = 60.0
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    idle_connections: int = 512
    discarded_bytes: int = 256 * _MIB
    batch_seconds: float = 0.005
    grace_seconds: float = 30.0

    def to_json(self) -> dict[str, int | float]:
        """Return the fields as plain data."""
        return asdict(self)


class RefusedRequestError(Exception):
    """A request that gets an answer with a status code and one line instead of a score."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message = status, " ".join(message.split())
        self.headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        if status == 401:
            self.headers["www-authenticate"] = "Bearer"


class Room:
    """Units of something that requests take and give back, never more than `limit` together.

    It belongs to the event loop's thread.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    def take(self, units: int) -> bool:
        """Take `units`; return whether they were there to take."""
        if self.taken + units > self.limit:
            return False
        self.taken += units
        return True

    def give_back(self, units: int) -> None:
        """Give units back that were taken."""
        self.taken -= units

    @contextlib.contextmanager
    def holding(self, units: int, refusal: RefusedRequestError) -> Iterator[None]:
        """Hold `units` inside.

        Raises:
            RefusedRequestError: `refusal`, where they are not there.
        """
        if not self.take(units):
            raise refusal
        try:
            yield
        finally:
            self.give_back(units)


class Body:
    """The bytes of a request, and what they take of the room for all bodies."""

    def __init__(self, room: Room) -> None:
        self._room, self._held = room, 0
        self.data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            RefusedRequestError: other bodies leave no room for them.
        """
        if not self._room.take(len(chunk)):
            raise RefusedRequestError(
                429, "the server holds as many bodies as it can; send this again", retry_after=1
            )
        self._held += len(chunk)
        self.data += chunk

    def release(self) -> None:
        """Let the bytes go."""
        self.data = bytearray()
        self._room.give_back(self._held)
        self._held = 0


async def read_body(request: Request, body: Body, limits: Limits) -> None:
    """Read a request's body into `body`; what is too much is never held.

    Raises:
        RefusedRequestError: it is too long, comes too slowly, or ends before it is complete.
        ClientDisconnect: the client is gone.
    """
    declared = _declared_length(request, limits)
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        async with asyncio.timeout(limits.upload_seconds) as patience:
            async for chunk in request.stream():
                if len(body.data) + len(chunk) > limits.request_bytes:
                    raise _too_long(limits)
                body.add(chunk)
                allowed = limits.upload_seconds + len(body.data) / limits.upload_rate
                patience.reschedule(start + allowed)
    except TimeoutError:
        raise RefusedRequestError(
            408,
            f"the body came too slowly: {len(body.data)} bytes in {loop.time() - start:.0f} s; "
            f"{limits.upload_rate / 1024:.0f} KiB a second are expected",
        ) from None
    cut_off: bool = request.scope.get("state", {}).get("cut_off", False)
    if cut_off or (declared is not None and len(body.data) < declared):
        whole = "" if declared is None else f" of {declared}"
        raise RefusedRequestError(
            400, f"the body was cut off after {len(body.data)} bytes{whole}; send it again"
        )


def _declared_length(request: Request, limits: Limits) -> int | None:
    """Return what the head says of the body's length; None where it says nothing.

    Raises:
        RefusedRequestError: it is too long, or no number.
    """
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise RefusedRequestError(400, "content-length is not a whole number")
    if int(text) > limits.request_bytes:
        raise _too_long(limits)
    return int(text)


def _too_long(limits: Limits) -> RefusedRequestError:
    return RefusedRequestError(
        413,
        f"the body is longer than {limits.request_bytes} bytes; send fewer or smaller pictures in "
        "a request, or start the server with a higher --max-request-mb",
    )


async def until_disconnected(request: Request) -> None:
    """Return once the client is gone; for use after the body has been read."""
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            return


__all__ = [
    "MEGAPIXEL",
    "Body",
    "ClientDisconnect",
    "Limits",
    "RefusedRequestError",
    "Room",
    "read_body",
    "until_disconnected",
]

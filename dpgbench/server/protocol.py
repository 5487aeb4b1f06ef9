"""uvicorn's HTTP/1.1 with patience: clients that send slowly, nothing, junk, or half a request."""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from dpgbench.server.limits import Limits


class PatientProtocol(H11Protocol):
    """Connections that wait for a request do so within limits.

    Args:
        limits: how long, and how many may wait.
        between: the connections that wait for a request, longest first; one for a server.
        arguments: uvicorn's own.
    """

    def __init__(
        self,
        *arguments: object,
        limits: Limits,
        between: dict[PatientProtocol, None],
        **more: object,
    ) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._limits, self._between = limits, between
        self._timer: asyncio.TimerHandle | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a body that was refused are counted and dropped."""
        if self._is_between:
            self._start_timer()
            if self.conn.their_state is h11.SEND_BODY:
                self._discarded += len(data)
                if self._discarded > self._limits.discarded_bytes:
                    self.transport.abort()
                    return
        super().data_received(data)
        if not self._is_between:
            self._stop_waiting()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Tell the application of a body that was cut off, so that the client hears of it."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.more_body:
            return None
        self.scope["state"]["cut_off"] = True
        cycle.more_body = cycle.keep_alive = False
        cycle.message_event.set()
        return True

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or for the rest of a body that nobody wants."""
        self._discarded = 0
        super().on_response_complete()
        if self._is_between and not self.transport.is_closing():
            self._wait()
            if self.conn.their_state is h11.SEND_BODY:
                self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no HTTP, and close the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refuse(400, "this is no request in HTTP/1.1")

    @property
    def _is_between(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._between[self] = None
        if len(self._between) > self._limits.idle_connections:
            next(iter(self._between)).transport.abort()

    def _stop_waiting(self) -> None:
        self._between.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._limits.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_between and not self.transport.is_closing():
            seconds = f"{self._limits.head_seconds:g}"
            self._refuse(408, f"the head of the request was not complete within {seconds} s")

    def _refuse(self, status: int, message: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            response = h11.Response(
                status_code=status, headers=headers, reason=STATUS_PHRASES[status]
            )
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""The process of a server: its socket, loading the judge, signals, the orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvicorn

from dpgbench.errors import IncompleteError, UsageError, counted
from dpgbench.server.app import make_app
from dpgbench.server.limits import Limits
from dpgbench.server.protocol import PatientProtocol
from dpgbench.server.service import Service

log = logging.getLogger(__name__)
_CLOSING_SECONDS = 2  # for replies that are written to be taken
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 1024


@dataclass(frozen=True)
class Address:
    """Where a server is reached, and by whom.

    Attributes:
        host: name or number of an interface.
        port: 0 takes a free one.
        key: that requests must bear; None lets everyone in who reaches the port.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class _Server(uvicorn.Server):
    """uvicorn without its handling of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to whoever runs the server."""
        yield


def serve(
    service: Service,
    address: Address,
    announce: Callable[[str], None],
    ending: Ending | None = None,
) -> None:
    """Serve until a signal comes; return once everything that was accepted is answered.

    Args:
        service: that answers; its judge is loaded here.
        address: where.
        announce: gets a line once the port is open, and one once the judge is ready.
        ending: what asks for the end beside signals, which only a main thread gets.

    Raises:
        UsageError: the address cannot be had.
        DpgBenchError: the judge cannot be loaded.
        IncompleteError: the grace time ran out before all was answered.
        KeyboardInterrupt: a second signal came.
    """
    with _listening(address) as listener, service.askers.opened():
        if not address.is_local and address.key is None:
            log.warning(
                "everyone who reaches %s can ask this judge: give --api-key-env NAME to want a key",
                address.host,
            )
        asyncio.run(_serve(service, address, listener, announce, ending or Ending()))


@contextlib.contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    host, port = address.host, address.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--host {host} --port {port} cannot be had: {reason}; --port 0 takes a free port"
        ) from None
    with listener:
        yield listener


async def _serve(
    service: Service,
    address: Address,
    listener: socket.socket,
    announce: Callable[[str], None],
    ending: Ending,
) -> None:
    limits = service.limits
    server = _Server(
        uvicorn.Config(
            make_app(service, key=address.key),
            http=cast("Any", partial(PatientProtocol, limits=limits, between={})),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=cast("int", limits.idle_seconds),
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_junk)
    with ending.on_signals():
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            port = listener.getsockname()[1]
            host = f"[{address.host}]" if ":" in address.host else address.host
            announce(f"listening on http://{host}:{port}")
            service.start()
            if await _first(asyncio.wrap_future(service.askers.ready), ending.wanted.wait()):
                service.status = "ready"
                announce(f"ready: judge {service.label}")
                await ending.wanted.wait()
            service.status = "ending"
            unfinished = await _drain(service, ending, limits)
        finally:
            service.stop()
            server.should_exit = True
            await serving
            service.close()
    if ending.at_once.is_set():
        raise KeyboardInterrupt
    if unfinished:
        raise IncompleteError(
            f"{counted(unfinished, 'request')} could not be finished within "
            f"{limits.grace_seconds:g} s; --grace allows more"
        )


class Ending:
    """What signals have asked for: the end, or at the second one the end at once."""

    def __init__(self) -> None:
        self.wanted, self.at_once = asyncio.Event(), asyncio.Event()

    def ask(self) -> None:
        """Ask for the end; to be called in the event loop's thread."""
        (self.at_once if self.wanted.is_set() else self.wanted).set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take signals over inside, where this thread gets them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)


async def _first(wanted: Any, other: Any) -> bool:
    """Wait for either; return whether it was the first of them, whose error is raised."""
    tasks = [asyncio.ensure_future(wanted), asyncio.ensure_future(other)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[1].cancel()
    if tasks[0] in done:
        tasks[0].result()
        return True
    return False


async def _drain(service: Service, ending: Ending, limits: Limits) -> int:
    """Wait until what was accepted is answered; return how many requests were not in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limits.grace_seconds):
            while service.requests.taken and not ending.at_once.is_set():
                await asyncio.sleep(0.02)
    return service.requests.taken


def _is_no_junk(record: logging.LogRecord) -> bool:
    """Return whether a line of uvicorn's log is about the server, not about a client's junk."""
    return "Invalid HTTP request" not in record.getMessage()

"""Paths and status codes: the HTTP surface of a service."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from dpgbench.errors import one_line, reason_of
from dpgbench.server.limits import (
    Body,
    ClientDisconnect,
    RefusedRequestError,
    read_body,
    until_disconnected,
)
from dpgbench.server.schema import JSON, MULTIPART, ErrorReply, ScoreBody, ScoreReply
from dpgbench.server.service import Service
from dpgbench.store.run.manifest import toolkit_version

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_Returned = TypeVar("_Returned")

log = logging.getLogger(__name__)
HEALTH = "/health"
_PATHS = ("/", HEALTH, "/metrics", "/openapi.json", "/v1/info", "/v1/score")
_CLIENT_GONE = 499  # for the metrics alone: nobody reads it
_ERRORS = (400, 401, 408, 413, 415, 422, 429, 503, 504)


def make_app(service: Service, *, key: str | None) -> FastAPI:
    """Return the application.

    Args:
        service: that answers.
        key: that requests must bear but for `/health`; None lets everyone in.
    """
    app = FastAPI(
        title="dpgbench serve",
        summary=f"Judge {service.label} answers questions about pictures.",
        version=toolkit_version(),
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RefusedRequestError, _refused)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(_Gate, service=service, key=key)

    @app.get(HEALTH)
    async def health() -> Response:
        """Return 200 where the judge answers, else 503."""
        status = service.health
        return JSONResponse({"status": status}, 200 if status == "ready" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return counters in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    @app.get("/v1/info")
    async def info() -> Response:
        """Return the judge and its weights' hashes, the rules, the benchmark, the limits."""
        return JSONResponse(service.info_json())

    @app.post(
        "/v1/score",
        responses={
            200: {"model": ScoreReply},
            **{status: {"model": ErrorReply} for status in _ERRORS},
        },
        openapi_extra={"requestBody": _body_schema()},
    )
    async def score(request: Request) -> Response:
        """Return the answers, tile scores and failures of each item."""
        service.require_ready()
        full = RefusedRequestError(429, "too many requests are in progress", retry_after=1)
        with service.requests.holding(1, full):
            return JSONResponse(await _score(service, request))

    return app


async def _score(service: Service, request: Request) -> dict[str, Any]:
    body, limits = Body(service.bodies), service.limits
    ended = RefusedRequestError(503, "the server ended before this was answered", retry_after=30)
    try:
        await _unless(read_body(request, body, limits), {service.stopped.wait: ended})
        slow = f"no answer within {limits.request_seconds:g} s; send less at once, or later"
        return await _unless(
            service.score_json(request.headers.get("content-type", ""), body),
            {
                service.stopped.wait: ended,
                partial(until_disconnected, request): ClientDisconnect(),
                partial(asyncio.sleep, limits.request_seconds): RefusedRequestError(504, slow),
            },
        )
    finally:
        body.release()


async def _unless(
    work: Awaitable[_Returned], endings: Mapping[Callable[[], Awaitable[Any]], Exception]
) -> _Returned:
    """Return what `work` gives, unless one of `endings` comes first: its error is raised."""
    working = asyncio.ensure_future(work)
    waiting = {asyncio.ensure_future(wait()): error for wait, error in endings.items()}
    try:
        await asyncio.wait((working, *waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.cancelled():  # its tiles were, which is no reply: an ending has come, or comes
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        elif working.done():
            return working.result()
        raise next(error for task, error in waiting.items() if task.done())
    finally:
        for task in (working, *waiting):
            task.cancel()
        await asyncio.gather(working, *waiting, return_exceptions=True)


def _body_schema() -> dict[str, Any]:
    schema = ScoreBody.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    item = definitions["ItemBody"]
    item["properties"]["questions"]["anyOf"][0]["items"] = definitions["QuestionBody"]
    schema["properties"]["items"]["items"] = item
    form = {
        "type": "object",
        "properties": {"request": {"type": "string", "description": "The JSON object."}},
        "additionalProperties": {"type": "string", "format": "binary"},
    }
    return {"required": True, "content": {JSON: {"schema": schema}, MULTIPART: {"schema": form}}}


class _Gate:
    """Lets in whoever has the key, counts replies, and waits for no client for ever."""

    def __init__(self, app: ASGIApp, service: Service, key: str | None) -> None:
        self._app, self._service, self._key = app, service, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), _CLIENT_GONE
        patience = self._service.limits.reply_seconds

        async def send_in_time(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await asyncio.wait_for(send(message), patience)

        try:
            if self._may_enter(scope):
                await self._app(scope, receive, send_in_time)
            else:
                refusal = RefusedRequestError(
                    401, "this server wants its key: send 'Authorization: Bearer KEY'"
                )
                await _response(refusal)(scope, receive, send_in_time)
        except ClientDisconnect:
            status = _CLIENT_GONE
        finally:
            path = scope["path"] if scope["path"] in _PATHS else "other"
            self._service.metrics.request(path, status, time.perf_counter() - start)

    def _may_enter(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] == HEALTH:
            return True
        sent = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = sent.partition(b" ")
        # Equal lengths or not, the comparison takes as long.
        return (
            hmac.compare_digest(token.strip(), self._key.encode()) and scheme.lower() == b"bearer"
        )


def _response(refusal: RefusedRequestError) -> JSONResponse:
    return JSONResponse({"error": refusal.message}, refusal.status, headers=refusal.headers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequestError)
    return _response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = one_line(request.url.path)[:200]
    text = {
        404: f"there is no {path}; there are {', '.join(_PATHS)}",
        405: f"{path} does not take {one_line(request.method)[:20]}",
    }.get(error.status_code, str(error.detail))
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)


async def _unforeseen(_request: Request, error: Exception) -> Response:
    text = f"the server failed: {reason_of(error, with_type=True, limit=200)}; its log has more"
    return JSONResponse({"error": text}, 500)

"""Faults on demand: answers lost after they took effect, delays, HTTP 5xx before or after, sockets cut.

A fault waits for matching requests and wears out after ``count`` hits; with ``probability`` it hits at random, by its
own seed. Only callers on this machine may set them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.paper.connections import Connections

Kind = Literal["answer_lost", "delay", "http_5xx", "socket_cut"]
LOOPBACK = frozenset({"127.0.0.1", "::1"})


class FaultSpec(BaseModel):
    """What ``POST /paper/faults`` takes.

    ``endpoint`` is the path after ``/v5/`` (empty: any). ``match`` compares fields of the request: ``<field>`` for
    equality, ``<field>_suffix`` and ``<field>_prefix`` for the ends. ``after`` (http_5xx): the request takes effect,
    then 5xx is answered. ``sockets`` (socket_cut): which ones, now.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    endpoint: str = ""
    count: int | None = Field(1, ge=1)
    probability: float = Field(1.0, gt=0, le=1)
    seed: int = 0
    delay_ms: int = Field(0, ge=0)
    match: dict[str, str] = {}
    after: bool = False
    status: int = Field(502, ge=500, le=599)
    sockets: Literal["public", "private", "all"] = "all"


@dataclass
class Fault:
    """An active fault and how often it hit."""

    id: int
    spec: FaultSpec
    hits: int = 0
    done: bool = False
    chance: random.Random = field(default_factory=random.Random)

    @property
    def worn_out(self) -> bool:
        return self.done or (self.spec.count is not None and self.hits >= self.spec.count)

    def row(self) -> dict[str, Any]:
        return {"id": self.id, **self.spec.model_dump(), "hits": self.hits, "active": not self.worn_out}

    def takes(self, path: str, fields: dict[str, str]) -> bool:
        """Whether this fault hits the request; counts the hit."""
        if self.worn_out or not path.endswith(self.spec.endpoint):
            return False
        if not all(_matches(fields, name, wanted) for name, wanted in self.spec.match.items()):
            return False
        if self.chance.random() >= self.spec.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The faults asked for, in order; the first that matches hits."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._faults: list[Fault] = []
        self._made = 0

    def add(self, spec: FaultSpec) -> Fault:
        self._made += 1
        fault = Fault(self._made, spec, chance=random.Random(spec.seed))
        if spec.kind == "socket_cut":
            fault.hits = self._connections.cut_sockets(spec.sockets)
            fault.done = True
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def rows(self) -> list[dict[str, Any]]:
        return [fault.row() for fault in self._faults]

    def take(self, path: str, fields: dict[str, str]) -> Fault | None:
        return next((fault for fault in self._faults if fault.takes(path, fields)), None)

    @property
    def any_active(self) -> bool:
        return any(not fault.worn_out for fault in self._faults)


def _matches(fields: dict[str, str], name: str, wanted: str) -> bool:
    if name.endswith("_suffix"):
        return fields.get(name.removesuffix("_suffix"), "").endswith(wanted)
    if name.endswith("_prefix"):
        value = fields.get(name.removesuffix("_prefix"))
        return value is not None and value.startswith(wanted)
    return fields.get(name) == wanted


class FaultMiddleware:
    """Sits around the whole application: applies the active faults to ``/v5/`` requests, knows the open sockets."""

    def __init__(self, app: ASGIApp, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self._connections.socket_opened(scope)
            try:
                await self._app(scope, receive, send)
            finally:
                self._connections.socket_closed(scope)
            return
        if scope["type"] != "http" or not scope["path"].startswith("/v5/") or not self._faults.any_active:
            await self._app(scope, receive, send)
            return
        body, replay = await _read_body(receive)
        fault = self._faults.take(scope["path"], _fields(scope, body))
        if fault is None:
            await self._app(scope, replay, send)
            return
        spec = fault.spec
        if spec.kind == "delay":
            await asyncio.sleep(spec.delay_ms / 1000)
            await self._app(scope, replay, send)
        elif spec.kind == "http_5xx":
            if spec.after:
                await self._app(scope, replay, _swallow)
            await Response(f"fault {fault.id}: http_5xx", status_code=spec.status)(scope, receive, send)
        else:
            await self._app(scope, replay, _swallow)
            if spec.delay_ms:
                await asyncio.sleep(spec.delay_ms / 1000)
            self._connections.drop(scope)
            while (await receive())["type"] != "http.disconnect":
                pass  # the server must know it is gone, or it would answer 500 for us


async def _swallow(message: Message) -> None:
    """The application's answer goes nowhere."""


async def _read_body(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a ``receive`` that tells it again."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, replay


def _fields(scope: Scope, body: bytes) -> dict[str, str]:
    if scope["method"] == "GET":
        return dict(Request(scope).query_params)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {k: str(v) for k, v in parsed.items()} if isinstance(parsed, dict) else {}


Handler = Callable[[Request], Awaitable[Response]]


def loopback_only(handler: Handler) -> Handler:
    """Refuse callers from other machines with 403."""

    async def guarded(request: Request) -> Response:
        if request.client is None or request.client.host not in LOOPBACK:
            return JSONResponse({"error": "only from this machine"}, status_code=403)
        return await handler(request)

    return guarded


def fault_routes(faults: Faults) -> list[Route]:
    """``/paper/faults``: POST adds one, GET lists, DELETE clears."""

    async def add(request: Request) -> Response:
        try:
            spec = FaultSpec.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return JSONResponse({"error": f"{where}: {first['msg']}"}, status_code=400)
        return JSONResponse(faults.add(spec).row())

    async def show(request: Request) -> Response:
        return JSONResponse({"faults": faults.rows()})

    async def clear(request: Request) -> Response:
        faults.clear()
        return JSONResponse({"faults": []})

    return [
        Route("/paper/faults", loopback_only(add), methods=["POST"]),
        Route("/paper/faults", loopback_only(show), methods=["GET"]),
        Route("/paper/faults", loopback_only(clear), methods=["DELETE"]),
    ]

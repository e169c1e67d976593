"""One connection of the public sockets: what it is told, in order, and the commands it sends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import uuid4

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from domain.market import Category

# pybit loses a subscription whose acknowledgement is faster than it notes the callback
ACK_DELAY_SECONDS = 0.02
_MOST_WAITING = 20_000
# Bybit's bounds: topics of one request on spot, and characters of all topics of a connection
MOST_SPOT_ARGS = 10
MOST_CHARACTERS = 21_000


class Hub(Protocol):
    """What a connection asks of the market it listens to."""

    def unknown(self, category: Category, topics: Iterable[str]) -> list[str]: ...
    def join(self, category: Category, names: Iterable[str], socket: PublicSocket) -> None: ...
    def leave(self, category: Category, names: Iterable[str], socket: PublicSocket) -> None: ...


class PublicSocket:
    """One connection: a queue of encoded messages, and the commands it sends."""

    def __init__(self, websocket: WebSocket, category: Category, hub: Hub) -> None:
        self._websocket = websocket
        self._category = category
        self._hub = hub
        self._conn_id = uuid4().hex[:20]
        self._topics: set[str] = set()
        self._outbox: deque[str] = deque()
        self._filled = asyncio.Event()
        self._cut = asyncio.Event()

    def send(self, message: str) -> None:
        """Queue an encoded message; a client that lets too many wait is cut off."""
        if self._cut.is_set():
            return
        self._outbox.append(message)
        self._filled.set()
        if len(self._outbox) > _MOST_WAITING:
            self._cut.set()
            self._outbox.clear()

    async def run(self) -> None:
        tasks = {asyncio.create_task(work) for work in (self._write(), self._read(), self._cut.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._cut.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                await self._websocket.send({"type": "websocket.send", "text": self._outbox.popleft()})

    async def _read(self) -> None:
        while True:
            try:
                text = await self._websocket.receive_text()
            except (WebSocketDisconnect, RuntimeError, KeyError):  # gone, cut in between, or not a text frame
                return
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError:
                self._reply({}, success=False, ret_msg="request is not valid JSON")
                continue
            self._answer(request if isinstance(request, dict) else {})

    def _answer(self, request: dict[str, Any]) -> None:
        args = request.get("args")
        topics = [str(arg) for arg in args] if isinstance(args, list) else []
        match request.get("op"):
            case "ping":
                self._pong(request)
            case "subscribe" | "unsubscribe" as op:
                problem = self._problem(topics) if op == "subscribe" else ""
                if problem:
                    self._reply(request, success=False, ret_msg=problem)
                else:
                    change = self._join if op == "subscribe" else self._leave
                    asyncio.get_running_loop().call_later(ACK_DELAY_SECONDS, change, request, topics)
            case other:
                self._reply(request, success=False, ret_msg=f"error:invalid op,{other!r}")

    def _problem(self, topics: list[str]) -> str:
        """What is wrong with a wish to subscribe, as Bybit says it; "" if nothing."""
        if self._category is Category.SPOT and len(topics) > MOST_SPOT_ARGS:
            return f"args size >{MOST_SPOT_ARGS}"
        if sum(map(len, self._topics.union(topics))) > MOST_CHARACTERS:
            return f"args length >{MOST_CHARACTERS}"
        unknown = self._hub.unknown(self._category, topics)
        if unknown or not topics:
            return f"error:handler not found,topic:{','.join(unknown) or '(none)'}"
        return ""

    def _join(self, request: dict[str, Any], topics: list[str]) -> None:
        if not self._cut.is_set():
            self._topics.update(topics)
            self._reply(request, success=True, ret_msg="subscribe")
            self._hub.join(self._category, topics, self)

    def _leave(self, request: dict[str, Any], topics: list[str]) -> None:
        if not self._cut.is_set():
            self._topics.difference_update(topics)
            self._hub.leave(self._category, topics, self)
            self._reply(request, success=True)

    def _pong(self, request: dict[str, Any]) -> None:
        """Spot leaves the id out when none was given, linear has it empty then."""
        without = {} if self._category is Category.SPOT else {"req_id": ""}
        self._reply({**without, **request}, success=True, ret_msg="pong")

    def _reply(self, request: dict[str, Any], *, success: bool, ret_msg: str = "") -> None:
        reply = {"success": success, "ret_msg": ret_msg, "conn_id": self._conn_id}
        if "req_id" in request:
            reply["req_id"] = request["req_id"]
        self.send(orjson.dumps({**reply, "op": request.get("op", "")}).decode())

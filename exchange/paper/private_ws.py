"""The private socket ``/v5/private``: auth, subscriptions, and what happens to the account, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import uuid4

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from exchange.paper.auth import Keyring
from exchange.paper.core.events import Event, Executed, OrderChanged, PositionChanged, WalletChanged
from exchange.paper.core.refusal import Refusal
from exchange.paper.event_faults import EventFaults, Told
from exchange.paper.faults import Faults
from exchange.paper.wall import WallClock
from exchange.paper.wire import execution_row, order_message_row, position_message_row, wallet_row

# topics that may be narrowed to a category, as in order.linear
BY_CATEGORY = frozenset({"order", "execution", "execution.fast", "position", "greeks"})
CATEGORIES = ("spot", "linear", "inverse", "option")
TOPICS = frozenset(
    {*BY_CATEGORY, *(f"{topic}.{category}" for topic in BY_CATEGORY for category in CATEGORIES)}
    | {"wallet", "dcp", "dcp.future", "dcp.spot", "dcp.option"}
)
_FAST_FIELDS = (
    *("category", "symbol", "orderId", "orderLinkId", "side"),
    *("execId", "execPrice", "execQty", "execTime", "isMaker", "seq"),
)
# clients that register a subscription after sending it would lose it to a faster acknowledgement
ACK_DELAY_SECONDS = 0.02
MAX_WAITING = 10_000

Message = dict[str, Any]


def messages(events: Sequence[Event]) -> Iterator[Told]:
    """A message per run of events of one topic, in the order of the events."""
    told = [(topic, row) for event in events for topic, row in _rows(event)]
    for topic, run in groupby(told, key=lambda pair: pair[0]):
        yield Told(topic, [row for _, row in run])


def _rows(event: Event) -> Iterator[tuple[str, Message]]:
    match event:
        case Executed(execution=execution):
            yield "execution", execution_row(execution)
        case OrderChanged(order=order):
            yield "order", order_message_row(order)
        case PositionChanged(position=position, mark=mark, leverage=leverage):
            yield "position", position_message_row(position, mark, leverage)
        case WalletChanged(wallet=wallet):
            yield "wallet", wallet_row(wallet)


class PrivateHub:
    """Open private sockets. ``publish`` never waits: each socket has its own queue, and one too slow is closed."""

    def __init__(self, keyring: Keyring, wall: WallClock, faults: Faults) -> None:
        self._keyring = keyring
        self._wall = wall
        self._sockets: set[_PrivateSocket] = set()
        self._faults = EventFaults(faults, self._tell)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell ``events`` to every subscriber, in order."""
        if not self._sockets:
            return
        for message in messages(events):
            self._faults.pass_on(message)

    def _tell(self, message: Told) -> None:
        for socket in list(self._sockets):
            socket.offer(*message)

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one socket until it ends."""
        await websocket.accept()
        socket = _PrivateSocket(websocket, self._keyring, self._wall)
        self._sockets.add(socket)
        try:
            await socket.serve()
        finally:
            self._sockets.discard(socket)


class _PrivateSocket:
    def __init__(self, websocket: WebSocket, keyring: Keyring, wall: WallClock) -> None:
        self._websocket = websocket
        self._keyring = keyring
        self._wall = wall
        self._conn_id = uuid4().hex[:20]
        self._authenticated = False
        self._topics: set[str] = set()
        self._waiting: asyncio.Queue[tuple[float, Message]] = asyncio.Queue(MAX_WAITING)

    def offer(self, topic: str, rows: list[Message]) -> None:
        """Queue a message for each subscribed form of the topic (``order``, ``order.linear``)."""
        self._offer(topic, rows)
        if topic == "execution":
            fast = [{name: row[name] for name in _FAST_FIELDS} for row in rows if row["execType"] == "Trade"]
            self._offer("execution.fast", fast)

    def _offer(self, topic: str, rows: list[Message]) -> None:
        if topic in self._topics and rows:
            self._put(self._message(topic, rows))
        if topic not in BY_CATEGORY:
            return
        for category in CATEGORIES:
            narrowed = f"{topic}.{category}"
            chosen = [row for row in rows if row.get("category") == category] if narrowed in self._topics else []
            if chosen:
                self._put(self._message(narrowed, chosen))

    async def serve(self) -> None:
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            delay, message = await self._waiting.get()
            if delay:
                await asyncio.sleep(delay)
            await self._websocket.send_text(orjson.dumps(message).decode())

    async def _read(self) -> None:
        while True:
            try:
                text = await self._websocket.receive_text()
            except (WebSocketDisconnect, RuntimeError, KeyError):  # gone, cut in between, or not a text frame
                return
            try:
                request = orjson.loads(text)
                self._answer(request if isinstance(request, dict) else {})
            except orjson.JSONDecodeError:
                self._reply({}, success=False, ret_msg="request is not valid JSON")

    def _answer(self, request: Message) -> None:
        args = request.get("args")
        args = args if isinstance(args, list) else []
        match request.get("op"):
            case "ping":
                pong: Message = {"op": "pong", "args": [str(self._wall.now_ms())], "conn_id": self._conn_id}
                if "req_id" in request:
                    pong["req_id"] = request["req_id"]
                self._put(pong)
            case "auth":
                self._auth(request, args)
            case "subscribe":
                self._subscribe(request, [str(a) for a in args])
            case "unsubscribe":
                self._topics.difference_update(str(a) for a in args)
                self._reply(request, success=True)
            case other:
                self._reply(request, success=False, ret_msg=f"unknown op {other!r}")

    def _auth(self, request: Message, args: list[Any]) -> None:
        try:
            key, expires, signature = args
            self._keyring.check_socket(str(key), int(expires), str(signature), self._wall.now_ms())
        except (ValueError, TypeError):
            self._reply(request, success=False, ret_msg="auth takes [key, expires, signature]", code=10001)
        except Refusal as refusal:
            self._reply(request, success=False, ret_msg=refusal.message, code=refusal.code)
        else:
            self._authenticated = True
            self._reply(request, success=True)

    def _subscribe(self, request: Message, topics: list[str]) -> None:
        unknown = [topic for topic in topics if topic not in TOPICS]
        if not self._authenticated:
            self._reply(request, success=False, ret_msg="Request not authorized")
        elif unknown or not topics:
            self._reply(request, success=False, ret_msg=f"unknown topic {', '.join(unknown) or '(none)'}")
        else:
            # the acknowledgement waits in the same queue, so nothing is told before it and nothing is lost meanwhile
            self._reply(request, success=True, delay=ACK_DELAY_SECONDS)
            self._topics.update(topics)

    def _reply(
        self, request: Message, *, success: bool, ret_msg: str = "", delay: float = 0.0, code: int | None = None
    ) -> None:
        reply: Message = {
            "success": success,
            "ret_msg": ret_msg,
            "op": request.get("op", ""),
            "conn_id": self._conn_id,
        }
        if code is not None:
            reply["retCode"] = code
        if "req_id" in request:
            reply["req_id"] = request["req_id"]
        self._put(reply, delay)

    def _message(self, topic: str, rows: list[Message]) -> Message:
        return {"id": uuid4().hex, "topic": topic, "creationTime": self._wall.now_ms(), "data": rows}

    def _put(self, message: Message, delay: float = 0.0) -> None:
        try:
            self._waiting.put_nowait((delay, message))
        except asyncio.QueueFull:
            self._topics.clear()
            asyncio.get_running_loop().create_task(self._websocket.close(1008, "too slow"))

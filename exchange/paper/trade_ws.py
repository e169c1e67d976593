"""The trade socket ``/v5/trade``: orders created, amended and cancelled as over REST, each answered by its ``reqId``.

Requests of one socket take effect in the order they came and are answered as each is on disk. They count where the REST
endpoints count, and their answers' ``header`` tells the numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from domain.market import Category
from exchange.paper.auth import DEFAULT_RECV_WINDOW_MS, ApiKey, Keyring, check_may_trade, check_window
from exchange.paper.calls import Calls, Reply
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.fault_requests import candidates, fault_message
from exchange.paper.fault_rules import FaultSpec
from exchange.paper.faults import Faults, suffer
from exchange.paper.wall import WallClock

PATHS = {
    f"order.{name}": f"order/{name}"
    for name in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
REQ_ID_LENGTH = 36
_REMEMBERED = 10_000  # ids of requests that can't be used again

Message = dict[str, Any]


class TradeHub:
    """Serves trade sockets, each for itself."""

    def __init__(self, calls: Calls, keyring: Keyring, wall: WallClock, faults: Faults) -> None:
        self._calls = calls
        self._keyring = keyring
        self._wall = wall
        self._faults = faults

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one socket until it ends."""
        await websocket.accept()
        await _TradeSocket(websocket, self._calls, self._keyring, self._wall, self._faults).serve()


class _TradeSocket:
    def __init__(self, websocket: WebSocket, calls: Calls, keyring: Keyring, wall: WallClock, faults: Faults) -> None:
        self._websocket = websocket
        self._calls = calls
        self._keyring = keyring
        self._wall = wall
        self._faults = faults
        self._conn_id = uuid4().hex[:20]
        self._key: ApiKey | None = None
        self._req_ids: OrderedDict[str, None] = OrderedDict()
        self._work: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Read until the client is gone. What it asked before takes effect all the same."""
        while True:
            try:
                text = await self._websocket.receive_text()
            except (WebSocketDisconnect, RuntimeError, KeyError):  # gone, cut in between, or not a text frame
                return
            received_ms = time.time_ns() / 1e6
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError:
                request = None
            if not isinstance(request, dict):
                await self._send(self._answer({}, Reply(10001, "the request is not a JSON object")))
                continue
            # tasks begin in the order they are made, and a handler takes effect before it first waits
            task = asyncio.create_task(self._serve(request, received_ms))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _serve(self, request: Message, received_ms: float) -> None:
        op = request.get("op")
        if op == "ping":
            told = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(self._wall.now_ms())]}
            await self._send({**told, "connId": self._conn_id})
        elif op == "auth":
            await self._send(self._auth(request))
        else:
            await self._order(str(op), request, received_ms)

    def _auth(self, request: Message) -> Message:
        told: Message = {"reqId": request["reqId"]} if "reqId" in request else {}
        code, message = 0, "OK"
        try:
            if self._key is not None:
                raise Refusal(20001, "Repeat auth")
            key, expires, signature = list(request.get("args") or [])
            self._key = self._keyring.check_socket(str(key), int(expires), str(signature), self._wall.now_ms())
        except (ValueError, TypeError):
            code, message = 10001, "auth takes [key, expires, signature]"
        except Refusal as refusal:
            code, message = refusal.code, refusal.message
        return {**told, "retCode": code, "retMsg": message, "op": "auth", "connId": self._conn_id}

    async def _order(self, op: str, request: Message, received_ms: float) -> None:
        args = request.get("args")
        fields = args[0] if isinstance(args, list) and len(args) == 1 and isinstance(args[0], dict) else None
        fault = None
        if fields is not None and op in PATHS:
            fault = self._faults.take_request(f"/v5/{PATHS[op]}", candidates(fields), "socket")

        async def effect() -> Message:
            return self._answer(request, await self._reply(op, fields, request, received_ms))

        def refusal(spec: FaultSpec) -> Message:
            assert spec.code is not None
            return self._answer(request, Reply(spec.code, fault_message(spec.code)))

        answer = await effect() if fault is None else await suffer(fault, effect, refusal)
        if answer is not None:
            await self._send(answer)
        else:
            self._faults.cut(self._websocket.scope)

    async def _reply(self, op: str, fields: Message | None, request: Message, received_ms: float) -> Reply:
        try:
            key = self._allowed(op, fields, request)
        except Refusal as refusal:
            return Reply.of(refusal)
        assert fields is not None
        return await self._calls.call("POST", PATHS[op], fields, key, received_ms)

    def _allowed(self, op: str, fields: Message | None, request: Message) -> ApiKey:
        """The key the request trades with. Raises Refusal."""
        if self._key is None:
            raise Refusal(10003, "the connection is not authenticated: send op auth first")
        if op not in PATHS:
            raise Refusal(10404, f"op {op!r} is not found: {', '.join(PATHS)}")
        if fields is None:
            raise params_error("args takes exactly one object")
        if fields.get("category") not in list(Category):
            raise Refusal(10404, f"category {fields.get('category')!r} is not correct: spot or linear")
        header = request.get("header")
        header = header if isinstance(header, Mapping) else {}
        window = header.get("X-BAPI-RECV-WINDOW") or DEFAULT_RECV_WINDOW_MS
        check_window(str(header.get("X-BAPI-TIMESTAMP", "")), str(window), self._wall.now_ms())
        check_may_trade(self._key)
        self._use_once(request.get("reqId"))
        return self._key

    def _use_once(self, req_id: Any) -> None:
        if req_id in (None, ""):
            return
        if len(str(req_id)) > REQ_ID_LENGTH:
            raise params_error(f"reqId is longer than {REQ_ID_LENGTH} characters")
        if str(req_id) in self._req_ids:
            raise Refusal(20006, "reqId is duplicated")
        self._req_ids[str(req_id)] = None
        if len(self._req_ids) > _REMEMBERED:
            self._req_ids.popitem(last=False)

    def _answer(self, request: Message, reply: Reply) -> Message:
        now_ms = self._wall.now_ms()
        numbers = {} if reply.visit is None else reply.visit.headers(now_ms)
        told: Message = {"reqId": request["reqId"]} if "reqId" in request else {}
        return {
            **told,
            "retCode": reply.code,
            "retMsg": reply.message,
            "op": request.get("op", ""),
            "data": reply.result,
            "retExtInfo": reply.ext_info,
            "header": {**numbers, "Traceid": uuid4().hex, "Timenow": str(now_ms)},
            "connId": self._conn_id,
        }

    async def _send(self, message: Message) -> None:
        try:
            await self._websocket.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError):
            return  # the client is gone: it will have to ask what became of its request

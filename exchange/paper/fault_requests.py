"""Around the whole application: the faults of requests and of sockets, applied before anything else looks at them."""

from __future__ import annotations

import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.candle import from_ms
from exchange.paper.connections import Connections, address_of
from exchange.paper.fault_rules import TOO_MANY_VISITS, Fault, FaultSpec
from exchange.paper.faults import Faults, suffer

MESSAGES = {10000: "Server Timeout", TOO_MANY_VISITS: "Too many visits!", 10016: "Server error."}
_CANDLES = "/v5/market/kline"

Answer = list[Message]


class FaultMiddleware:
    """Applies the active faults to what goes on under ``/v5/``, and knows the open sockets."""

    def __init__(self, app: ASGIApp, faults: Faults, connections: Connections) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not scope["path"].startswith("/v5/"):
            await self._app(scope, receive, send)
            return
        maintenance = self._faults.maintenance(scope["path"])
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, maintenance)
        elif maintenance is not None:
            await _send_all(_of_maintenance(maintenance), send)
        elif self._faults.any_of_requests:
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, maintenance: Fault | None) -> None:
        if maintenance is not None:
            await _refuse_socket(maintenance.spec.status, receive, send)
            return
        self._connections.socket_opened(scope)
        address = address_of(scope)
        category = scope["path"].removeprefix("/v5/public/")

        async def heard(message: Message) -> None:
            if message["type"] == "websocket.send":
                if self._faults.is_silent(address):
                    return
                if self._faults.hides_candles("socket") and self._unconfirmed(category, message):
                    return
            await send(message)

        try:
            await self._app(scope, receive, heard)
        finally:
            self._connections.socket_closed(scope)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, replay = await _read_body(receive)
        fault = self._faults.take_request(scope["path"], _candidates(scope, body), "rest")

        async def effect() -> Answer:
            told: Answer = []

            async def keep(message: Message) -> None:
                told.append(message)

            await self._app(scope, replay, keep)
            return self._with_gaps(scope, told)

        if fault is None:
            await _send_all(await effect(), send)
            return
        answer = await suffer(fault, effect, lambda spec: _of_fault(fault.id, spec))
        if answer is not None:
            await _send_all(answer, send)
            return
        self._connections.drop(scope)
        while (await receive())["type"] != "http.disconnect":
            pass  # the server must know it is gone, or it would answer 500 for us

    def _with_gaps(self, scope: Scope, answer: Answer) -> Answer:
        """The answer without the candles that are missing."""
        if scope["path"] != _CANDLES or not self._faults.hides_candles("rest"):
            return answer
        parsed = orjson.loads(b"".join(message.get("body", b"") for message in answer))
        rows = parsed.get("result", {}).get("list")
        if not rows:
            return answer
        bar = {name: Request(scope).query_params.get(name, "") for name in ("category", "symbol", "interval")}
        missing = self._faults.leaves_out(bar, [from_ms(int(row[0])) for row in rows], "rest")
        parsed["result"]["list"] = [row for number, row in enumerate(rows) if number not in missing]
        return _json(parsed)

    def _unconfirmed(self, category: str, message: Message) -> bool:
        """Whether a message is the confirmation of a candle that is missing."""
        text = message.get("text") or ""
        if not text.startswith('{"topic":"kline.'):
            return False
        told = orjson.loads(text)
        _, interval, symbol = told["topic"].split(".")
        closed = [row for row in told["data"] if row["confirm"]]
        if not closed:
            return False
        bar = {"category": category, "symbol": symbol, "interval": interval}
        return bool(self._faults.leaves_out(bar, [from_ms(row["start"]) for row in closed], "socket"))


async def _send_all(answer: Answer, send: Send) -> None:
    for message in answer:
        await send(message)


def _of_fault(number: int, spec: FaultSpec) -> Answer:
    if spec.kind == "ret_code":
        assert spec.code is not None
        return _ret(spec.code)
    return _messages(f"fault {number}: {spec.kind}".encode(), spec.status, "text/plain")


def _of_maintenance(fault: Fault) -> Answer:
    if fault.spec.code is not None:
        return _ret(fault.spec.code)
    return _messages(b"maintenance", fault.spec.status, "text/plain")


def fault_message(code: int) -> str:
    """The retMsg beside a code that a fault answers."""
    return MESSAGES.get(code, "a fault asked for this code")


def _ret(code: int) -> Answer:
    now_ms = time.time_ns() // 1_000_000
    answer = _json({"retCode": code, "retMsg": fault_message(code), "result": {}, "retExtInfo": {}, "time": now_ms})
    if code == TOO_MANY_VISITS:
        limit = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": str(now_ms + 1000)}
        answer[0]["headers"] += [(name.lower().encode(), value.encode()) for name, value in limit.items()]
    return answer


def _json(content: Any) -> Answer:
    return _messages(orjson.dumps(content), 200, "application/json")


def _messages(body: bytes, status: int, media_type: str) -> Answer:
    headers = Response(body, status_code=status, media_type=media_type).raw_headers
    return [
        {"type": "http.response.start", "status": status, "headers": list(headers)},
        {"type": "http.response.body", "body": body},
    ]


async def _refuse_socket(status: int, receive: Receive, send: Send) -> None:
    await receive()  # the wish to connect
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"maintenance"})


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


def _candidates(scope: Scope, body: bytes) -> list[dict[str, str]]:
    if scope["method"] == "GET":
        return [dict(Request(scope).query_params)]
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [{}]
    return candidates(parsed) if isinstance(parsed, dict) else [{}]


def candidates(request: dict[str, Any]) -> list[dict[str, str]]:
    """The fields of a request by which a fault may know it: for a batch, of each of its items."""
    outer = {name: str(value) for name, value in request.items()}
    items = request.get("request")
    if not isinstance(items, list):
        return [outer]
    return [outer | {name: str(v) for name, v in item.items()} for item in items if isinstance(item, dict)] or [outer]

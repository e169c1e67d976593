"""How a request that changes something goes out: over the trade socket if that is wanted and there, else by REST.

Never both: an order goes by REST after all only if nothing of it was written to the socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from exchange.bybit.endpoints import endpoint_of
from exchange.bybit.errors import sort_code
from exchange.bybit.limiter import RateLimiter
from exchange.bybit.rest import TIME_REFUSED, Answer, RestClient, latest
from exchange.bybit.socket import Frame, NotWritten
from exchange.bybit.trade_socket import TradeSocket
from exchange.protocol import OutcomeUnknown
from observability.logs import get_logger

log = get_logger(__name__)

_OPERATIONS = {"place_order": "order.create", "amend_order": "order.amend", "cancel_order": "order.cancel"}
"""What the trade socket does, by pybit's name of the REST call."""


@dataclass
class OrderEntry:
    """``socket`` None: by REST always. ``on_time_refused`` is called when a timestamp was refused (10002)."""

    rest: RestClient
    limiter: RateLimiter
    timeout_seconds: float
    on_time_refused: Callable[[], None]
    socket: TradeSocket | None = None

    @property
    def way(self) -> Literal["rest", "websocket"]:
        """How orders go out now."""
        return "websocket" if self.socket is not None and self.socket.ready else "rest"

    async def send(
        self, method: str, *, urgent: bool = False, not_after: datetime | None = None, **params: Any
    ) -> Answer:
        """Send once, wherever. ``method`` is pybit's; raises the protocol's errors."""
        operation = _OPERATIONS.get(method)
        if operation is not None and self.socket is not None and self.socket.ready:
            try:
                return await self._over_socket(self.socket, method, operation, urgent, not_after, params)
            except NotWritten as gone:
                log.warning("order goes by REST", method=method, reason=str(gone))
        return await self.rest.order(method, urgent=urgent, not_after=not_after, **params)

    async def _over_socket(
        self,
        socket: TradeSocket,
        method: str,
        operation: str,
        urgent: bool,
        not_after: datetime | None,
        params: dict[str, Any],
    ) -> Answer:
        endpoint = endpoint_of(method, params["category"])
        until = latest(self.timeout_seconds, not_after)
        await self.limiter.turn(endpoint, until=until, symbol=params["symbol"], urgent=urgent, http=False)
        sent = time.monotonic()
        present = {name: value for name, value in params.items() if value is not None}
        frame = await socket.request(operation, present, not_after)
        headers, code = _headers(frame), frame.get("retCode")
        if not isinstance(code, int):
            raise OutcomeUnknown(f"{operation}: an answer without retCode")
        self.limiter.learn(endpoint, headers, code, sent)
        if code == TIME_REFUSED:
            self.on_time_refused()
        if code != 0:
            raise sort_code(code, str(frame.get("retMsg")))
        return {"retCode": 0, "result": frame.get("data"), "time": headers.get("Timenow")}


def _headers(frame: Frame) -> dict[str, str]:
    headers = frame.get("header")
    return {name: str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}

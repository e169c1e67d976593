"""How often one may ask, as Bybit counts it: per endpoint and account in a rolling window, and per address.

The numbers are those of Bybit's page "Rate Limit Rules" for a unified account without an upgrade; endpoints it doesn't
list are given what its clients assume (10 a second). The order endpoints count spot and linear apart, batches count
their items, and the trade socket's operations count where their REST endpoints do. Time is the wall's, whatever the
speed of the market. An address is refused while its window is full; Bybit's ban of ten minutes isn't made.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.market import Category

TOO_MANY = (10006, "Too many visits!")
IP_REQUESTS, IP_SECONDS = 600, 5.0
_MOST_ADDRESSES = 1_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` requests (items, of a batch) in any ``seconds``."""

    count: int
    seconds: float = 1.0


_TEN, _TWENTY, _FIFTY, _FIVE = Rate(10), Rate(20), Rate(50), Rate(5)
_A_MINUTE = Rate(60, 60.0)
_ORDERS = {Category.LINEAR: _TEN, Category.SPOT: _TWENTY}

UNLISTED = _TEN
RATES: dict[str, Rate | dict[Category, Rate]] = {
    "order/create": _ORDERS,
    "order/amend": _TEN,
    "order/cancel": _ORDERS,
    "order/cancel-all": _ORDERS,
    "order/create-batch": _ORDERS,
    "order/amend-batch": _ORDERS,
    "order/cancel-batch": _ORDERS,
    "order/realtime": _FIFTY,
    "order/history": _FIFTY,
    "execution/list": _FIFTY,
    "position/list": _FIFTY,
    "position/closed-pnl": _FIFTY,
    "position/set-leverage": _TEN,
    "position/trading-stop": _TEN,
    "position/switch-mode": _TEN,
    "account/wallet-balance": _FIFTY,
    "account/transaction-log": Rate(30),
    "account/fee-rate": {Category.LINEAR: _TEN, Category.SPOT: _FIVE},
    "account/info": _FIFTY,
    "user/query-api": _TEN,
    "asset/coin/query-info": _FIVE,
    "asset/transfer/inter-transfer": _A_MINUTE,
    "asset/transfer/query-inter-transfer-list": _A_MINUTE,
    "asset/transfer/query-account-coin-balance": _FIVE,
    "asset/transfer/query-account-coins-balance": _FIVE,
}


@dataclass(frozen=True, slots=True)
class Visit:
    """What a request was granted: ``granted`` of the items it asked for. ``reset_in_ms``: 0 while more may come."""

    limit: int
    remaining: int
    granted: int
    reset_in_ms: int

    def headers(self, wall_ms: int) -> dict[str, str]:
        """The headers that tell a client where it stands."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(wall_ms + self.reset_in_ms),
        }


class RateLimits:
    """The account's visits. ``scale`` multiplies every limit; None: no limits, and no headers about them."""

    def __init__(self, scale: float | None = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self._scale = scale
        self._now = now
        self._windows: dict[tuple[str, Category | None], _Window] = {}

    def visit(self, endpoint: str, category: Category | None, items: int = 1) -> Visit | None:
        """Count a visit of ``endpoint`` with ``items`` items, as many of them as the window has room for."""
        if self._scale is None:
            return None
        rate = RATES.get(endpoint, UNLISTED)
        if isinstance(rate, Mapping):
            # a request that names no category is refused anyway: it counts where limits are tightest
            category = category or Category.LINEAR
            rate = rate[category]
        else:
            category = None
        window = self._windows.get((endpoint, category))
        if window is None:
            window = self._windows[endpoint, category] = _Window(_scaled(rate, self._scale))
        return window.take(items, self._now())


class _Window:
    """The instants of the visits that still count."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._taken: deque[float] = deque()

    def take(self, items: int, now: float) -> Visit:
        while self._taken and self._taken[0] <= now - self._rate.seconds:
            self._taken.popleft()
        granted = min(items, self._rate.count - len(self._taken))
        self._taken.extend([now] * granted)
        remaining = self._rate.count - len(self._taken)
        wait = max(math.ceil((self._taken[0] + self._rate.seconds - now) * 1000), 1) if remaining == 0 else 0
        return Visit(self._rate.count, remaining, granted, wait)


class AddressLimit:
    """Sits around the application and answers 403 to an address that asks too often under ``/v5/``."""

    def __init__(self, app: ASGIApp, scale: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._rate = None if scale is None else _scaled(Rate(IP_REQUESTS, IP_SECONDS), scale)
        self._now = now
        self._windows: dict[str, _Window] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v5/") and not self._may(scope["client"][0]):
            refusal = JSONResponse({"retCode": 10018, "retMsg": "403, access too frequent"}, status_code=403)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _may(self, address: str) -> bool:
        if self._rate is None:
            return True
        window = self._windows.get(address)
        if window is None:
            if len(self._windows) >= _MOST_ADDRESSES:
                self._windows.clear()
            window = self._windows[address] = _Window(self._rate)
        return bool(window.take(1, self._now()).granted)


def _scaled(rate: Rate, scale: float) -> Rate:
    return Rate(max(1, int(rate.count * scale)), rate.seconds)

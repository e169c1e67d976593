"""What the account is asked: orders, executions, positions, money, and what its key may do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.market import Category
from exchange.bybit import parsing
from exchange.bybit.errors import unreadable_is_unknown
from exchange.bybit.market_time import PaperTime, WallTime
from exchange.bybit.parsing import milliseconds
from exchange.bybit.rest import RestClient, windows
from exchange.protocol import Execution, KeyRights, OrderReport, PositionReport, TransactionLogRow, Wallet

SEVEN_DAYS_MS = 7 * 24 * 3600 * 1000
_SETTLE_COIN = "USDT"


class AccountQueries:
    """The account's part of the gateway, without what changes it."""

    _rest: RestClient
    _time: PaperTime | WallTime

    @unreadable_is_unknown
    async def find_order(self, category: Category, symbol: str, order_link_id: str) -> OrderReport | None:
        """Realtime, then history. None means: not found in either (which alone proves nothing)."""
        for method in ("get_open_orders", "get_order_history"):
            answer = await self._rest.query(method, category=category.value, symbol=symbol, orderLinkId=order_link_id)
            for row in answer["result"]["list"]:
                if row.get("orderLinkId") == order_link_id:
                    return parsing.order(category, row)
        return None

    @unreadable_is_unknown
    async def open_orders(self, category: Category, symbol: str | None = None) -> list[OrderReport]:
        """Orders resting or waiting for their trigger, every page."""
        rows = await self._rest.rows(
            "get_open_orders", category=category.value, **_narrowed(category, symbol), openOnly=0, limit=50
        )
        return [parsing.order(category, row) for row in rows]

    @unreadable_is_unknown
    async def executions(
        self,
        category: Category,
        *,
        symbol: str | None = None,
        order_link_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Execution]:
        """All matching executions, oldest first, every page; without ``since`` those of the last seven days."""
        rows = await self._dated_rows(
            "get_executions",
            since,
            category=category.value,
            symbol=symbol,
            orderLinkId=order_link_id,
            limit=100,
        )
        found = {row["execId"]: parsing.execution(category, row) for row in reversed(rows)}
        return sorted(found.values(), key=lambda execution: execution.executed_at)

    @unreadable_is_unknown
    async def positions(self, category: Category = Category.LINEAR, symbol: str | None = None) -> list[PositionReport]:
        """Linear positions; without ``symbol`` only those that are not flat. Spot has none: []."""
        if category is Category.SPOT:
            return []
        rows = await self._rest.rows("get_positions", category=category.value, **_narrowed(category, symbol), limit=200)
        return [parsing.position(category, row) for row in rows]

    @unreadable_is_unknown
    async def key_rights(self) -> KeyRights:
        """What the key may do. Refused in demo mode, where the exchange doesn't tell."""
        answer = await self._rest.query("get_api_key_information")
        return parsing.key_rights(answer["result"])

    @unreadable_is_unknown
    async def wallet(self) -> Wallet:
        """The unified account."""
        answer = await self._rest.query("get_wallet_balance", accountType="UNIFIED")
        return parsing.wallet(answer["result"]["list"][0])

    @unreadable_is_unknown
    async def transaction_log(self, since: datetime | None = None) -> list[TransactionLogRow]:
        """Every change of the wallet, oldest first, every page; without ``since`` those of the last 24 hours."""
        rows = await self._dated_rows("get_transaction_log", since, accountType="UNIFIED", limit=50)
        found = {row["id"]: parsing.transaction(row) for row in reversed(rows)}
        return sorted(found.values(), key=lambda row: row.at)

    async def _dated_rows(self, method: str, since: datetime | None, **params: Any) -> list[dict[str, Any]]:
        """Newest first, as each window tells them; windows of at most seven days from ``since`` to the market's now."""
        if since is None:
            return await self._rest.rows(method, **params)
        until = (await self._time.read(max_age_seconds=0.0)).now
        rows: list[dict[str, Any]] = []
        for start, end in windows(milliseconds(since), milliseconds(max(until, since)), SEVEN_DAYS_MS):
            rows = await self._rest.rows(method, **params, startTime=start, endTime=end) + rows
        return rows


def _narrowed(category: Category, symbol: str | None) -> dict[str, str]:
    """Linear lists want a symbol or a settle coin, spot ones take neither."""
    if symbol is not None:
        return {"symbol": symbol}
    return {"settleCoin": _SETTLE_COIN} if category is Category.LINEAR else {}

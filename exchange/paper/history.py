"""Reading the journal: orders, executions and log rows, newest first, page by page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from exchange.paper.core.model import ClosedPnl, Execution, LogRow, Order
from exchange.paper.journal_rows import CLOSED_PNLS, EXECUTIONS, LOG_ROWS, ORDERS

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """``before`` is the sequence the next page starts below; None at the end."""

    rows: list[T]
    before: int | None


@dataclass(frozen=True)
class Window:
    """Times in market milliseconds, both ends included."""

    start_ms: int
    end_ms: int


class History:
    """Queries over the journal's read connection. A filter that is None or "" is no filter."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def orders(
        self,
        category: str,
        *,
        symbols: Sequence[str] | None = None,
        order_id: str = "",
        link_id: str = "",
        status: str = "",
        order_filter: str = "",
        is_open: bool | None = None,
        open_or_among: Sequence[int] | None = None,
        window: Window | None = None,
        unfilled_after_ms: int | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> Page[Order]:
        """Orders by creation, newest first. ``symbols`` None are all. ``unfilled_after_ms`` leaves out closed orders
        without a fill that were last touched before it, ``open_or_among`` closed ones of other sequences."""
        where = _Where(
            category=category,
            order_id=order_id,
            link_id=link_id,
            status=status,
            order_filter=order_filter,
        )
        where.among("symbol", symbols)
        if is_open is not None:
            where.add("is_open = ?", int(is_open))
        if open_or_among is not None:
            where.add("(is_open = 1 OR sequence IN (SELECT value FROM json_each(?)))", json.dumps(list(open_or_among)))
        if window is not None:
            where.add("created_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        if unfilled_after_ms is not None:
            where.add("(is_open = 1 OR filled = 1 OR updated_ms >= ?)", unfilled_after_ms)
        return self._page("orders", where, ORDERS, before, limit)

    def executions(
        self,
        category: str,
        *,
        symbols: Sequence[str] | None = None,
        order_id: str = "",
        link_id: str = "",
        exec_type: str = "",
        window: Window | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[Execution]:
        where = _Where(category=category, order_id=order_id, link_id=link_id, exec_type=exec_type)
        where.among("symbol", symbols)
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("executions", where, EXECUTIONS, before, limit)

    def log(
        self,
        *,
        category: str = "",
        coin: str = "",
        type: str = "",
        base_coin: str = "",
        window: Window | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> Page[LogRow]:
        """Log rows, newest first. ``base_coin`` leaves rows of symbols that begin with it."""
        where = _Where(category=category, coin=coin, type=type)
        if base_coin:
            where.add("substr(symbol, 1, ?) = ?", len(base_coin), base_coin)
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("log", where, LOG_ROWS, before, limit)

    def transfers(
        self,
        *,
        transfer_id: str = "",
        coin: str = "",
        window: Window | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> Page[LogRow]:
        """The trading account's side of transfers from and to the funding account, newest first."""
        where = _Where(transfer_id=transfer_id, coin=coin)
        where.add("transfer_id <> ''")
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("log", where, LOG_ROWS, before, limit)

    def closed_pnl(
        self, *, symbol: str = "", window: Window | None = None, before: int | None = None, limit: int = 50
    ) -> Page[ClosedPnl]:
        """What orders closed of linear positions, by their first closing fill, newest first."""
        where = _Where(symbol=symbol)
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("closed_pnl", where, CLOSED_PNLS, before, limit)

    def every_order(self) -> Iterator[Order]:
        """All orders there ever were, oldest first."""
        return self._every("orders", ORDERS)

    def every_execution(self) -> Iterator[Execution]:
        return self._every("executions", EXECUTIONS)

    def every_log_row(self) -> Iterator[LogRow]:
        return self._every("log", LOG_ROWS)

    def every_closed_pnl(self) -> Iterator[ClosedPnl]:
        return self._every("closed_pnl", CLOSED_PNLS)

    def _page(self, table: str, where: _Where, adapter: TypeAdapter[T], before: int | None, limit: int) -> Page[T]:
        if before is not None:
            where.add("sequence < ?", before)
        found = self._connection.execute(
            f"SELECT sequence, body FROM {table} WHERE {where.sql} ORDER BY sequence DESC LIMIT ?",
            (*where.values, limit + 1),
        ).fetchall()
        rows = [adapter.validate_json(body) for _, body in found[:limit]]
        return Page(rows, found[limit - 1][0] if len(found) > limit else None)

    def _every(self, table: str, adapter: TypeAdapter[T]) -> Iterator[T]:
        for (body,) in self._connection.execute(f"SELECT body FROM {table} ORDER BY sequence").fetchall():
            yield adapter.validate_json(body)


class _Where:
    """Conditions joined by AND; columns whose wanted value is "" are left out."""

    def __init__(self, **columns: str) -> None:
        self._conditions: list[str] = ["1"]
        self._values: list[Any] = []
        for column, value in columns.items():
            if value:
                self.add(f"{column} = ?", value)

    def add(self, condition: str, *values: Any) -> None:
        self._conditions.append(condition)
        self._values += values

    def among(self, column: str, wanted: Sequence[str] | None) -> None:
        """Only rows whose column is one of ``wanted``; None is no condition."""
        if wanted is not None:
            self.add(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(wanted)))

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions)

    @property
    def values(self) -> Sequence[Any]:
        return self._values

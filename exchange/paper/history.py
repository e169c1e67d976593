"""Reading the journal: orders, executions and log rows, newest first, page by page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from exchange.paper.core.model import Execution, LogRow, Order
from exchange.paper.journal_rows import EXECUTIONS, LOG_ROWS, ORDERS

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
        symbol: str = "",
        order_id: str = "",
        link_id: str = "",
        status: str = "",
        order_filter: str = "",
        is_open: bool | None = None,
        window: Window | None = None,
        unfilled_after_ms: int | None = None,
        closed_after_ms: int | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> Page[Order]:
        """Orders by creation, newest first. ``unfilled_after_ms`` leaves out closed orders without a fill that were
        last touched before it, ``closed_after_ms`` every closed one."""
        where = _Where(
            category=category,
            symbol=symbol,
            order_id=order_id,
            link_id=link_id,
            status=status,
            order_filter=order_filter,
        )
        if is_open is not None:
            where.add("is_open = ?", int(is_open))
        if window is not None:
            where.add("created_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        if unfilled_after_ms is not None:
            where.add("(is_open = 1 OR filled = 1 OR updated_ms >= ?)", unfilled_after_ms)
        if closed_after_ms is not None:
            where.add("(is_open = 1 OR updated_ms >= ?)", closed_after_ms)
        return self._page("orders", where, ORDERS, before, limit)

    def executions(
        self,
        category: str,
        *,
        symbol: str = "",
        order_id: str = "",
        link_id: str = "",
        window: Window | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page[Execution]:
        where = _Where(category=category, symbol=symbol, order_id=order_id, link_id=link_id)
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("executions", where, EXECUTIONS, before, limit)

    def log(
        self,
        *,
        category: str = "",
        coin: str = "",
        type: str = "",
        window: Window | None = None,
        before: int | None = None,
        limit: int = 20,
    ) -> Page[LogRow]:
        where = _Where(category=category, coin=coin, type=type)
        if window is not None:
            where.add("at_ms BETWEEN ? AND ?", window.start_ms, window.end_ms)
        return self._page("log", where, LOG_ROWS, before, limit)

    def every_order(self) -> Iterator[Order]:
        """All orders there ever were, oldest first."""
        return self._every("orders", ORDERS)

    def every_execution(self) -> Iterator[Execution]:
        return self._every("executions", EXECUTIONS)

    def every_log_row(self) -> Iterator[LogRow]:
        return self._every("log", LOG_ROWS)

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

    @property
    def sql(self) -> str:
        return " AND ".join(self._conditions)

    @property
    def values(self) -> Sequence[Any]:
        return self._values

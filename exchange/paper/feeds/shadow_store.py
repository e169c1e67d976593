"""What a shadow market keeps: the trades it told, where it did not listen, candles it fetched, last known values.

All of it is cut to a bounded size, by ``prune``. Written by one thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from domain.candle import EPOCH, from_ms, to_ms
from domain.market import Category, Side
from exchange.paper.feed import Bar, Tick
from exchange.paper.feeds.shadow_wire import Name

_MICROSECOND = timedelta(microseconds=1)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS trades (number INTEGER PRIMARY KEY, category TEXT NOT NULL, symbol TEXT NOT NULL,
    sequence INTEGER NOT NULL, at_us INTEGER NOT NULL, price TEXT NOT NULL, qty TEXT NOT NULL, side TEXT NOT NULL,
    trade_id TEXT NOT NULL, UNIQUE (category, symbol, sequence));
CREATE TABLE IF NOT EXISTS candles (kind TEXT NOT NULL, category TEXT NOT NULL, symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL, open_ms INTEGER NOT NULL, block INTEGER NOT NULL, row TEXT NOT NULL,
    PRIMARY KEY (kind, category, symbol, timeframe, open_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (category TEXT NOT NULL, begin_ms INTEGER NOT NULL, end_ms INTEGER,
    PRIMARY KEY (category, begin_ms));
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

Series = tuple[str, Category, str, str]  # kind of price, category, symbol, timeframe


class ToldTrade(NamedTuple):
    """A trade with the instant it was told at, and the real exchange's id of it."""

    tick: Tick
    trade_id: str


class ShadowStore:
    """The SQLite file at ``path``. Raises sqlite3.Error when it can't be used."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A committed write-ahead log survives a killed process; a power cut could lose the last trades told.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def fact(self, key: str) -> Any:
        """A kept value (JSON); None where there is none."""
        found = self._database.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def facts(self, prefix: str) -> dict[str, Any]:
        """Kept values whose keys begin with ``prefix``, by the rest of the key."""
        rows = self._database.execute("SELECT key, value FROM facts WHERE key GLOB ? || '*'", (prefix,))
        return {key.removeprefix(prefix): json.loads(value) for key, value in rows}

    def keep(self, facts: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def trades(self) -> Iterator[ToldTrade]:
        columns = "category, symbol, at_us, price, qty, side, sequence, trade_id"
        for category, symbol, at_us, price, qty, side, sequence, trade_id in self._database.execute(
            f"SELECT {columns} FROM trades ORDER BY number"
        ):
            at = EPOCH + at_us * _MICROSECOND
            tick = Tick(Category(category), symbol, at, Decimal(price), Decimal(qty), Side(side), sequence)
            yield ToldTrade(tick, trade_id)

    def add(self, trades: Iterable[ToldTrade]) -> None:
        self._write(
            "INSERT INTO trades (category, symbol, sequence, at_us, price, qty, side, trade_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    t.category,
                    t.symbol,
                    t.sequence,
                    (t.at - EPOCH) // _MICROSECOND,
                    str(t.price),
                    str(t.qty),
                    t.side,
                    key,
                )
                for t, key in trades
            ],
        )

    def prune(self, name: Name, before: datetime) -> None:
        """Drop an instrument's trades told before an instant."""
        at_us = (before - EPOCH) // _MICROSECOND
        self._write("DELETE FROM trades WHERE category = ? AND symbol = ? AND at_us < ?", [(*name, at_us)])

    def gaps(self) -> list[tuple[Category, int, int | None]]:
        """(category, begin, end) in ms of stretches without listening; None: it goes on."""
        rows = self._database.execute("SELECT category, begin_ms, end_ms FROM gaps ORDER BY begin_ms").fetchall()
        return [(Category(category), begin, end) for category, begin, end in rows]

    def keep_gap(self, category: Category, begin_ms: int, end_ms: int | None) -> None:
        self._write("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)", [(category, begin_ms, end_ms)])

    def candles(self, series: Series, block: int) -> dict[int, Bar]:
        """The kept candles of a block by open time (ms)."""
        rows = self._database.execute(
            "SELECT open_ms, row FROM candles WHERE kind = ? AND category = ? AND symbol = ? AND timeframe = ? "
            "AND block = ?",
            (*series, block),
        )
        return {at: Bar(from_ms(at), *map(Decimal, json.loads(row)), confirmed=True) for at, row in rows}

    def keep_candles(self, series: Series, block: int, bars: Iterable[Bar]) -> None:
        rows = []
        for bar in bars:
            numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover)
            rows.append((*series, to_ms(bar.open_time), block, json.dumps([str(number) for number in numbers])))
        self._write("INSERT OR REPLACE INTO candles VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def drop_candles(self, most: int) -> None:
        """Keep ``most`` candles at the most: the oldest go, and can be fetched again."""
        (count,) = self._database.execute("SELECT count(*) FROM candles").fetchone()
        if count > most:
            newest = "SELECT open_ms FROM candles ORDER BY open_ms DESC LIMIT 1 OFFSET ?"
            self._database.execute(f"DELETE FROM candles WHERE open_ms <= ({newest})", (most,))

    def _write(self, statement: str, rows: list[Any]) -> None:
        if not rows:
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(statement, rows)
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

"""A market whose trades are pushed by hand: flat until then, for deterministic tests and for measuring.

History before the start is flat at each instrument's opening price, without volume. Pushed trades are on disk before
they are told, so that a killed exchange goes on with them. The book is the same at all times: half a spread of
``HALF_SPREAD_BPS`` and ``DEPTH_PER_BP`` quote coins a basis point at the opening price.

A symbol's index follows its perpetual until the first spot trade is pushed, and the spot price from then on: who pushes
perpetuals alone has them marked where they trade.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from domain.candle import EPOCH, Timeframe, from_ms, to_ms
from domain.market import Category, FilterViolation, Instrument, Side
from exchange.paper.feed import AccountRatio, Bar, Interest, Liquidity, Tick
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.reference_prices import ReferencedPerpetuals, ReferencePrices
from exchange.paper.feeds.tape_prices import TapePrices
from exchange.paper.feeds.trade_tape import TradeTape
from exchange.paper.instruments import make_instrument

HALF_SPREAD_BPS = 1.0
DEPTH_PER_BP = Decimal(100_000)
HISTORY = timedelta(days=450)
_MICROSECOND = timedelta(microseconds=1)
_DEFAULT_LOTS = 100


@dataclass(frozen=True, slots=True)
class PushedTrade:
    """A trade to come. ``qty`` (base coin) defaults to 100 quantity steps, ``side`` to Buy unless the price falls."""

    category: Category
    symbol: str
    price: Decimal
    qty: Decimal | None = None
    side: Side | None = None


class ManualFeed(ReferencedPerpetuals):
    """A ``Feed`` without an end. ``opening`` maps symbols to the price their flat history stands at."""

    end: datetime | None = None

    def __init__(self, path: Path, opening: Mapping[str, Decimal], start: datetime) -> None:
        self.start = start
        told = f"{start.isoformat()} {sorted((symbol, str(price)) for symbol, price in opening.items())}"
        self.epoch = f"manual-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        self._tapes = {
            (category, symbol): TradeTape(price)
            for category in sorted(Category)
            for symbol, price in sorted(opening.items())
        }
        self._instruments = {name: make_instrument(*name, tape.opening) for name, tape in self._tapes.items()}
        self._indexes = {symbol: TradeTape(price) for symbol, price in sorted(opening.items())}
        self._spot_traded: set[str] = set()
        self._references = {symbol: self._make_reference(symbol) for symbol in self._indexes}
        self._told_until = start
        self._database = _open(path)
        for tick in _stored(self._database):
            self._append(tick)
            self._told_until = max(self._told_until, tick.at)

    def push(self, trades: Sequence[PushedTrade], now: datetime) -> list[Tick]:
        """Make ``trades`` happen now, in their order, and store them; all or none.

        They get the instant ``now``, or the first one not yet told if that is later. Raises UnknownSymbol, or
        FilterViolation for a price off tick or a quantity that is not above 0.
        """
        at = max(now, self._told_until + _MICROSECOND)
        made: list[Tick] = []
        last: dict[tuple[Category, str], tuple[int, Decimal]] = {}
        for trade in trades:
            name = trade.category, trade.symbol
            tape, instrument = self._of(*name), self._instruments[name]
            instrument.check_price(trade.price)
            qty = trade.qty if trade.qty is not None else instrument.qty_step * _DEFAULT_LOTS
            if qty <= 0:
                raise FilterViolation("qty", f"{qty} must be above 0")
            sequence, before = last.get(name, (tape.last_sequence, tape.last_price))
            side = trade.side or (Side.SELL if trade.price < before else Side.BUY)
            made.append(Tick(*name, at, trade.price, qty, side, sequence + 1))
            last[name] = sequence + 1, trade.price
        _store(self._database, made)
        for tick in made:
            self._append(tick)
        return made

    def close(self) -> None:
        self._database.close()

    def instruments(self) -> list[Instrument]:
        return list(self._instruments.values())

    def ticks(self, after: datetime, until: datetime) -> Iterator[Tick]:
        self._told_until = max(self._told_until, until)
        found = [tick for tape in self._tapes.values() for tick in tape.between(after, until)]
        found.sort(key=lambda tick: (tick.at, tick.category, tick.symbol, tick.sequence))
        return iter(found)

    def trades(self, category: Category, symbol: str, after: datetime, until: datetime) -> Iterator[Tick]:
        return iter(self._of(category, symbol).between(after, until))

    def recent_ticks(self, category: Category, symbol: str, now: datetime, limit: int) -> list[Tick]:
        return self._of(category, symbol).recent(now, limit)

    def bars(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        frame = Timeframe(timeframe)
        earliest = frame.ceil_ms(to_ms(max(start, self.start - HISTORY) + timedelta(microseconds=999)))
        latest = min(frame.floor_ms(to_ms(min(end, now))), frame.floor_ms(to_ms(now)))
        tape = self._of(category, symbol)
        opens = (from_ms(ms) for ms in range(earliest, latest + 1, frame.milliseconds))
        return [bar for open_time in opens if (bar := tape.bar(open_time, frame.duration, now)) is not None]

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        return self._of(category, symbol).price_at(now)

    def open_interest(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[Interest]:
        self._of(Category.LINEAR, symbol)
        return []

    def account_ratio(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[AccountRatio]:
        self._of(Category.LINEAR, symbol)
        return []

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        return Liquidity(HALF_SPREAD_BPS, float(DEPTH_PER_BP / self._of(category, symbol).opening))

    def _append(self, tick: Tick) -> None:
        self._tapes[tick.category, tick.symbol].append(tick)
        if tick.category is Category.SPOT:
            self._spot_traded.add(tick.symbol)
        if tick.category is Category.SPOT or tick.symbol not in self._spot_traded:
            self._indexes[tick.symbol].append(tick)

    def _reference(self, symbol: str) -> ReferencePrices:
        self._of(Category.LINEAR, symbol)
        return self._references[symbol]

    def _make_reference(self, symbol: str) -> ReferencePrices:
        linear, spot = (self._instruments[category, symbol].tick_size for category in (Category.LINEAR, Category.SPOT))
        first = self.start - HISTORY
        traded = TapePrices(self._tapes[Category.LINEAR, symbol], linear, first)
        return ReferencePrices(traded, TapePrices(self._indexes[symbol], min(linear, spot), first), linear)

    def _of(self, category: Category, symbol: str) -> TradeTape:
        try:
            return self._tapes[category, symbol]
        except KeyError:
            raise UnknownSymbol(f"{category} {symbol}") from None


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # A committed write-ahead log survives a killed process; only a power cut could lose the last trades pushed.
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS trades (number INTEGER PRIMARY KEY, category TEXT NOT NULL, symbol TEXT NOT NULL, "
        "sequence INTEGER NOT NULL, at_us INTEGER NOT NULL, price TEXT NOT NULL, qty TEXT NOT NULL, "
        "side TEXT NOT NULL, UNIQUE (category, symbol, sequence))"
    )
    return database


def _store(database: sqlite3.Connection, ticks: Iterable[Tick]) -> None:
    rows = [
        (t.category, t.symbol, t.sequence, (t.at - EPOCH) // _MICROSECOND, str(t.price), str(t.qty), t.side)
        for t in ticks
    ]
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(
            "INSERT INTO trades (category, symbol, sequence, at_us, price, qty, side) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _stored(database: sqlite3.Connection) -> Iterator[Tick]:
    rows = database.execute("SELECT category, symbol, at_us, price, qty, side, sequence FROM trades ORDER BY number")
    for category, symbol, at_us, price, qty, side, sequence in rows:
        at = EPOCH + at_us * _MICROSECOND
        yield Tick(Category(category), symbol, at, Decimal(price), Decimal(qty), Side(side), sequence)

"""A shadow market: the live public streams of Bybit, on which orders are executed on paper.

Market time is the wall's. A trade happens here at its own stamp or, since it has always been on its way for a while, at
the first instant not yet told: each is told exactly once, in the real exchange's order. It is on disk before it is
told, so that a restarted exchange goes on with the same trades. Candles are sums of told trades where every trade of
them was heard as it came, and the real exchange's own otherwise (before the start, and over stretches without
connection).

While the real exchange is silent orders are still matched, at the last price it told; tickers, mark and index stand
still and the book stays as it was: who trades sees prices age, and decides. Candles, open interest, ratios and funding
are told as far as they are known. Mark, index and books are live: they are not the same again after a restart.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from domain.candle import Timeframe, from_ms, to_ms
from domain.market import Category, Instrument
from exchange.paper.feed import AccountRatio, Bar, Interest, Liquidity, PriceKind, Tick
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.shadow_archive import CandleArchive
from exchange.paper.feeds.shadow_candles import ShadowCandles
from exchange.paper.feeds.shadow_listening import Listening
from exchange.paper.feeds.shadow_series import ShadowSeries
from exchange.paper.feeds.shadow_store import ShadowStore, ToldTrade
from exchange.paper.feeds.shadow_tapes import ShadowTapes
from exchange.paper.feeds.shadow_upstream import (
    Cut,
    Recent,
    Resumed,
    Upstream,
    UpstreamRefused,
    UpstreamSilent,
    UpstreamTrade,
)
from exchange.paper.feeds.shadow_wire import Book, Name, instrument

_FIRST_SECONDS = 15.0
_NOTE_SECONDS = 1.0
_PRUNE_SECONDS = 600.0
_UP_TO_WHOLE_MS = timedelta(microseconds=999)
_UNKNOWN_BOOK = Liquidity(half_spread_bps=5.0, qty_per_bp=0.0)

log = logging.getLogger(__name__)


class ShadowFeed:
    """A ``Feed`` over ``Upstream``, kept in ``path``. One thread asks it; ``ticks`` is what moves it on.

    Raises ValueError when the real exchange can't be reached at the first start, or has none of ``symbols``.
    """

    end: datetime | None = None

    def __init__(self, path: Path, url: str, symbols: Sequence[str]) -> None:
        self._store = ShadowStore(path)
        self._upstream = Upstream(url)
        self._fresh = self._store.fact("start_ms") is None
        try:
            self._instruments = self._known_instruments(symbols)
            self.start = self._begun_at()
        except BaseException:
            self.close()
            raise
        told = f"{self._upstream.url} {sorted(symbols)}"
        self.epoch = f"shadow-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        self._tapes = ShadowTapes(self._store, {name: self._opening(name) for name in self._instruments})
        self._listening = Listening(self._store, {category for category, _ in self._instruments}, _wall_ms())
        self._archive = CandleArchive(self._store, self._upstream.ask, _wall_ms)
        self._candles = ShadowCandles(self._tapes, self._listening, self._archive)
        self._series = ShadowSeries(self._store, self._upstream.ask)
        self._told_until = max(self.start, self._tapes.last_at or self.start)
        self._next_note = self._next_prune = time.monotonic()
        self._listen()

    def close(self) -> None:
        self._upstream.close()
        self._store.close()

    def instruments(self) -> list[Instrument]:
        return list(self._instruments.values())

    def ticks(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """As ``Feed``'s; what has been heard since the last call happens in (``after``, ``until``]."""
        self._told_until = max(self._told_until, after)
        if until > self._told_until:
            self._take_heard(until)
            self._told_until = until
            self._note(until)
        return iter(self._tapes.between(after, until))

    def trades(self, category: Category, symbol: str, after: datetime, until: datetime) -> Iterator[Tick]:
        return iter(self._tapes.of(self._name(category, symbol)).between(after, until))

    def recent_ticks(self, category: Category, symbol: str, now: datetime, limit: int) -> list[Tick]:
        return self._tapes.of(self._name(category, symbol)).recent(now, limit)

    def last_price(self, category: Category, symbol: str, now: datetime) -> Decimal:
        return self._tapes.of(self._name(category, symbol)).price_at(now)

    def bars(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        name, frame = self._name(category, symbol), Timeframe(timeframe)
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        closed = self._candles.closed(name, frame, first, min(last, frame.floor_ms(to_ms(now)) - 1))
        open_ms = frame.floor_ms(to_ms(now))
        forming = self._candles.forming(name, frame, open_ms, now) if first <= open_ms <= last else None
        return [*closed, forming] if forming is not None else closed

    def open_interest(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[Interest]:
        self._name(Category.LINEAR, symbol)
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        return self._series.open_interest(symbol, interval_ms, first, last, limit)

    def account_ratio(
        self, symbol: str, interval_ms: int, start: datetime, end: datetime, now: datetime, limit: int
    ) -> list[AccountRatio]:
        self._name(Category.LINEAR, symbol)
        first, last = to_ms(start + _UP_TO_WHOLE_MS), to_ms(min(end, now))
        return self._series.account_ratio(symbol, interval_ms, first, last, limit)

    def mark_price(self, symbol: str, now: datetime) -> Decimal:
        return self._quoted(symbol, "markPrice", now)

    def index_price(self, symbol: str, now: datetime) -> Decimal:
        return self._quoted(symbol, "indexPrice", now)

    def price_bars(
        self, kind: PriceKind, symbol: str, timeframe: str, start: datetime, end: datetime, now: datetime
    ) -> list[Bar]:
        """The real exchange's; the forming one as listed a few seconds ago, brought to the price of now."""
        category, frame = self._name(Category.LINEAR, symbol)[0], Timeframe(timeframe)
        first, last = frame.ceil_ms(to_ms(start + _UP_TO_WHOLE_MS)), to_ms(min(end, now))
        open_ms, step = frame.floor_ms(to_ms(now)), frame.milliseconds
        opens = range(first, min(last, open_ms - 1) + 1, step)
        bars = self._archive.closed(kind, category, symbol, frame, opens)
        if first <= open_ms <= last:
            price = self.mark_price(symbol, now) if kind is PriceKind.MARK else self.index_price(symbol, now)
            listed = self._archive.forming(kind, category, symbol, frame, open_ms)
            known = (listed.open, listed.high, listed.low) if listed else (price, price, price)
            high, low, none = max(known[1], price), min(known[2], price), Decimal(0)
            bars.append(Bar(from_ms(open_ms), known[0], high, low, price, none, none, confirmed=False))
        return bars

    def funding_rate(self, symbol: str, at: datetime, now: datetime | None = None) -> Decimal:
        """What the real exchange's ticker last announced for ``at``, else what it lists."""
        self._name(Category.LINEAR, symbol)
        self._note_funding(symbol)
        return self._series.funding_rate(symbol, at)

    def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
        """Of the real book: half its spread, and the quantity of its levels over how far they reach."""
        name = self._name(category, symbol)
        book, known = self._upstream.books.get(name), self._instruments[name]
        measured = None if book is None else _liquidity(book, known.tick_size)
        if measured is not None:
            return measured
        price = self.last_price(category, symbol, now)
        least = float(known.min_order_amount * 100 / price)
        return Liquidity(_UNKNOWN_BOOK.half_spread_bps, least)

    # listening

    def _listen(self) -> None:
        """Begin; where nothing is known yet, wait until the last trades are."""
        symbols = {c: [symbol for kind, symbol in self._instruments if kind is c] for c in Category}
        self._upstream.start(symbols)
        if self._fresh:
            begun = time.monotonic()
            for category, names in symbols.items():
                if names:
                    self._upstream.resumed[category].wait(max(begun + _FIRST_SECONDS - time.monotonic(), 0))
            self._take_heard(self.start)

    def _take_heard(self, until: datetime) -> None:
        """Let everything heard so far have happened by ``until``."""
        heard, made = self._upstream.heard, list[ToldTrade]()
        while heard:
            match heard.popleft():
                case UpstreamTrade() as trade:
                    made += self._tapes.place([trade], self._told_until, until)
                case Recent(name, trades):
                    made += self._tapes.place_recent(name, trades, self.start, self._told_until, until)
                case Resumed(category):
                    self._listening.resumed(category, to_ms(until))
                case Cut(category):
                    self._listening.cut(category)
        self._store.add(made)
        self._tapes.append(made)

    def _note(self, until: datetime) -> None:
        """Now and then: how far each category is heard, the last tickers, and an end to what grows."""
        if time.monotonic() < self._next_note:
            return
        self._next_note = time.monotonic() + _NOTE_SECONDS
        self._listening.heard_until(to_ms(until))
        for category, symbol in self._instruments:
            if category is Category.LINEAR:
                self._note_funding(symbol)
        tickers = {
            f"ticker/{category}/{symbol}": row for (category, symbol), row in dict(self._upstream.tickers).items()
        }
        self._store.keep(tickers)
        if time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + _PRUNE_SECONDS
            self._tapes.prune(until)
            self._archive.prune()

    def _note_funding(self, symbol: str) -> None:
        ticker = self._upstream.tickers.get((Category.LINEAR, symbol), {})
        if ticker.get("fundingRate") and ticker.get("nextFundingTime"):
            self._series.note_prediction(symbol, int(ticker["nextFundingTime"]), Decimal(ticker["fundingRate"]))

    # the beginning

    def _known_instruments(self, symbols: Sequence[str]) -> dict[Name, Instrument]:
        """Asked of the real exchange; as they were last time where it does not answer."""
        found: dict[Name, Instrument] = {}
        for category in Category:
            for symbol in symbols:
                row = self._fact_or_ask(
                    f"instrument/{category}/{symbol}", "instruments-info", category=category.value, symbol=symbol
                )
                if row is not None:
                    found[category, symbol] = instrument(category, row)
        if not found:
            raise ValueError(f"shadow: {self._upstream.url} trades none of {', '.join(symbols)}")
        return dict(sorted(found.items()))

    def _fact_or_ask(self, key: str, path: str, **asked: str) -> dict[str, Any] | None:
        """The one row of an answer, kept; None where there is none. Raises ValueError where nothing is known."""
        try:
            rows = self._upstream.ask(path, **asked)["list"]
        except UpstreamRefused:
            return None
        except UpstreamSilent as silent:
            known = self._store.fact(key)
            if known is None and self._fresh:
                raise ValueError(f"shadow: {silent}") from None
            return known
        row = next((row for row in rows if row["symbol"] == asked["symbol"]), None)
        if row is not None:
            self._store.keep({key: row})
        return row

    def _begun_at(self) -> datetime:
        """When this market was first opened."""
        if self._fresh:
            self._store.keep({"start_ms": _wall_ms()})
        return from_ms(self._store.fact("start_ms"))

    def _opening(self, name: Name) -> Decimal:
        """A price from before the first trade."""
        category, symbol = name
        row = self._fact_or_ask(f"ticker/{category}/{symbol}", "tickers", category=category.value, symbol=symbol)
        if row is None or not row.get("lastPrice"):
            raise ValueError(f"shadow: {self._upstream.url} has no price of {symbol} ({category})")
        return Decimal(row["lastPrice"])

    def _quoted(self, symbol: str, price: str, now: datetime) -> Decimal:
        """A price of the perpetual's ticker: as last said, as said before the restart, or the last trade's."""
        name = self._name(Category.LINEAR, symbol)
        row = self._upstream.tickers.get(name) or self._store.fact(f"ticker/{name[0]}/{symbol}") or {}
        told = row.get(price)
        return Decimal(told) if told else self.last_price(*name, now)

    def _name(self, category: Category, symbol: str) -> Name:
        if (category, symbol) not in self._instruments:
            raise UnknownSymbol(f"{category} {symbol}")
        return category, symbol


def _liquidity(book: Book, tick: Decimal) -> Liquidity | None:
    """None for a book without both sides."""
    if not book.bids or not book.asks:
        return None
    bid, ask = max(book.bids), min(book.asks)
    middle = float(bid + ask) / 2

    def in_bps(distance: Decimal) -> float:
        return float(distance) / middle * 1e4

    reaches = in_bps(bid - min(book.bids) + tick) + in_bps(max(book.asks) - ask + tick)
    resting = float(sum(book.bids.values()) + sum(book.asks.values()))
    return Liquidity(max(in_bps(ask - bid) / 2, in_bps(tick) / 2), resting / reaches)


def _wall_ms() -> int:
    return to_ms(datetime.now(UTC))

"""What a guard missed: the exchange's own 1m candles and trades of a gap, walked through the exit kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from activities.guard_watch import MINUTE, Seen, minute_of, saw
from domain.exits import ExitPolicy, ExitReason, GuardState, step_state, walk_bar
from domain.market import Category, PositionSide
from exchange.protocol import Candle, Exchange, Trade


@dataclass(frozen=True, slots=True)
class Walked:
    """Where the guard stands after the gap; ``reason`` if its stop or target was crossed in it.

    ``price`` is the last one walked (None: there was none), ``trade_ids`` are the trades the exchange told.
    """

    state: GuardState
    seen: Seen | None
    reason: ExitReason | None
    price: Decimal | None
    trade_ids: frozenset[str]


async def walk_gap(
    exchange: Exchange,
    category: Category,
    symbol: str,
    state: GuardState,
    seen: Seen | None,
    policy: ExitPolicy,
    now: datetime,
) -> Walked:
    """Walk everything the exchange still tells between ``state.as_of`` and ``now`` (market time).

    Trades are exact and come first in trust; candles cover what is older than the oldest trade told. So a peak reached
    while nobody looked counts, and a stop crossed unseen is an exit even if the price came back. ``policy`` is the one
    ``state`` was made under, ``seen`` what the guard knows of the minute of ``state.as_of``. Raises ExchangeError.
    """
    trades = await exchange.recent_trades(category, symbol)
    oldest = trades[0].at if trades else now
    candles: Sequence[Candle] = ()
    if oldest > state.as_of:
        candles = await exchange.candles(category, symbol, "1m", minute_of(state.as_of), oldest)
    return walk(state, seen, policy, candles, trades, now)


def walk(
    state: GuardState,
    seen: Seen | None,
    policy: ExitPolicy,
    candles: Sequence[Candle],
    trades: Sequence[Trade],
    now: datetime,
) -> Walked:
    """``candles`` up to the first of ``trades`` (up to ``now`` if there are none), then the trades; oldest first."""
    walking = _Walk(state, seen, policy)
    until = trades[0].at if trades else now
    for candle in candles:
        walking.take_candle(candle, trades, until)
    for trade in trades:
        # A trade in the very millisecond the guard stopped at may be one it judged, before a later one raised the stop.
        if trade.at != state.as_of or seen is None or not seen.covers(trade.price):
            walking.take_price(trade.price, trade.at)
    ids = frozenset(trade.trade_id for trade in trades)
    return Walked(walking.state, walking.seen, walking.reason, walking.price, ids)


def play(walked: Walked, policy: ExitPolicy, queued: Sequence[Trade]) -> Walked:
    """Go on with the trades that the stream brought during the walk, less those the exchange told in it already."""
    walking = _Walk(walked.state, walked.seen, policy)
    walking.reason, walking.price = walked.reason, walked.price
    for trade in queued:
        if trade.trade_id not in walked.trade_ids:
            walking.take_price(trade.price, trade.at)
    return Walked(walking.state, walking.seen, walking.reason, walking.price, walked.trade_ids)


class _Walk:
    """A guard on its way through a gap; once there is a reason to leave it goes no further."""

    def __init__(self, state: GuardState, seen: Seen | None, policy: ExitPolicy) -> None:
        self.state, self.seen, self._policy = state, seen, policy
        self.reason: ExitReason | None = None
        self.price: Decimal | None = None

    def take_price(self, price: Decimal, at: datetime) -> None:
        if self.reason is None and at >= self.state.as_of:
            self.seen, self.price = saw(self.seen, price, at), price
            self.state, self.reason = step_state(self.state, self._policy, price, at)

    def take_candle(self, candle: Candle, trades: Sequence[Trade], until: datetime) -> None:
        """A candle up to ``until``, from where the trades tell the rest.

        The candle in which the position was opened is left out: its extremes may be older than the position. An
        extreme that a told trade made, or that the guard saw itself, is no news; any other happened unseen.
        """
        begins, end = candle.open_time, min(candle.open_time + MINUTE, until)
        if self.reason is not None or begins < self.state.opened_at or end <= max(begins, self.state.as_of):
            return
        open_, high, low, close = (_price(value) for value in (candle.open, candle.high, candle.low, candle.close))
        known = [trade.price for trade in trades if trade.at < begins + MINUTE]
        if known:
            close = trades[0].price
        if begins < self.state.as_of:
            known.append(open_)  # where the minute before left off: the oldest price of this one
        if self.seen is not None and self.seen.minute == begins:
            known += [self.seen.low, self.seen.high]
        new_low, new_high = not known or low < min(known), not known or high > max(known)
        if begins < self.state.as_of:
            self._take_rest(low if new_low else None, high if new_high else None, close, end)
        else:
            high, low = high if new_high else max(open_, close), low if new_low else min(open_, close)
            self.price = close
            self.state, leaving = walk_bar(self.state, self._policy, open_, high, low, close, begins, end)
            if leaving is not None:
                self.reason, self.price = leaving
        for price in (low, high):
            self.seen = saw(self.seen, price, begins)

    def _take_rest(self, low: Decimal | None, high: Decimal | None, close: Decimal, end: datetime) -> None:
        """The unseen part of a minute whose beginning was seen: its new extremes, the adverse one first."""
        extremes = (low, high) if self.state.side is PositionSide.LONG else (high, low)
        for extreme in extremes:
            if extreme is not None:
                self.take_price(extreme, self.state.as_of)
        self.take_price(close, end)


def _price(value: float) -> Decimal:
    return Decimal(repr(value))

"""What a guard missed: the exchange's own 1m candles and trades of a gap, walked through the exit kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain.exits import ExitPolicy, ExitReason, GuardState, step_state, walk_bar
from domain.market import Category
from exchange.protocol import Candle, Exchange, Trade

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Walked:
    """Where the guard stands after the gap; ``reason`` and ``price`` if its stop or target was crossed in it."""

    state: GuardState
    reason: ExitReason | None = None
    price: Decimal | None = None


async def walk_gap(
    exchange: Exchange, category: Category, symbol: str, state: GuardState, policy: ExitPolicy, now: datetime
) -> Walked:
    """Walk everything the exchange still tells between ``state.as_of`` and ``now`` (market time).

    Trades are exact and come first in trust; candles cover what is older than the oldest trade told. So a peak reached
    while nobody looked counts, and a stop crossed unseen is an exit even if the price came back. Raises ExchangeError.
    """
    trades = await exchange.recent_trades(category, symbol)
    oldest = trades[0].at if trades else now
    walked = Walked(state)
    if oldest > state.as_of:
        start = state.as_of.replace(second=0, microsecond=0)
        candles = await exchange.candles(category, symbol, "1m", start, oldest)
        walked = _walk_candles(state, policy, candles, trades, oldest)
    for trade in trades:
        if walked.reason is not None:
            break
        after, reason = step_state(walked.state, policy, trade.price, trade.at)
        walked = Walked(after, reason, trade.price if reason else None)
    return walked


def _walk_candles(
    state: GuardState, policy: ExitPolicy, candles: Sequence[Candle], trades: Sequence[Trade], oldest: datetime
) -> Walked:
    """Candles up to ``oldest``, from where the trades tell the rest.

    The candle in which the position was opened is left out: its extremes may be older than the position. Of the candle
    in which the trades begin, only extremes that no told trade made belong to the untold part.
    """
    for candle in candles:
        end = candle.open_time + _MINUTE
        if candle.open_time < state.opened_at or end <= state.as_of:
            continue
        high, low, close = _price(candle.high), _price(candle.low), _price(candle.close)
        open_ = _price(candle.open)
        if end > oldest and trades:
            told = [trade.price for trade in trades if trade.at < end]
            close = trades[0].price
            high = high if not told or high > max(told) else max(open_, close)
            low = low if not told or low < min(told) else min(open_, close)
            end = oldest
        if end <= candle.open_time:
            continue
        state, leaving = walk_bar(state, policy, open_, high, low, close, candle.open_time, end)
        if leaving is not None:
            return Walked(state, leaving[0], leaving[1])
    return Walked(state)


def _price(value: float) -> Decimal:
    return Decimal(repr(value))

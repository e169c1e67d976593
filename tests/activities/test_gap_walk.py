"""What happened while no guard was there: nothing that crossed is missed, nothing that was judged is judged again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from activities.gap_walk import Walked, play, walk
from activities.guard_watch import MINUTE, Seen, minute_of, saw
from domain.exits import ExitPolicy, ExitReason, GuardState, step_state
from domain.market import Category, PositionSide, Side
from exchange.protocol import Candle, Trade

OPENED = datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = Decimal(100)
STOP_5 = ExitPolicy(stop_loss_pct=Decimal(5))
TRAILING_1 = ExitPolicy(stop_loss_pct=Decimal(20), trailing_stop_pct=Decimal(1))


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def trade(price: str, second: float, trade_id: str | None = None) -> Trade:
    return Trade(
        category=Category.SPOT,
        symbol="BTCUSDT",
        trade_id=trade_id or f"{price} at {second}",
        price=Decimal(price),
        qty=Decimal(1),
        side=Side.BUY,
        at=at(second),
    )


def candles_of(trades: list[Trade]) -> list[Candle]:
    """The minutes of the trades as the exchange tells them: each opens where the one before closed."""
    made: list[Candle] = []
    for minute, rows in groupby(trades, key=lambda each: minute_of(each.at)):
        prices = [float(row.price) for row in rows]
        open_ = made[-1].close if made else prices[0]
        made.append(
            Candle(
                category=Category.SPOT,
                symbol="BTCUSDT",
                timeframe="1m",
                open_time=minute,
                open=open_,
                high=max(open_, *prices),
                low=min(open_, *prices),
                close=prices[-1],
                volume=1,
                turnover=1,
                confirmed=True,
            )
        )
    return made


def watched(trades: list[Trade], policy: ExitPolicy, side: PositionSide = PositionSide.LONG) -> Walked:
    """A guard that judged these trades as they came."""
    state, seen, reason = GuardState.opened(side, ENTRY, OPENED, policy), None, None
    for each in trades:
        state, reason = step_state(state, policy, each.price, each.at)
        seen = saw(seen, each.price, each.at)
        if reason is not None:
            break
    return Walked(state, seen, reason, None, frozenset())


def after_gap(
    seen: list[Trade], missed: list[Trade], told: int, policy: ExitPolicy, side: PositionSide = PositionSide.LONG
) -> Walked:
    """A guard that judged ``seen``, after a gap of which the exchange tells the last ``told`` trades, all candles."""
    before = watched(seen, policy, side)
    assert before.reason is None
    everything = [*seen, *missed]
    newest = everything[-told:] if told else []
    return walk(before.state, before.seen, policy, candles_of(everything), newest, everything[-1].at)


def test_a_stop_crossed_unseen_in_a_minute_half_watched_is_an_exit_even_if_the_price_came_back() -> None:
    walked = after_gap([trade("100", 5), trade("99", 10)], [trade("94", 20), trade("99.5", 25)], 1, STOP_5)
    assert walked.reason is ExitReason.STOP_LOSS
    assert walked.price == 94


def test_a_low_the_guard_saw_before_the_stop_rose_above_it_is_no_exit() -> None:
    walked = after_gap([trade("100", 5), trade("103", 10)], [trade("102.5", 20), trade("102.8", 25)], 1, TRAILING_1)
    assert walked.reason is None
    assert walked.state.stop_price == Decimal("103") * Decimal("0.99")


def test_where_the_minute_before_left_off_is_no_unseen_low() -> None:
    seen = [trade("100", -1), trade("103", 10)]
    walked = after_gap(seen, [trade("102.5", 20)], 1, TRAILING_1)
    assert walked.reason is None


def test_a_peak_nobody_saw_in_a_minute_half_watched_raises_the_stop() -> None:
    walked = after_gap([trade("100", 5)], [trade("100.8", 20), trade("100.1", 30)], 1, TRAILING_1)
    assert walked.reason is None
    assert walked.state.best_price == Decimal("100.8")


def test_the_minute_of_the_entry_tells_nothing_by_its_extremes() -> None:
    before_entry = Trade(**{**trade("90", -50).model_dump(), "trade_id": "before"})
    opened = GuardState.opened(PositionSide.LONG, ENTRY, OPENED, STOP_5)
    candles = candles_of([before_entry, trade("100", -20)])
    assert walk(opened, None, STOP_5, candles, [], at(-10)).reason is None


def test_without_told_trades_the_guard_stands_at_the_present_not_at_the_end_of_the_minute() -> None:
    walked = after_gap([trade("100", 5)], [trade("99", 65), trade("99", 75)], 0, STOP_5)
    assert walked.state.as_of == at(75)
    later = play(walked, STOP_5, [trade("94", 80)])
    assert later.reason is ExitReason.STOP_LOSS


def test_a_trade_told_and_queued_is_judged_once() -> None:
    lower, higher = trade("100", 20, "first"), trade("102", 20, "second")
    walked = after_gap([trade("100", 5)], [lower, higher], 2, TRAILING_1)
    assert walked.state.stop_price == Decimal("102") * Decimal("0.99")
    assert play(walked, TRAILING_1, [lower, higher]).reason is None, "100 came before 102 raised the stop"


def test_a_trade_of_the_millisecond_the_guard_stopped_at_is_not_judged_by_the_stop_that_rose_after_it() -> None:
    seen = [trade("100", 20, "first"), trade("102", 20, "second")]
    assert after_gap(seen, [trade("101.9", 30)], 3, TRAILING_1).reason is None


def test_seen_keeps_the_extremes_of_its_minute_alone() -> None:
    seen = saw(saw(None, Decimal(5), at(59)), Decimal(7), at(60))
    assert seen == Seen(at(60), Decimal(7), Decimal(7))
    assert saw(seen, Decimal(1), at(59)) is seen


steps = st.lists(st.tuples(st.integers(1, 45), st.integers(9_000, 11_000)), min_size=2, max_size=25)


@given(steps, st.data(), st.sampled_from(PositionSide))
def test_a_fixed_stop_is_found_crossed_in_the_gap_exactly_if_a_trade_crossed_it(
    moves: list[tuple[int, int]], data: st.DataObject, side: PositionSide
) -> None:
    second, path = 0, []
    for wait, cents in moves:
        second += wait
        path.append(trade(str(Decimal(cents) / 100), second))
    everything = watched(path, STOP_5, side)
    alone = next((n for n in range(1, len(path) + 1) if watched(path[:n], STOP_5, side).reason), len(path) + 1)
    seen = data.draw(st.integers(1, len(path)), "trades seen before the gap")
    if seen >= alone or seen == len(path):
        return
    told = data.draw(st.integers(0, len(path) - seen), "trades of the gap still told")
    walked = after_gap(path[:seen], path[seen:], told, STOP_5, side)
    assert walked.reason == everything.reason
    assert walked.state.as_of <= path[-1].at + MINUTE

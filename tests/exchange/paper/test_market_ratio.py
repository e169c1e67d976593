"""Account ratio: stamps that say the same whatever is asked; recorded ones are told a candle later."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from domain.candle import Timeframe, to_ms
from domain.market import Category
from exchange.paper.feed import Feed
from exchange.paper.feeds.candle_file import CandleFileRefused
from exchange.paper.feeds.replay import replay_feed
from exchange.paper.feeds.synthetic import synthetic_feed
from tests.exchange.paper.market_case import BEGIN, candle_file, candle_frame

START = datetime(2025, 1, 1, tzinfo=UTC)
FIVE, HOUR, FOUR_HOURS, DAY = (minutes * 60_000 for minutes in (5, 60, 240, 1440))
ALL = 10**6


def market(seed: int = 1) -> Feed:
    return synthetic_feed({"BTCUSDT": Decimal(60_000)}, seed=seed, start=START)


def test_a_stamp_has_one_value_whatever_window_interval_or_order_is_asked() -> None:
    feed, other = market(), market()
    begin = START - timedelta(days=20)
    whole = {s.at: s for s in feed.account_ratio("BTCUSDT", FIVE, begin, START, START, ALL)}
    assert len(whole) == 20 * 288 + 1
    rng = random.Random(3)
    for _ in range(30):
        first = START - timedelta(minutes=rng.uniform(0, 20 * 1440))
        last = first + timedelta(minutes=rng.uniform(0, 4000))
        interval, limit = rng.choice((FIVE, HOUR, FOUR_HOURS, DAY)), rng.choice((1, 9, ALL))
        told = other.account_ratio("BTCUSDT", interval, first, last, START, limit)
        wanted = [at for at in whole if first <= at <= last and to_ms(at) % interval == 0][-limit:]
        assert [stamp.at for stamp in told] == wanted
        assert all(whole[stamp.at] == stamp for stamp in told)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shares_sum_to_one_and_stay_apart_from_all_and_none(seed: int) -> None:
    stamps = market(seed).account_ratio("BTCUSDT", FOUR_HOURS, START - timedelta(days=700), START, START, ALL)
    assert all(stamp.long + stamp.short == 1 for stamp in stamps)
    assert all(Decimal("0.2") < stamp.long < Decimal("0.8") for stamp in stamps)
    assert len({stamp.long for stamp in stamps}) > 500


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_crowd_buys_what_has_fallen(seed: int) -> None:
    feed = market(seed)
    begin = START - timedelta(days=600)
    days = [float(bar.close) for bar in feed.bars(Category.LINEAR, "BTCUSDT", "1d", begin, START, START)[:-1]]
    long = [float(s.long) for s in feed.account_ratio("BTCUSDT", DAY, begin + timedelta(days=1), START, START, ALL)]
    fell = np.diff(np.log(days), prepend=np.log(days[0]))
    assert np.corrcoef(np.convolve(fell, [1, 1], "full")[: len(fell)], long[: len(fell)])[0, 1] < -0.1


def test_nothing_is_told_before_its_time() -> None:
    now = START + timedelta(minutes=12)
    stamps = market().account_ratio("BTCUSDT", FIVE, START, START + timedelta(days=3), now, ALL)
    assert [stamp.at for stamp in stamps] == [START + timedelta(minutes=m) for m in (0, 5, 10)]


def test_a_recorded_ratio_is_told_when_its_candle_has_closed(tmp_path: Path) -> None:
    frame = candle_frame(100, Timeframe.H4)
    frame["long_ratio"] = [0.5 + number / 1000 for number in range(100)]
    frame.loc[3, "long_ratio"] = None
    frame.loc[4, "long_ratio"] = 0.0  # as collectors write what was not there
    path = tmp_path / "BTCUSDT_4h.parquet"
    frame.to_parquet(path)
    feed = replay_feed([str(path)], seed=1)
    now = BEGIN + timedelta(hours=31)
    told = feed.account_ratio("BTCUSDT", FOUR_HOURS, BEGIN, now, now, ALL)
    assert [(s.at, s.long) for s in told] == [
        (BEGIN + timedelta(hours=4 * (n + 1)), Decimal("0.5") + Decimal(n) / 1000) for n in (0, 1, 2, 5, 6)
    ]
    (day,) = feed.account_ratio("BTCUSDT", DAY, BEGIN, now, now, 5)
    assert (day.at, day.long, day.short) == (BEGIN + timedelta(days=1), Decimal("0.505"), Decimal("0.495"))


def test_a_replay_without_the_column_has_none(tmp_path: Path) -> None:
    feed = replay_feed([str(candle_file(tmp_path, 200))], seed=1)
    assert feed.account_ratio("BTCUSDT", FIVE, BEGIN, feed.start, feed.start, ALL) == []


def test_a_share_over_one_is_refused(tmp_path: Path) -> None:
    frame = candle_frame(100)
    frame["long_ratio"] = [0.5] * 8 + [1.2] * 92
    frame.to_parquet(tmp_path / "BTCUSDT_15m.parquet")
    with pytest.raises(CandleFileRefused, match=r"data row 9 .*long_ratio is outside 0 to 1"):
        replay_feed([str(tmp_path / "BTCUSDT_15m.parquet")], seed=1)

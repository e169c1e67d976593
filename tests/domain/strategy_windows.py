"""Live windows of a market, and what they decide held against what the whole history does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from domain.candle import Timeframe
from domain.strategies import btc_swing, warm_up
from domain.strategies.contract import Evaluation, Needs
from tests.domain.strategy_cases import Market, bars_of, results

MICROSTRUCTURE = ("taker_buy_share", "open_interest", "long_short_ratio", "funding_rate")
SETTLED = {"btc_swing": btc_swing.SEED_WEIGHT}
"""What is left of a seed at the end of the warm-up, of strategies that leave more than the others."""


def live_window(market: Market, needs: Needs) -> Market:
    """What a scan looks at: as many bars as are needed, microstructure on the last of them alone."""
    own, *_ = market
    seen = window(market, needs.candles)
    before = len(seen[own].open_time) - needs.microstructure_bars
    known = {name: getattr(seen[own], name) for name in MICROSTRUCTURE}
    known = {name: values.copy() for name, values in known.items() if values is not None}
    for values in known.values():
        values[:, : max(before, 0)] = np.nan
    return {**seen, own: replace(seen[own], **known)}


def window(market: Market, bars: Mapping[Timeframe, int]) -> Market:
    """The last ``bars`` of every timeframe."""
    return {
        timeframe: bars_of(panel, slice(max(len(panel.open_time) - bars[timeframe], 0), None))
        for timeframe, panel in market.items()
    }


def assert_same_at_last(seen: Evaluation, whole: Evaluation, bar: int, settled: float | None = None) -> None:
    """The last bar of ``seen`` is bar ``bar`` of ``whole``: the same decisions, every number within the seed's weight.

    In parts of the number, or of a hundred: oscillators and scores go up to that.
    """
    within = warm_up.SEED_WEIGHT if settled is None else settled
    other = results(whole)
    for name, values in results(seen).items():
        last, expected = values[:, -1], other[name][:, bar]
        if values.dtype == np.bool_:
            np.testing.assert_array_equal(last, expected, err_msg=name)
        else:
            np.testing.assert_allclose(last, expected, rtol=within, atol=100 * within, err_msg=name)

"""Draw the golden stretches: `PYTHONPATH=. python plans/2026-11-23_0110_eleven_strategies/plot.py [strategy ...]`.

One picture a strategy, recorded candles over made-up ones: price with the levels of the rule, its indicators with their
thresholds, triangles where it enters, a grey ribbon where its exit stands, and a coloured one for the regime.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from domain.candle import from_ms
from domain.market import PositionSide
from domain.strategies import STRATEGIES
from tests.domain.golden_cases import Judged, judge_recorded, judge_synthetic

FOLDER = Path(__file__).parent
WIDTH, PRICE, PANE, GAP, LEFT, RIGHT = 2000, 430, 105, 14, 70, 170
FONT = ImageFont.load_default(size=14)
INKS = ("#1f6fd0", "#d07a1f", "#7a3fb0", "#2a9d8f", "#8a6d3b")
REGIMES = {-2: "#b02020", -1: "#e08a80", 0: "#bbbbbb", 1: "#9ccf9c", 2: "#2e8b2e"}

Thresholds = tuple[float, ...]


@dataclass(frozen=True)
class Look:
    """Evidence drawn over the price, and panes under it: name, thresholds."""

    levels: Sequence[str]
    panes: Sequence[tuple[str, Thresholds]]


AVERAGES = ("ema_fast", "ema_slow")
RANGE = Look(
    ("range_low", "range_high", "range_middle"),
    (("place", (0, 0.15, 0.85, 1)), ("adx", (20,)), ("width_pct", (3,)), ("overlap", (0.5,))),
)
REVERSION = Look(("bollinger_band", "bollinger_middle"), (("rsi", (30, 70)), ("adx", (25,))))
LOOKS: Mapping[str, Look] = {
    "growth_potential": Look(
        ("ema", "daily_ema"),
        (("strength_rank", (80,)), ("volume_ratio", (1.3,)), ("below_high_pct", (3,)), ("run_pct", (25,))),
    ),
    "momentum": Look(AVERAGES, (("roc_pct", (4,)), ("adx", (25,)))),
    "momentum_short": Look(AVERAGES, (("roc_pct", (-4,)), ("adx", (25,)))),
    "trend_breakdown": Look((*AVERAGES, "donchian_low"), (("adx", (25,)),)),
    "btc_trend": Look(
        (*AVERAGES, "donchian_high"),
        (
            ("rsi", (40, 65)),
            ("lowest_to_ema_slow", (1,)),
            ("squeeze_rank", (25,)),
            ("volume_to_mean", (1.5,)),
            ("pullback", (1,)),
        ),
    ),
    "btc_trend_short": Look(
        (*AVERAGES, "donchian_low"), (("rsi", (35, 60)), ("squeeze_rank", (25,)), ("bear_pullback_short", (1,)))
    ),
    "btc_swing": Look(("weekly_ema", "weekly_close"), (("regime_level", (1,)), ("lowest_level_before", (1,)))),
    "mean_reversion": REVERSION,
    "mean_reversion_short": REVERSION,
    "range_fade_long": RANGE,
    "range_fade_short": RANGE,
}


class Chart:
    """One symbol's stretch on an image of its own."""

    def __init__(self, name: str, judged: Judged, row: int, source: str) -> None:
        self.strategy, self.look, self.judged, self.row = STRATEGIES[name], LOOKS[name], judged, row
        self.bars = range(judged.shown, len(judged.panel.open_time))
        self.step = (WIDTH - LEFT - RIGHT) / len(self.bars)
        self.image = Image.new("RGB", (WIDTH, PRICE + (PANE + GAP) * len(self.look.panes) + 3 * GAP), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.title = f"{name}  {judged.panel.symbols[row]}  {judged.panel.timeframe}  {source}"

    def drawn(self) -> Image.Image:
        self._prices()
        for place, (name, thresholds) in enumerate(self.look.panes):
            self._pane(name, thresholds, PRICE + 2 * GAP + place * (PANE + GAP))
        self.draw.text((LEFT, 2), self.title, fill="black", font=FONT)
        return self.image

    def _x(self, bar: int) -> float:
        return LEFT + (bar - self.bars.start + 0.5) * self.step

    def _shown(self, values: np.ndarray) -> np.ndarray:
        return values[self.row, self.bars.start : self.bars.stop]

    def _prices(self) -> None:
        panel, evidence = self.judged.panel, self.judged.evaluation.evidence
        low, high = self._shown(panel.low), self._shown(panel.high)
        scale = _Scale(np.nanmin(low), np.nanmax(high), 4 * GAP, PRICE - 2 * GAP)
        for value in np.linspace(scale.least, scale.most, 6):
            self.draw.text((4, scale.y(value) - 8), f"{value:.5g}", fill="#555555", font=FONT)
        self._days()
        for bar in self.bars:
            self._candle(bar, scale)
        for ink, name in zip(INKS, self.look.levels, strict=False):
            self._line(evidence[name], scale, ink)
            self.draw.text((WIDTH - RIGHT + 6, 20 + 18 * INKS.index(ink)), name, fill=ink, font=FONT)
        self._ribbons()
        for bar in self.bars:
            if self.judged.evaluation.entry[self.row, bar]:
                self._entry(bar, scale)

    def _days(self) -> None:
        opened = self.judged.panel.open_time
        every = max(len(self.bars) // 20, 1)
        for bar in self.bars[::every]:
            x = self._x(bar)
            self.draw.line((x, 3 * GAP, x, self.image.height), fill="#eeeeee")
            self.draw.text((x - 30, PRICE), f"{from_ms(int(opened[bar])):%y-%m-%d %H}", fill="#555555", font=FONT)

    def _candle(self, bar: int, scale: _Scale) -> None:
        panel, x = self.judged.panel, self._x(bar)
        opened, high, low, close = (
            column[self.row, bar] for column in (panel.open, panel.high, panel.low, panel.close)
        )
        if np.isnan(close):
            return
        ink, half = "#2e8b57" if close >= opened else "#c0392b", max(self.step * 0.35, 1)
        self.draw.line((x, scale.y(high), x, scale.y(low)), fill=ink)
        top, bottom = sorted((scale.y(opened), scale.y(close)))
        self.draw.rectangle((x - half, top, x + half, max(bottom, top + 1)), fill=ink)

    def _entry(self, bar: int, scale: _Scale) -> None:
        panel, x = self.judged.panel, self._x(bar)
        self.draw.line((x, scale.top, x, self.image.height), fill="#d9b3ff")
        if self.strategy.side is PositionSide.LONG:
            y, out = scale.y(panel.low[self.row, bar]) + 4, 13
        else:
            y, out = scale.y(panel.high[self.row, bar]) - 4, -13
        self.draw.polygon([(x, y), (x - 7, y + out), (x + 7, y + out)], fill="#8000ff")

    def _ribbons(self) -> None:
        regime = self.judged.panel.regime
        for bar in self.bars:
            x = self._x(bar)
            box = (x - self.step / 2, PRICE - 10, x + self.step / 2, PRICE - 4)
            if self.judged.evaluation.exit[self.row, bar]:
                self.draw.rectangle(box, fill="#999999")
            if regime is not None and int(regime[bar]) in REGIMES:
                self.draw.rectangle((box[0], 24, box[2], 32), fill=REGIMES[int(regime[bar])])

    def _pane(self, name: str, thresholds: Thresholds, top: int) -> None:
        values = self.judged.evaluation.evidence[name]
        seen = self._shown(values)
        known = [*seen[np.isfinite(seen)], *thresholds]
        scale = _Scale(min(known), max(known), top, top + PANE)
        self.draw.rectangle((LEFT, top, WIDTH - RIGHT, top + PANE), outline="#cccccc")
        for threshold in thresholds:
            self.draw.line((LEFT, scale.y(threshold), WIDTH - RIGHT, scale.y(threshold)), fill="#e07070")
            self.draw.text((WIDTH - RIGHT + 6, scale.y(threshold) - 8), f"{threshold:g}", fill="#e07070", font=FONT)
        self._line(values, scale, "#222222")
        self.draw.text((LEFT + 4, top + 2), name, fill="black", font=FONT)

    def _line(self, values: np.ndarray, scale: _Scale, ink: str) -> None:
        for bar in self.bars[1:]:
            one, other = values[self.row, bar - 1 : bar + 1]
            if np.isfinite(one) and np.isfinite(other):
                self.draw.line((self._x(bar - 1), scale.y(one), self._x(bar), scale.y(other)), fill=ink, width=2)


@dataclass(frozen=True)
class _Scale:
    least: float
    most: float
    top: float
    bottom: float

    def y(self, value: float) -> float:
        part = (float(value) - self.least) / max(self.most - self.least, 1e-12)
        return float(np.clip(self.bottom - part * (self.bottom - self.top), self.top - 8, self.bottom + 8))


def picture(name: str) -> Image.Image:
    """All charts of a strategy over one another: of each source the symbols that enter, or the first."""
    charts: list[Image.Image] = []
    for source, judged in (("recorded", judge_recorded(name)), ("made up", judge_synthetic(name))):
        entering = np.flatnonzero(judged.evaluation.entry[:, judged.shown :].any(axis=1)).tolist()
        charts += [Chart(name, judged, row, source).drawn() for row in entering or [0]]
    whole = Image.new("RGB", (WIDTH, sum(chart.height for chart in charts)), "white")
    y = 0
    for chart in charts:
        whole.paste(chart, (0, y))
        y += chart.height
    return whole.quantize(64)


if __name__ == "__main__":
    for each in sys.argv[1:] or LOOKS:
        picture(each).save(FOLDER / f"{each}.png", optimize=True)

"""The portfolio over time: equity, drawdown, net P&L, volume, fees, and what each strategy and symbol brought.

Decimals become floats here, for drawing alone; every P&L figure is the API's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from client.models import PnlDay, SnapshotView
from ui.formatting import words
from ui.palette import palette

_HEIGHT = 260
_HOUR = "hour:T"
_TIME_FORMAT = "%Y-%m-%d %H:%M"
_AXIS_FORMAT = "%m-%d %H:%M"


def show_equity(hours: Sequence[SnapshotView]) -> None:
    frame = pd.DataFrame({"hour": _times(hours), "USD": [float(each.equity) for each in hours]})
    _draw(_line(frame, "USD", palette().accent))


def show_running_pnl(hours: Sequence[SnapshotView]) -> None:
    """Net P&L as it stood at each hour of its day: it begins anew at 00:00 UTC."""
    frame = pd.DataFrame({"hour": _times(hours), "USD": [float(each.net_pnl_daily) for each in hours]})
    _draw(_bars(frame, _HOUR, "USD"))


def show_daily_pnl(days: Sequence[PnlDay]) -> None:
    frame = pd.DataFrame({"day": [each.day for each in days], "USD": [float(each.net_pnl) for each in days]})
    _draw(_bars(frame, "day:O", "USD"))


def show_drawdown(hours: Sequence[SnapshotView]) -> None:
    frame = pd.DataFrame({"hour": _times(hours), "%": drawdowns(hours)})
    chart = alt.Chart(frame).mark_area(color=palette().loss, opacity=0.35, line={"color": palette().loss})
    _draw(chart.encode(x=_time_axis(), y=alt.Y("%:Q", title="% under the peak"), tooltip=_tooltip("%")))


def drawdowns(hours: Sequence[SnapshotView]) -> list[float]:
    """How far equity stands under its highest so far, in percent (0 or less), at each snapshot.

    What was transferred in or out since the first is taken out of it: a withdrawal is no loss.
    """
    found, peak, moved = [], Decimal(0), Decimal(0)
    for number, hour in enumerate(hours):
        moved += hour.transfers if number else 0
        own = hour.equity - moved
        peak = max(peak, own)
        found.append(float((own - peak) / peak * 100) if peak > 0 else 0.0)
    return found


def show_volume(hours: Sequence[SnapshotView]) -> None:
    """Bought upwards, sold downwards."""
    tones = palette()
    frame = pd.DataFrame(
        {
            "hour": _times(hours) * 2,
            "side": ["bought"] * len(hours) + ["sold"] * len(hours),
            "USD": [float(each.bought) for each in hours] + [-float(each.sold) for each in hours],
        }
    )
    color = alt.Color(
        "side:N",
        scale=alt.Scale(domain=["bought", "sold"], range=[tones.gain, tones.loss]),
        legend=alt.Legend(orient="top", title=None),
    )
    chart = alt.Chart(frame).mark_bar()
    _draw(chart.encode(x=_time_axis(), y=alt.Y("USD:Q", title="USD"), color=color, tooltip=_tooltip("USD", "side")))


def show_fees(hours: Sequence[SnapshotView]) -> None:
    """What was paid is drawn downwards: fees, and funding unless it was received."""
    tones = palette()
    frame = pd.DataFrame(
        {
            "hour": _times(hours) * 2,
            "kind": ["fees"] * len(hours) + ["funding"] * len(hours),
            "USD": [-float(each.fees) for each in hours] + [float(each.funding) for each in hours],
        }
    )
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["fees", "funding"], range=[tones.muted, tones.accent]),
        legend=alt.Legend(orient="top", title=None),
    )
    chart = alt.Chart(frame).mark_bar()
    _draw(chart.encode(x=_time_axis(), y=alt.Y("USD:Q", title="USD"), color=color, tooltip=_tooltip("USD", "kind")))


def show_shares(shares: Mapping[str, Decimal], nothing: str) -> None:
    """Net P&L of each name, the best first."""
    if not shares:
        st.info(nothing)
        return
    frame = pd.DataFrame(
        {"name": [words(name) for name in shares], "USD": [float(amount) for amount in shares.values()]}
    )
    chart = (
        alt.Chart(frame)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("USD:Q", title="net P&L (USD)"),
            y=alt.Y("name:N", sort="-x", title=None, axis=alt.Axis(labelLimit=200)),
            color=_signed_color("USD"),
            tooltip=["name", alt.Tooltip("USD:Q", format=",.2f")],
        )
    )
    st.altair_chart(chart.properties(height=max(28 * len(shares), 60) + 40), width="stretch")


def _times(hours: Sequence[SnapshotView]) -> list[str]:
    """UTC told as local time, since the browser would otherwise move it to its own zone."""
    return [each.hour.strftime("%Y-%m-%dT%H:%M:%S") for each in hours]


def _time_axis() -> alt.X:
    return alt.X(_HOUR, title=None, axis=alt.Axis(format=_AXIS_FORMAT, tickCount=6, labelOverlap=True, labelBound=True))


def _tooltip(value: str, *more: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(_HOUR, title="hour (UTC)", format=_TIME_FORMAT),
        *(alt.Tooltip(name) for name in more),
        alt.Tooltip(f"{value}:Q", format=",.2f"),
    ]


def _line(frame: pd.DataFrame, value: str, color: str) -> alt.Chart:
    """A line with a point each hour; its scale need not begin at zero."""
    scale = alt.Scale(zero=False, nice=True)
    mark = alt.Chart(frame).mark_line(color=color, point={"size": 22, "color": color})
    return mark.encode(x=_time_axis(), y=alt.Y(f"{value}:Q", title=value, scale=scale), tooltip=_tooltip(value))


def _bars(frame: pd.DataFrame, x: str, value: str) -> alt.Chart:
    axis = _time_axis() if x == _HOUR else alt.X(x, title=None, axis=alt.Axis(labelOverlap=True, labelAngle=0))
    when = _tooltip(value) if x == _HOUR else [x, alt.Tooltip(f"{value}:Q", format=",.2f")]
    mark = alt.Chart(frame).mark_bar()
    return mark.encode(x=axis, y=alt.Y(f"{value}:Q", title=value), color=_signed_color(value), tooltip=when)


def _signed_color(value: str) -> Any:
    tones = palette()
    return alt.condition(alt.datum[value] < 0, alt.value(tones.loss), alt.value(tones.gain))


def _draw(chart: alt.Chart) -> None:
    st.altair_chart(chart.properties(height=_HEIGHT), width="stretch")

"""Tables of the market's regime for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from cli.cells import instant, table
from client.models import Regime, RegimeNowView, RegimeView

_STYLES = {
    Regime.STRONG_BEAR: "bold red",
    Regime.BEAR: "red",
    Regime.NEUTRAL: "",
    Regime.BULL: "green",
    Regime.STRONG_BULL: "bold green",
}


def regime_story(now: RegimeNowView) -> Text:
    """What is in force, and how it came to that."""
    told = Text("in force: ").append_text(_state(now.in_force))
    if now.as_of is not None:
        told.append(f"  (market time {instant(now.as_of)})", "dim")
    newest = now.newest
    if newest is None:
        return told.append("\nno regime was computed yet: the scan of the next 4h close does it")
    told.append(f"\nsince the close of {instant(newest.valid_from)}: ").append_text(_state(newest.state))
    told.append(f", {newest.streak} closes in a row, {'confirmed' if newest.confirmed else 'not confirmed yet'}")
    if newest.pending is not None:
        told.append("\nthis close called for ").append_text(_state(newest.pending))
    disagree = "" if newest.factor == 1 else ", halved because the 4h candles disagree"
    return told.append(f"\nscore {newest.score:+.1f}{disagree} (4h close {newest.confirmation_pct:+.2f} % over EMA-50)")


def terms_table(regime: RegimeView) -> Table:
    made = table("term", "value %", "counts", "weight", "points")
    for each in regime.terms:
        points = each.term * each.weight
        made.add_row(each.name, f"{each.value:+.2f}", f"{each.term:+.2f}", f"{each.weight:g}", f"{points:+.1f}")
    return made


def regimes_table(rows: Iterable[RegimeView]) -> Table:
    made = table("from", "effective", "state", "closes", "called for", "score", "source")
    for each in rows:
        made.add_row(
            instant(each.valid_from),
            _state(each.effective),
            _state(each.state),
            str(each.streak),
            _state(each.pending) if each.pending else "",
            f"{each.score:+.1f}",
            each.source,
        )
    return made


def _state(regime: Regime | None) -> Text:
    return Text(regime.value, _STYLES[regime]) if regime is not None else Text("none", "dim")

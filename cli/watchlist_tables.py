"""The watchlist as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import instant, table
from client.models import CaptureView, EffectivenessView, WatchlistEntryView, WatchlistView


def watchlist_table(places: list[WatchlistView]) -> Table:
    rows = table("side", "", "symbol", "composite", "listed", "scores", "close (UTC)")
    for each in places:
        behind = " ".join(f"{score.strategy}={score.score:.1f}" for score in each.scores)
        listed = "yes" if each.listed else ""
        composite = f"{each.composite:.1f}"
        rows.add_row(each.side, str(each.rank), each.symbol, composite, listed, Text(behind), instant(each.close_at))
    return rows


def entry_table(entries: list[WatchlistEntryView]) -> Table:
    rows = table("close (UTC)", "side", "", "composite", "scores")
    for each in entries:
        behind = " ".join(f"{strategy}={score:.1f}" for strategy, score in each.scores.items())
        rows.add_row(instant(each.close_at), each.side, str(each.rank), f"{each.composite:.1f}", Text(behind))
    return rows


def kept_table(entries: list[WatchlistEntryView]) -> Table:
    rows = table("side", "", "symbol", "composite", "scores", "close (UTC)")
    for each in entries:
        behind = " ".join(f"{strategy}={score:.1f}" for strategy, score in each.scores.items())
        composite = f"{each.composite:.1f}"
        rows.add_row(each.side, str(each.rank), each.symbol, composite, Text(behind), instant(each.close_at))
    return rows


def capture_story(capture: CaptureView) -> RenderableType:
    """Each side over all windows, under it its windows, and the movers of the newest."""
    title = f"top {capture.k} movers of each seven days, {instant(capture.since)} to {instant(capture.until)} UTC"
    figures = table("side", "seven days to (UTC)", "listed", "precision", "movers", "recall", "captured", "lead (h)")
    for side in capture.sides:
        figures.add_row(side.side, f"all {side.figures.windows}", *_figures(side.figures))
        for window in side.windows:
            figures.add_row("", instant(window.end), *_figures(window.figures))
    return Group(Text(title, "bold"), figures, *_newest(capture))


def _figures(figures: EffectivenessView) -> list[str]:
    return [
        str(figures.listed),
        _share(figures.precision),
        str(figures.movers),
        _share(figures.recall),
        str(figures.captured),
        "" if figures.lead_hours is None else f"{figures.lead_hours:.0f}",
    ]


def _newest(capture: CaptureView) -> list[RenderableType]:
    movers = table("side", "mover", "move", "listed (UTC)", "half way (UTC)", "lead (h)")
    for side in capture.sides:
        for each in side.windows[-1].movers if side.windows else []:
            sign = "+" if side.side == "long" else "-"
            lead = "" if each.lead_hours is None else f"{each.lead_hours:.0f}"
            move = f"{sign}{each.move_pct:.1f} %"
            movers.add_row(side.side, each.symbol, move, instant(each.listed_at), instant(each.half_at), lead)
    return [Text("movers of the newest seven days", "bold"), movers] if movers.row_count else []


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"

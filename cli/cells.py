"""Tables for a terminal, and how a number, a gain and an instant are written in them."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

_TIME = "%Y-%m-%d %H:%M:%S"
_IDS = ("position", "order", "execution", "signal", "strategy", "setting")


def table(*headings: str) -> Table:
    made = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        # an id is for copying: it is never broken, the other columns give way
        made.add_column(heading, overflow="fold", no_wrap=heading in _IDS)
    return made


def number(value: Decimal | None) -> str:
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def gain(value: Decimal | None) -> Text:
    if value is None:
        return Text("")
    style = "" if value == 0 else ("green" if value > 0 else "red")
    return Text(f"{value:+.4f}", style)


def instant(at: datetime | None) -> str:
    return at.strftime(_TIME) if at is not None else ""


def switch(on: bool) -> Text:
    return Text("on", "green") if on else Text("off", "dim")


def plain(value: Any) -> str:
    """A configured value as it is typed: text bare, everything else as JSON."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value)

"""Numbers and ages as a person reads them. Pure; no currency sign, since a dollar sign is markup in Streamlit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

ABSENT = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def price_text(price: Decimal | None) -> str:
    """A price with six significant digits and at least two decimals: ``61,234.57``, ``0.00001234``, never ``1E-5``."""
    if price is None:
        return ABSENT
    if price == 0:
        return "0.00"
    decimals = min(max(2, 5 - price.adjusted()), 18)
    text = f"{price:,.{decimals}f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def quantity_text(quantity: Decimal | None) -> str:
    """A quantity in full, without trailing zeros or exponent."""
    if quantity is None:
        return ABSENT
    text = f"{quantity:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money_text(amount: Decimal | None, *, signed: bool = False) -> str:
    """An amount in quote coin with two decimals, more when it is under a cent. ``signed`` puts a plus before a gain."""
    if amount is None:
        return ABSENT
    small = amount != 0 and abs(amount) < Decimal("0.01")
    size = f"{abs(amount):,.{min(1 - amount.adjusted(), 8) if small else 2}f}"
    if not size.strip("0.,"):
        return size
    if amount < 0:
        return f"{_MINUS}{size}"
    return f"+{size}" if signed else size


def percent_text(percent: Decimal | None) -> str:
    """A change in percent with its sign: ``+1.25 %``."""
    if percent is None:
        return ABSENT
    size = f"{abs(percent):.2f}"
    sign = "" if not size.strip("0.") else (_MINUS if percent < 0 else "+")
    return f"{sign}{size} %"


def age_text(seconds: float | None) -> str:
    """An age in its two largest units: ``0.4 s``, ``12 s``, ``3 min``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def gain_color(amount: Decimal | None) -> str:
    """Streamlit's colour name for a gain, a loss, or neither."""
    if amount is None or amount == 0:
        return "gray"
    return "green" if amount > 0 else "red"


def words(name: str | None) -> str:
    """A code such as ``trailing_take_profit`` as words."""
    return name.replace("_", " ") if name else ABSENT


def time_text(instant: datetime | None) -> str:
    """An instant (UTC) to the second: ``11-22 18:20:38``."""
    return instant.strftime("%m-%d %H:%M:%S") if instant else ABSENT


def minute_text(instant: datetime | None) -> str:
    """An instant (UTC) to the minute, with its year: ``2026-11-22 18:15``."""
    return instant.strftime("%Y-%m-%d %H:%M") if instant else ABSENT


def duration_text(seconds: int) -> str:
    """A length of time without parts that are zero: ``15 min``, ``4 h``, ``1 d 12 h``."""
    sizes = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for size, unit in sizes:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def two_lines(first: str, second: str) -> str:
    """Two lines of one cell, as markup."""
    return f"{first}  \n{second}"

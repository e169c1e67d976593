"""Parameters of a request, read strictly: what is missing or malformed is refused with 10001 and its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from domain.market import Category
from exchange.paper.core.refusal import params_error
from exchange.paper.history import Window

E = TypeVar("E", bound=StrEnum)

# Bybit's longest decimals have 18 digits on either side of the point
MAX_DIGITS = 36


class Params:
    """Fields of a query string or of a JSON body. "" and null count as not given."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def text(self, name: str, default: str = "") -> str:
        value = self._fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, str):
            return value
        if isinstance(value, bool | dict | list):
            raise params_error(f"{name} invalid: a string is expected")
        return str(value)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise params_error(f"{name} is required")
        return value

    def decimal(self, name: str) -> Decimal | None:
        text = self.text(name)
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise params_error(f"{name} invalid: {text!r} is not a number") from None
        digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
        if not isinstance(exponent, int) or len(digits) > MAX_DIGITS or abs(exponent) > MAX_DIGITS:
            raise params_error(f"{name} invalid: {text!r} is not a finite number of sane length")
        return value

    def positive(self, name: str) -> Decimal:
        """A required number above 0."""
        value = self.decimal(name)
        if value is None:
            raise params_error(f"{name} is required")
        if value <= 0:
            raise params_error(f"{name} invalid: {value} must be above 0")
        return value

    def not_negative(self, name: str) -> Decimal:
        """A required number from 0 on."""
        value = self.decimal(name)
        if value is None:
            raise params_error(f"{name} is required")
        if value < 0:
            raise params_error(f"{name} invalid: {value} must not be under 0")
        return value

    def shown(self, name: str) -> str:
        """A field as it was given, for an answer that repeats it; "" when it is no text."""
        value = self._fields.get(name)
        return value if isinstance(value, str) else ""

    def items(self, name: str) -> list[Params]:
        """A required list of objects, each with its own fields."""
        value = self._fields.get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise params_error(f"{name} invalid: a list of objects is expected")
        return [Params(item) for item in value]

    def integer(self, name: str, default: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not is_whole(text.removeprefix("-")):
            raise params_error(f"{name} invalid: {text!r} is not a whole number")
        return int(text)

    def flag(self, name: str) -> bool:
        value = self._fields.get(name)
        if value in (None, "", False, "false", "False"):
            return False
        if value in (True, "true", "True"):
            return True
        raise params_error(f"{name} invalid: true or false is expected")

    def choice(self, name: str, kind: type[E], default: E | None = None) -> E | None:
        text = self.text(name)
        if not text:
            return default
        try:
            return kind(text)
        except ValueError:
            raise params_error(f"{name} invalid: {text!r} is none of {', '.join(kind)}") from None

    def category(self) -> Category:
        found = self.choice("category", Category)
        if found is None:
            raise params_error("category is required: spot or linear")
        return found

    def limit(self, default: int, most: int) -> int:
        """A page size; larger than ``most`` counts as ``most``."""
        value = self.integer("limit", default)
        if value < 1:
            raise params_error(f"limit invalid: {value} must be above 0")
        return min(value, most)

    def before(self) -> int | None:
        """The sequence that the page asked for starts below, from ``cursor``."""
        cursor = unquote(self.text("cursor"))
        if not cursor:
            return None
        head, _, tail = cursor.partition(":")
        if not is_whole(head) or tail != "before":
            raise params_error(f"cursor invalid: {cursor!r}")
        return int(head)

    def window(self, now_ms: int, default: timedelta, most: timedelta) -> Window:
        """``startTime`` / ``endTime`` in market milliseconds; either alone, or none, means ``default`` from there."""
        start, end = self.integer("startTime", 0), self.integer("endTime", 0)
        span = default // timedelta(milliseconds=1)
        if start and end:
            if end < start:
                raise params_error("startTime must not be after endTime")
            if end - start > most // timedelta(milliseconds=1):
                raise params_error(f"startTime and endTime are more than {most.days} days apart")
            return Window(start, end)
        if start:
            return Window(start, start + span)
        end = end or now_ms
        return Window(end - span, end)

    def has_window(self) -> bool:
        return bool(self.text("startTime") or self.text("endTime"))


def is_whole(text: str) -> bool:
    """Whether ``text`` is a whole number of at most 18 digits."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def cursor_text(before: int | None) -> str:
    """The percent-encoded cursor of the next page; "" at the end."""
    return "" if before is None else quote(f"{before}:before", safe="")

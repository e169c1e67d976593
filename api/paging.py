"""Query parameters every list takes, and cutting a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from api.problems import ApiError
from db.cursors import BadCursor
from domain.views import FieldFault, Page

Row = TypeVar("Row")
Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=200, description="rows on a page")]
Cursor = Annotated[str | None, Query(max_length=300, description="next_cursor of the page before")]
SymbolFilter = Annotated[str | None, Query(pattern=r"^[A-Z0-9]{2,30}$")]
IdFilter = Annotated[str | None, Query(min_length=1, max_length=64)]


def cut(rows: Sequence[Row], limit: int, view: Callable[[Row], Item], cursor_of: Callable[[Row], str]) -> Page[Item]:
    """A page of ``rows``, of which one more than ``limit`` was read to see whether another page follows."""
    shown = rows[:limit]
    following = cursor_of(shown[-1]) if len(rows) > limit else None
    return Page(items=[view(row) for row in shown], next_cursor=following)


def bad_cursor(error: BadCursor) -> ApiError:
    fault = FieldFault(field="cursor", rule=str(error))
    return ApiError(422, "invalid-request", "Invalid request", f"cursor: {error}", [fault])

"""What every command that asks the API shares: the question itself, options of lists, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.markup import escape

from cli.context import api_connection, fail, load_settings, print_json
from client import ApiError, ApiProblem, AtsClient

Answer = TypeVar("Answer")
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="rows to show")]
Symbol = Annotated[str | None, typer.Option("--symbol", help="only this symbol, such as BTCUSDT")]
Reason = Annotated[str, typer.Option("--reason", help="why; it goes into the audit log")]


def instant(text: str) -> datetime:
    """A date or instant as people write it; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date or instant such as 2026-03-01 or 2026-03-01T12:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None, typer.Option("--since", parser=instant, metavar="INSTANT", help="not before this market time")
]
AsOf = Annotated[
    datetime | None, typer.Option("--as-of", parser=instant, metavar="INSTANT", help="what was in force then")
]


def upper(symbol: str | None) -> str | None:
    return symbol.upper() if symbol else None


def ask(question: Callable[[AtsClient], Answer], as_json: bool) -> Answer:
    """The answer, or the refusal in words (or as JSON) and exit code 1."""
    try:
        with AtsClient(api_connection(load_settings())) as api:
            return question(api)
    except ApiError as error:
        if as_json:
            problem = error.problem.model_dump(mode="json") if isinstance(error, ApiProblem) else None
            print_json(problem or {"title": "Failed", "detail": str(error)})
            raise typer.Exit(1) from None
        fail(escape(f"{error.title}: {error}" if isinstance(error, ApiProblem) else str(error)))


def checked(make: Callable[[], Answer]) -> Answer:
    """What ``make`` makes, or wrong usage (exit code 2) naming each field and rule."""
    try:
        return make()
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'request'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise typer.BadParameter("; ".join(faults)) from None

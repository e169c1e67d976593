"""``ats exchange fault | faults | heal``: let the paper exchange misbehave, on demand and for as long as asked."""

from __future__ import annotations

from typing import Annotated, Any, Final, NoReturn

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from cli.context import Json, console, fail, load_settings, print_json

TIMEOUT_SECONDS = 10
KINDS: Final = (
    "answer_lost, request_lost, delay, http_5xx, ret_code, restart, thin_book; duplicated_events, reordered_events, "
    "delayed_events, lost_events; maintenance, clock_offset, missing_candles, socket_silent; socket_cut"
)

Url = Annotated[str | None, typer.Option("--url", help="the paper exchange; by default the one settings name")]


def register(exchange_app: typer.Typer) -> None:
    for command in (fault, faults, heal):
        exchange_app.command()(command)


def fault(
    kind: Annotated[str, typer.Argument(help=f"one of {KINDS}")],
    endpoint: Annotated[str | None, typer.Option(help="path after /v5/ or its end, such as order/create")] = None,
    via: Annotated[str | None, typer.Option(help="rest or socket; both by default")] = None,
    match: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="also FIELD_prefix=, FIELD_suffix=; repeatable")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="of events: order, execution, position or wallet")] = None,
    count: Annotated[int | None, typer.Option(help="hits until it wears out; 0: never (default 1)")] = None,
    skip: Annotated[int | None, typer.Option(help="let that many go by first")] = None,
    probability: Annotated[float | None, typer.Option(help="of hitting what matches")] = None,
    seed: Annotated[int | None, typer.Option(help="of that chance")] = None,
    after: Annotated[bool, typer.Option("--after", help="the request takes effect before the fault")] = False,
    seconds: Annotated[float | None, typer.Option(help="wears out after that long")] = None,
    delay_ms: Annotated[int | None, typer.Option(help="of delay, delayed_events, reordered_events")] = None,
    status: Annotated[int | None, typer.Option(help="HTTP status of http_5xx and maintenance")] = None,
    code: Annotated[int | None, typer.Option(help="retCode of ret_code and maintenance: 10000, 10006, 10016")] = None,
    sockets: Annotated[str | None, typer.Option(help="public, private, trade or all")] = None,
    window: Annotated[int | None, typer.Option(help="messages that reordered_events mixes")] = None,
    offset_ms: Annotated[int | None, typer.Option(help="of clock_offset; negative: the exchange is behind")] = None,
    factor: Annotated[float | None, typer.Option(help="what thin_book leaves of the book, such as 0.001")] = None,
    open_from: Annotated[str | None, typer.Option(help="missing_candles: opened not before, ISO 8601")] = None,
    open_to: Annotated[str | None, typer.Option(help="missing_candles: opened not after, ISO 8601")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Let the paper exchange do KIND to what comes next. What an option means to a kind, the exchange says."""
    given: dict[str, Any] = {
        "endpoint": endpoint,
        "via": via,
        "match": _fields(match or []) or None,
        "topic": topic,
        "skip": skip,
        "probability": probability,
        "seed": seed,
        "after": after or None,
        "seconds": seconds,
        "delay_ms": delay_ms,
        "status": status,
        "code": code,
        "sockets": sockets,
        "window": window,
        "offset_ms": offset_ms,
        "factor": factor,
        "open_from": open_from,
        "open_to": open_to,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    if count is not None:
        asked["count"] = count or None
    row = _ask("POST", url, {"kind": kind, **asked}, as_json=json)
    if json:
        print_json(row)
        return
    console.print(f"fault [bold]{row['id']}[/bold] {escape(_story(row))}: `ats exchange heal` ends it")


def faults(url: Url = None, json: Json = False) -> None:
    """The faults asked for, and how often each hit."""
    rows = _ask("GET", url, as_json=json)["faults"]
    if json:
        print_json(rows)
        return
    if not rows:
        console.print("no faults: the paper exchange behaves")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("id", "fault", "hits", "state"):
        table.add_column(title)
    for row in rows:
        state = "[yellow]in force[/]" if row["active"] else "[dim]worn out[/]"
        table.add_row(str(row["id"]), escape(_story(row)), str(row["hits"]), state)
    console.print(table)


def heal(
    number: Annotated[int | None, typer.Argument(help="the fault to end; all by default")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """End all faults, or one."""
    told = _ask("DELETE", url, path="" if number is None else f"/{number}", as_json=json)
    if json:
        print_json(told)
        return
    console.print(f"{told['ended']} faults ended")


def _fields(pairs: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"--match {pair!r} is not FIELD=VALUE, such as orderLinkId_suffix=-E1")
        fields[name] = value
    return fields


_SILENT = {"id", "kind", "hits", "active", "count"}


def _story(row: dict[str, Any]) -> str:
    told = [f"{name}={value}" for name, value in row.items() if name not in _SILENT and value not in (None, "", {}, 0)]
    wears = [] if "count" not in row else [f"count={row['count'] or 'unlimited'}"]
    return " ".join([row["kind"], *told, *wears])


def _ask(
    method: str, url: str | None, body: dict[str, Any] | None = None, *, path: str = "", as_json: bool
) -> dict[str, Any]:
    """The exchange's answer; its refusal in words (exit 2), or that it can't be reached (exit 1)."""
    target = (url or _settled_url()).rstrip("/")
    try:
        answer = httpx.request(method, f"{target}/paper/faults{path}", json=body, timeout=TIMEOUT_SECONDS)
        told = answer.json()
    except httpx.TransportError as error:
        _refuse(f"no paper exchange answers at {target} ({error}): start one, or name it with --url", 1, as_json)
    except ValueError:
        _refuse(f"what answers at {target} is no paper exchange (HTTP {answer.status_code}): see --url", 1, as_json)
    if answer.is_error:
        _refuse(str(told.get("error", told)), 2 if answer.status_code == httpx.codes.BAD_REQUEST else 1, as_json)
    return told


def _settled_url() -> str:
    settings = load_settings()
    if settings.exchange.mode != "paper":
        fail(f"the exchange is {settings.exchange.mode}: only a paper exchange has faults on demand")
    return settings.paper_url


def _refuse(message: str, code: int, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": message})
        raise typer.Exit(code)
    fail(escape(message), code)

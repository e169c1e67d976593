"""``/paper/...`` of the market: its clock, advancing it, pushing trades, and reading back the trades there were.

Not Bybit's: what a test, a run in steps or a judge needs of a market that is made here. Answers are plain JSON, and
refusals an HTTP status with ``error``, one sentence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.market import Category, FilterViolation, Side
from exchange.paper.clock import AdvanceRefused
from exchange.paper.feed import Tick
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.loopback import loopback_only
from exchange.paper.quotes import trade_id
from exchange.paper.wire import number, to_millis

if TYPE_CHECKING:
    from exchange.paper.venue import Venue

Endpoint = Callable[[Request], Awaitable[Response]]

_MOST_TRADES = 50_000


def control_routes(venue: Venue) -> list[Route]:
    """The routes over the market of ``venue`` that Bybit does not have."""
    return [
        Route("/paper/clock", _clock_endpoint(venue), methods=["GET"]),
        Route("/paper/clock/advance", loopback_only(_advance_endpoint(venue)), methods=["POST"]),
        Route("/paper/ticks", loopback_only(_push_endpoint(venue)), methods=["POST"]),
        Route("/paper/trades", loopback_only(_trades_endpoint(venue)), methods=["GET"]),
    ]


def _clock_endpoint(venue: Venue) -> Endpoint:
    async def clock(request: Request) -> Response:
        venue.pump()
        # what is told as now has been processed: a candle that ended by then is whole in every later answer
        reading = venue.clock.read().model_copy(update={"now": venue.position})
        return _json({**reading.model_dump(mode="json"), "paused": venue.clock.paused})

    return clock


class _Advance(BaseModel):
    """Body of ``POST /paper/clock/advance``."""

    model_config = ConfigDict(extra="forbid")

    to: AwareDatetime | None = None


def _advance_endpoint(venue: Venue) -> Endpoint:
    """``POST /paper/clock/advance`` {to?}: let the market of step mode come to ``to``, or to the next quarter hour.

    Answers when all trades up to there are processed and told and what they caused is on disk. ``halted``: the market
    is over. An instant it can't go to: 400; the market over, or not in step mode: 409.
    """

    async def advance(request: Request) -> Response:
        try:
            asked = _Advance.model_validate_json(await request.body() or b"{}")
            await venue.advance(asked.to)
        except ValidationError as error:
            return _invalid(error)
        except AdvanceRefused as refusal:
            return _json({"error": str(refusal)}, refusal.status)
        clock = venue.clock
        told = {"epoch": clock.epoch, "now": _iso(venue.position), "step": clock.step, "halted": clock.halted}
        return _json(told)

    return advance


class _TradesAsked(BaseModel):
    """Query of ``GET /paper/trades``; without ``from`` from the market's start, without ``to`` up to its now."""

    model_config = ConfigDict(extra="forbid")

    category: Category
    symbol: str
    after: AwareDatetime | None = Field(None, alias="from")
    to: AwareDatetime | None = None
    limit: int = Field(_MOST_TRADES, ge=1, le=_MOST_TRADES)


def _trades_endpoint(venue: Venue) -> Endpoint:
    """``GET /paper/trades?category&symbol&from&to&limit``: the trades with ``from < at <= to``, in order.

    They are made by the market once more, the very ones that were processed. ``next`` is the ``from`` of the page that
    follows (null at the end): a page is ``limit`` trades, and the others of its last instant. Nothing after the
    market's now is told, and nothing before the market's start, because that never traded.
    """

    async def trades(request: Request) -> Response:
        try:
            asked = _TradesAsked.model_validate(dict(request.query_params))
            venue.pump()
            after = max(asked.after or venue.feed.start, venue.feed.start)
            found = venue.feed.trades(asked.category, asked.symbol, after, min(asked.to or _LATEST, venue.position))
        except ValidationError as error:
            return _invalid(error)
        except UnknownSymbol as unknown:
            return _json({"error": f"symbol: {unknown.args[0]} is not traded"}, 400)
        page = list(islice(found, asked.limit))
        following = None
        for tick in found:
            if tick.at > page[-1].at:
                following = _iso(page[-1].at)
                break
            page.append(tick)
        return _json({"epoch": venue.feed.epoch, "next": following, "trades": [_trade_row(tick) for tick in page]})

    return trades


_LATEST = datetime.max.replace(tzinfo=UTC)


def _trade_row(tick: Tick) -> dict[str, str]:
    return {
        "id": trade_id(tick),
        "at": _iso(tick.at),
        "price": number(tick.price),
        "qty": number(tick.qty),
        "side": tick.side.value,
    }


def _invalid(error: ValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return _json({"error": f"{where}: {first['msg']}"}, 400)


class TradeToPush(BaseModel):
    """One trade of ``POST /paper/ticks``; numbers may be strings."""

    model_config = ConfigDict(extra="forbid")

    category: Category
    symbol: str
    price: Decimal = Field(gt=0, max_digits=30)
    qty: Decimal | None = Field(None, gt=0, max_digits=30)
    side: Side | None = None


_TRADES = TypeAdapter(list[TradeToPush])


def _push_endpoint(venue: Venue) -> Endpoint:
    """``POST /paper/ticks`` [{category, symbol, price, qty?, side?}, ...]: make trades happen on a manual market.

    Answers when they are published: ``at`` is their market time, ``published_ns`` the wall time at which the first of
    their messages was handed to the sockets. In step mode they happen just after the instant at which the market
    stands, so with the next advance, and ``published_ns`` is null. Bad input: 400 with ``error`` naming the field, and
    nothing happened.
    """

    async def push(request: Request) -> Response:
        feed = venue.feed
        if not isinstance(feed, ManualFeed):
            return _json({"error": "this market is not manual: its trades are its own"}, 409)
        try:
            asked = _TRADES.validate_json(await request.body())
            if not asked:
                return _json({"error": "body: at least one trade is needed"}, 400)
            trades = [PushedTrade(t.category, t.symbol, t.price, t.qty, t.side) for t in asked]
            ticks = feed.push(trades, venue.clock.now())
        except ValidationError as error:
            return _invalid(error)
        except FilterViolation as violation:
            return _json({"error": str(violation)}, 400)
        except UnknownSymbol as unknown:
            return _json({"error": f"symbol: {unknown.args[0]} is not traded"}, 400)
        published_ns = None if venue.clock.step else await _published(venue, ticks[-1].at)
        rows = [{"category": t.category, "symbol": t.symbol, "sequence": t.sequence} for t in ticks]
        at = ticks[0].at
        return _json({"at": _iso(at), "at_ms": to_millis(at), "published_ns": published_ns, "ticks": rows})

    return push


async def _published(venue: Venue, instant: datetime) -> int:
    published = venue.hub.published(instant)
    venue.pump()
    return await published


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")

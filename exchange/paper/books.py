"""``GET /paper/books``: everything the account's durable state tells, with the proof that it balances."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exchange.paper.core.audit import Audit, audit
from exchange.paper.core.margin import liquidation_price
from exchange.paper.core.wallet import view_wallet
from exchange.paper.loopback import loopback_only
from exchange.paper.venue import Venue
from exchange.paper.wire import (
    closed_pnl_row,
    execution_row,
    log_row,
    number,
    order_row,
    position_row,
    wallet_row,
)


def books(venue: Venue) -> dict[str, Any]:
    """All orders, executions, log rows and positions, and the audit over them.

    Orders carry ``received_wall_ms``, when the request reached the server (null: made by the exchange). Call it with
    the journal settled: what is read from disk is then what the state has.
    """
    state, now = venue.state, venue.position
    fills = list(venue.history.every_execution())
    rows = list(venue.history.every_log_row())
    closed = list(venue.history.every_closed_pnl())
    checked = audit(state, venue.market, fills, rows, closed)
    return {
        "epoch": venue.feed.epoch,
        "now": now.isoformat(),
        "orders": [
            {"category": o.category.value, "received_wall_ms": o.received_wall_ms, **order_row(o)}
            for o in venue.history.every_order()
        ],
        "executions": [execution_row(fill) for fill in fills],
        "positions": [
            position_row(
                p,
                venue.market.mark_price(p.symbol, now),
                state.leverage(p.symbol),
                liquidation_price(state, venue.market, p, now),
            )
            for p in state.positions.values()
        ],
        "wallet": wallet_row(view_wallet(state, venue.market, now)),
        "funding_account": {coin: number(held) for coin, held in state.funding_balances.items()},
        "transaction_log": [log_row(row) for row in rows],
        "closed_pnl": [closed_pnl_row(row) for row in closed],
        "check": _check(checked),
    }


def _check(checked: Audit) -> dict[str, Any]:
    coins = sorted({*checked.from_log, *checked.from_executions, *checked.in_state})
    return {
        "ok": checked.ok,
        "problems": list(checked.problems),
        "coins": {
            coin: {
                "from_log": number(checked.from_log.get(coin)),
                "from_executions": number(checked.from_executions.get(coin)),
                "wallet": number(checked.in_state.get(coin)),
            }
            for coin in coins
        },
    }


def books_routes(venue: Venue) -> list[Route]:
    async def show(request: Request) -> Response:
        # a commit may be on its way again by the time the wait is over: read when memory and disk agree
        await venue.journal.settled()
        while venue.journal.pending:
            await venue.journal.settled()
        return Response(orjson.dumps(books(venue)), media_type="application/json")

    return [Route("/paper/books", loopback_only(show), methods=["GET"])]

"""Doing a signed request, whichever way it came: what it may, how often, and what is answered when.

A request that changes something is answered when that is on disk; one that asks is told nothing the disk doesn't have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.market import Category
from exchange.paper.asked import Asked, BatchResult, Handler, Result
from exchange.paper.auth import ApiKey
from exchange.paper.core.refusal import Refusal
from exchange.paper.params import Params
from exchange.paper.rate_limits import TOO_MANY, RateLimits, Visit
from exchange.paper.venue import Venue

log = logging.getLogger(__name__)

MOST_ITEMS = 20


@dataclass(frozen=True)
class Reply:
    """What a request is answered. ``visit`` tells how often the account may still ask (None: as often as it likes)."""

    code: int = 0
    message: str = "OK"
    result: Result = field(default_factory=dict)
    ext_info: Result = field(default_factory=dict)
    visit: Visit | None = None

    @classmethod
    def of(cls, refusal: Refusal) -> Reply:
        return cls(refusal.code, refusal.message)


class Calls:
    """The signed endpoints of one venue and how often they may be called."""

    def __init__(self, venue: Venue, endpoints: Mapping[tuple[str, str], Handler], limits: RateLimits) -> None:
        self.venue = venue
        self.endpoints = endpoints
        self._limits = limits

    async def call(self, method: str, path: str, fields: Mapping[str, Any], key: ApiKey, received_ms: float) -> Reply:
        """The answer of an endpoint to a request whose signature was checked. Never raises."""
        items = _items(path, fields)
        visit = self._limits.visit(path, _category(fields), 1 if items is None else max(len(items), 1))
        if visit is not None and not visit.granted:
            return Reply(*TOO_MANY, visit=visit)
        beyond: list[Any] = []
        if visit is not None and items is not None and visit.granted < len(items):
            beyond = items[visit.granted :]
            fields = {**fields, "request": items[: visit.granted]}
        asked = Asked(self.venue, Params(fields), key, received_ms)
        try:
            reply = _reply(await self._answer(method, path, asked), fields, beyond)
        except Refusal as refusal:
            reply = Reply.of(refusal)
        except Exception:
            log.exception("%s failed", path)
            reply = Reply(10016, "Server error.")
        return Reply(reply.code, reply.message, reply.result, reply.ext_info, visit)

    async def _answer(self, method: str, path: str, asked: Asked) -> Result | BatchResult:
        handler, journal = self.endpoints[method, path], self.venue.journal
        if method == "POST":
            return await handler(asked)
        await journal.settled()
        result = await handler(asked)
        await journal.settled()  # what memory told may be ahead of the disk
        return result


def _items(path: str, fields: Mapping[str, Any]) -> list[Any] | None:
    """The items of a batch, each of which counts; None for any other request, and for a batch no exchange takes."""
    items = fields.get("request")
    if not path.endswith("-batch") or not isinstance(items, list) or len(items) > MOST_ITEMS:
        return None
    return items


def _category(fields: Mapping[str, Any]) -> Category | None:
    try:
        return Category(fields.get("category"))
    except ValueError:
        return None


def _reply(answer: Result | BatchResult, fields: Mapping[str, Any], beyond: list[Any]) -> Reply:
    if not isinstance(answer, BatchResult):
        return Reply(result=answer)
    refused = [_beyond_row(fields, item) for item in beyond]
    outcomes = [*answer.outcomes, *([TOO_MANY] * len(beyond))]
    ext_info = {"list": [{"code": code, "msg": message} for code, message in outcomes]}
    return Reply(result={"list": [*answer.rows, *refused]}, ext_info=ext_info)


def _beyond_row(fields: Mapping[str, Any], item: Any) -> Result:
    """The row of an item of a batch that came when the window was full."""
    told = item if isinstance(item, dict) else {}
    named = {"category": fields.get("category"), "symbol": told.get("symbol")}
    row = {name: "" if value is None else str(value) for name, value in named.items()}
    return {**row, "orderId": "", "orderLinkId": str(told.get("orderLinkId") or ""), "createAt": ""}

"""The typed client of the API: one method a call, answers as models of ``domain.views``, errors as ``ApiError``."""

from __future__ import annotations

from collections.abc import Generator

import httpx

from client.data import DataCalls
from client.decisions import DecisionCalls
from client.exchange import ExchangeCalls
from client.problems import problem_of
from client.regime import RegimeCalls
from client.replays import ReplayCalls
from client.strategies import StrategyCalls
from client.transport import Transport, new_key, segment
from client.watchlist import WatchlistCalls
from domain.market import Category
from domain.views import (
    AccountView,
    CloseAccepted,
    CloseRequest,
    EventView,
    ExecutionView,
    HealthView,
    InstrumentView,
    OrderView,
    Page,
    PositionDetail,
    PositionView,
    ReadinessView,
    StatusView,
    TargetsAccepted,
    TargetsRequest,
    TradeAccepted,
    TradeDefaults,
    TradeRequest,
)


class AtsClient(
    StrategyCalls, DecisionCalls, WatchlistCalls, RegimeCalls, ReplayCalls, DataCalls, ExchangeCalls, Transport
):
    """One connection pool to one API. A context manager; safe to share between threads.

    Every method raises ApiProblem when the API refuses, ApiUnreachable when there is no API to ask.
    """

    # system

    def health(self) -> HealthView:
        return self._get("/v1/system/health", HealthView)

    def ready(self) -> ReadinessView:
        """Readiness, also when it is not ready (the API then answers 503 with the same document)."""
        return self._get("/v1/system/ready", ReadinessView, accept=(200, 503))

    def status(self) -> StatusView:
        return self._get("/v1/system/status", StatusView)

    def account(self) -> AccountView:
        return self._get("/v1/account", AccountView)

    def instruments(self, category: Category | None = None) -> list[InstrumentView]:
        """What can be traded, by category and symbol."""
        return self._get("/v1/instruments", list[InstrumentView], {"category": category.value if category else None})

    def trade_defaults(self) -> TradeDefaults:
        """The exit policy a trade by hand gets when it names none."""
        return self._get("/v1/trades/defaults", TradeDefaults)

    # positions

    def positions(
        self,
        *,
        state: str | None = None,
        symbol: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[PositionView]:
        """Newest first. ``state`` is a state's name, ``active`` (any that is not final) or ``final``."""
        params = {"state": state, "symbol": symbol, "limit": limit, "cursor": cursor}
        return self._get("/v1/positions", Page[PositionView], params)

    def position(self, position_id: str) -> PositionDetail:
        return self._get(f"/v1/positions/{segment(position_id)}", PositionDetail)

    def close_position(self, position_id: str, request: CloseRequest) -> CloseAccepted:
        return self._post(f"/v1/positions/{segment(position_id)}/close", request, CloseAccepted)

    def set_targets(self, position_id: str, request: TargetsRequest) -> TargetsAccepted:
        return self._post(f"/v1/positions/{segment(position_id)}/targets", request, TargetsAccepted)

    # trading

    def trade(self, request: TradeRequest, *, key: str | None = None) -> TradeAccepted:
        """Open a position. ``key`` makes the call safe to repeat: the same key never trades twice (made if absent)."""
        headers = {"Idempotency-Key": key or new_key()}
        return self._post("/v1/trades", request, TradeAccepted, headers)

    def orders(
        self,
        *,
        symbol: str | None = None,
        state: str | None = None,
        position: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[OrderView]:
        params = {"symbol": symbol, "state": state, "position": position, "limit": limit, "cursor": cursor}
        return self._get("/v1/orders", Page[OrderView], params)

    def order(self, order_link_id: str) -> OrderView:
        return self._get(f"/v1/orders/{segment(order_link_id)}", OrderView)

    def executions(
        self,
        *,
        symbol: str | None = None,
        position: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[ExecutionView]:
        params = {"symbol": symbol, "position": position, "limit": limit, "cursor": cursor}
        return self._get("/v1/executions", Page[ExecutionView], params)

    # audit

    def events(
        self,
        *,
        kind: str | None = None,
        subject: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[EventView]:
        params = {"kind": kind, "subject": subject, "limit": limit, "cursor": cursor}
        return self._get("/v1/events", Page[EventView], params)

    def event_stream(self, *, after: int | None = None) -> Generator[EventView, None, None]:
        """Audit events as they are written, from the one after id ``after`` (None: from now), until the API ends it."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after is not None else {})
        try:
            with self._http.stream(
                "GET", "/v1/events/stream", headers=headers, timeout=httpx.Timeout(60.0)
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    raise problem_of(response)
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield EventView.model_validate_json(line[5:].strip())
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

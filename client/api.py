"""The typed client of the API: one method a call, answers as models of ``domain.views``, errors as ``ApiError``."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from client.connection import Connection, find_connection
from client.problems import ApiUnreachable, problem_of
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

Model = TypeVar("Model")
Params = Mapping[str, str | int | None]


class AtsClient:
    """One connection pool to one API. A context manager; safe to share between threads.

    Every method raises ApiProblem when the API refuses, ApiUnreachable when there is no API to ask.
    """

    def __init__(self, connection: Connection, *, timeout_seconds: float = 20.0) -> None:
        self.url = connection.url
        self._http = httpx.Client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.key}", "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_seconds, connect=2.0),
            trust_env=False,
        )

    @classmethod
    def from_environment(cls) -> Self:
        """A client for the API the environment names. Raises CredentialsMissing without a key."""
        return cls(find_connection())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # system

    def health(self) -> HealthView:
        return self._get("/v1/system/health", HealthView)

    def ready(self) -> ReadinessView:
        """Readiness, also when it is not ready (the API then answers 503 with the same document)."""
        response = self._send("GET", "/v1/system/ready", accept=(200, 503))
        return _read(response, ReadinessView)

    def status(self) -> StatusView:
        return self._get("/v1/system/status", StatusView)

    def account(self) -> AccountView:
        return self._get("/v1/account", AccountView)

    def instruments(self, category: Category | None = None) -> list[InstrumentView]:
        """What can be traded, by category and symbol."""
        response = self._send("GET", "/v1/instruments", params={"category": category.value} if category else {})
        return _read(response, list[InstrumentView])

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
        return self._get(f"/v1/positions/{_segment(position_id)}", PositionDetail)

    def close_position(self, position_id: str, request: CloseRequest) -> CloseAccepted:
        return self._post(f"/v1/positions/{_segment(position_id)}/close", request, CloseAccepted)

    def set_targets(self, position_id: str, request: TargetsRequest) -> TargetsAccepted:
        return self._post(f"/v1/positions/{_segment(position_id)}/targets", request, TargetsAccepted)

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
        return self._get(f"/v1/orders/{_segment(order_link_id)}", OrderView)

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

    # transport

    def _get(self, path: str, model: type[Model], params: Params | None = None) -> Model:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return _read(self._send("GET", path, params=given), model)

    def _post(self, path: str, body: BaseModel, model: type[Model], headers: Mapping[str, str] | None = None) -> Model:
        content = body.model_dump_json(exclude_none=True)
        sent = {"Content-Type": "application/json", **(headers or {})}
        return _read(self._send("POST", path, content=content, headers=sent), model)

    def _send(self, method: str, path: str, *, accept: tuple[int, ...] = (), **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400 and response.status_code not in accept:
            raise problem_of(response)
        return response

    def _unreachable(self, error: httpx.TransportError) -> ApiUnreachable:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return ApiUnreachable(
                f"the API at {self.url} did not answer in time; a command may still have taken effect"
            )
        return ApiUnreachable(f"the API at {self.url} can't be reached; is the stack running (make up)?")


def new_key() -> str:
    """A fresh idempotency key."""
    return uuid.uuid4().hex


def _segment(identifier: str) -> str:
    if not identifier or not identifier.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{identifier!r} is not an id")
    return identifier


def _read(response: httpx.Response, model: type[Model]) -> Model:
    try:
        return TypeAdapter(model).validate_json(response.content)
    except ValidationError as error:
        raise ApiUnreachable(
            f"the API at {response.url.host}:{response.url.port} answered something this client can't read "
            f"({error.error_count()} fields differ); are both of the same version?"
        ) from error

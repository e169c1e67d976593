"""How a call travels: one connection pool, answers read as models, failures as ``ApiError``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from client.connection import Connection, find_connection
from client.problems import ApiUnreachable, problem_of

Model = TypeVar("Model")
Params = Mapping[str, str | int | bool | datetime | None]


class Transport:
    """One connection pool to one API, and the ways to ask it."""

    def __init__(self, connection: Connection, *, timeout_seconds: float = 20.0) -> None:
        self.url = connection.url
        self._http = httpx.Client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.key}", "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_seconds, connect=2.0),
            trust_env=False,
            verify=connection.url.startswith("https:"),  # 30 ms of certificates, where there are any
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

    def _get(
        self, path: str, model: type[Model], params: Params | None = None, *, accept: tuple[int, ...] = ()
    ) -> Model:
        given = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        return _read(self._send("GET", path, params=given, accept=accept), model)

    def _post(self, path: str, body: BaseModel, model: type[Model], headers: Mapping[str, str] | None = None) -> Model:
        return _read(self._send("POST", path, content=_written(body), headers={**_JSON, **(headers or {})}), model)

    def _patch(self, path: str, body: BaseModel, model: type[Model]) -> Model:
        return _read(self._send("PATCH", path, content=_written(body), headers=_JSON), model)

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


_JSON = {"Content-Type": "application/json"}


def _text(value: str | int | bool | datetime) -> str:
    """A query parameter as the API reads it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(body: BaseModel) -> str:
    """What was set of the request; a null that was set says "none"."""
    return body.model_dump_json(exclude_unset=True)


def new_key() -> str:
    """A fresh idempotency key."""
    return uuid.uuid4().hex


def segment(identifier: str) -> str:
    """``identifier`` as a part of a path. Raises ValueError for what is no id."""
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

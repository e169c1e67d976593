"""Every connection of the server by its client's address, so that one can be broken or kept silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

Address = tuple[str, int]
SWEEP_ABOVE = 256


class Connections:
    """Transports of open connections, which of them are sockets of which path, and which of those are silent."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}
        self._sockets: dict[Address, str] = {}
        self._silences: dict[Address, list[Callable[[], bool]]] = {}

    def opened(self, transport: asyncio.Transport) -> None:
        if len(self._transports) > SWEEP_ABOVE:
            self._transports = {a: t for a, t in self._transports.items() if not t.is_closing()}
        peer = transport.get_extra_info("peername")
        self._transports[(peer[0], peer[1])] = transport

    def drop(self, scope: Scope) -> None:
        """Break the connection a request came by, at once and without an answer."""
        self._abort(address_of(scope))

    def socket_opened(self, scope: Scope) -> None:
        self._sockets[address_of(scope)] = scope["path"]

    def socket_closed(self, scope: Scope) -> None:
        self._sockets.pop(address_of(scope), None)
        self._silences.pop(address_of(scope), None)

    def cut_sockets(self, which: Literal["public", "private", "trade", "all"], path: str = "") -> int:
        """Break the sockets under ``/v5/<which>`` (path ending in ``path``) without a goodbye; how many they were."""
        chosen = self._chosen(which, path)
        for address in chosen:
            self._abort(address)
        return len(chosen)

    def silence(
        self, which: Literal["public", "private", "trade", "all"], path: str, lasting: Callable[[], bool]
    ) -> int:
        """Let those open now hear nothing while ``lasting`` says so; how many they are."""
        chosen = self._chosen(which, path)
        for address in chosen:
            self._silences.setdefault(address, []).append(lasting)
        return len(chosen)

    def is_silent(self, address: Address) -> bool:
        return any(lasting() for lasting in self._silences.get(address, ()))

    def _chosen(self, which: str, path: str) -> list[Address]:
        prefix = "/v5/" if which == "all" else f"/v5/{which}"
        return [a for a, known in self._sockets.items() if known.startswith(prefix) and known.endswith(path)]

    def _abort(self, address: Address) -> None:
        transport = self._transports.pop(address, None)
        if transport is not None:
            transport.abort()

    def http_protocol(self) -> type[H11Protocol]:
        """uvicorn's HTTP protocol that tells this registry of its connections."""
        connections = self

        class RegisteredProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:
                connections.opened(transport)
                super().connection_made(transport)

        return RegisteredProtocol

    def socket_protocol(self) -> type[WebSocketsSansIOProtocol]:
        """uvicorn's socket protocol that doesn't answer the pings of a silent socket."""
        connections = self

        class SilencedProtocol(WebSocketsSansIOProtocol):
            def handle_ping(self) -> None:
                if self.client is not None and connections.is_silent(self.client):
                    self.conn.data_to_send()  # the pong
                else:
                    super().handle_ping()

        return SilencedProtocol


def address_of(scope: Scope) -> Address:
    """Of the client of a request or socket."""
    host, port = scope["client"]
    return host, port

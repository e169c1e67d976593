"""Every connection of the server by its client's address, so that one can be broken without an answer."""

from __future__ import annotations

import asyncio
from typing import Literal

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]
SWEEP_ABOVE = 256


class Connections:
    """Transports of open connections, and which of them are sockets of which path."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}
        self._sockets: dict[Address, str] = {}

    def opened(self, transport: asyncio.Transport) -> None:
        if len(self._transports) > SWEEP_ABOVE:
            self._transports = {a: t for a, t in self._transports.items() if not t.is_closing()}
        peer = transport.get_extra_info("peername")
        self._transports[(peer[0], peer[1])] = transport

    def drop(self, scope: Scope) -> None:
        """Break the connection a request came by, at once and without an answer."""
        self._abort(_client(scope))

    def socket_opened(self, scope: Scope) -> None:
        self._sockets[_client(scope)] = scope["path"]

    def socket_closed(self, scope: Scope) -> None:
        self._sockets.pop(_client(scope), None)

    def cut_sockets(self, which: Literal["public", "private", "all"]) -> int:
        """Break the sockets under ``/v5/<which>`` without a goodbye; how many there were."""
        prefix = "/v5/" if which == "all" else f"/v5/{which}"
        chosen = [address for address, path in self._sockets.items() if path.startswith(prefix)]
        for address in chosen:
            self._abort(address)
        return len(chosen)

    def _abort(self, address: Address) -> None:
        transport = self._transports.pop(address, None)
        if transport is not None:
            transport.abort()

    def protocol_class(self) -> type[H11Protocol]:
        """uvicorn's HTTP protocol that tells this registry of its connections."""
        connections = self

        class RegisteredProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:
                connections.opened(transport)
                super().connection_made(transport)

        return RegisteredProtocol


def _client(scope: Scope) -> Address:
    host, port = scope["client"]
    return host, port

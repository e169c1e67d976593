"""A WebSocket venue that misbehaves as told: refuses topics, goes silent, cuts, loses acknowledgements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class ScriptedVenue:
    """Speaks enough of Bybit's socket protocol. Each switch holds for what arrives after it is set."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.subscribed: dict[ServerConnection, set[str]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refused_topics: set[str] = set()
        self.auth_accepted = True
        self.mute = False
        self.acks_to_lose = 0
        self.connects = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self, port: int = 0) -> None:
        self._server = await serve(self._serve, "127.0.0.1", port, ping_interval=None, close_timeout=0.1)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def open_connections(self) -> list[ServerConnection]:
        return [connection for connection in self.connections if connection in self.subscribed]

    async def push(self, topic: str, data: Any, kind: str = "snapshot", at: int = 1_700_000_000_000) -> int:
        """Tell every subscriber; how many there were."""
        told = [connection for connection in self.open_connections() if topic in self.subscribed[connection]]
        for connection in told:
            await connection.send(json.dumps({"topic": topic, "type": kind, "ts": at, "cs": at, "data": data}))
        return len(told)

    async def cut(self) -> None:
        """Break every connection without a goodbye."""
        for connection in self.open_connections():
            connection.transport.abort()
        while self.subscribed:
            await asyncio.sleep(0.005)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connects += 1
        self.connections.append(connection)
        self.subscribed[connection] = set()
        try:
            async for message in connection:
                request = json.loads(message)
                self.requests.append(request)
                answer = self._answer(connection, request)
                if answer is not None and not self.mute:
                    await connection.send(json.dumps(answer))
        except ConnectionClosed:
            pass
        finally:
            del self.subscribed[connection]

    def _answer(self, connection: ServerConnection, request: dict[str, Any]) -> dict[str, Any] | None:
        op, args = request["op"], request.get("args", [])
        if op == "ping":
            return {"success": True, "ret_msg": "pong", "op": "ping"}
        accepted = self.auth_accepted if op == "auth" else not self.refused_topics & set(args)
        if op == "subscribe" and accepted:
            self.subscribed[connection].update(args)
            if self.acks_to_lose > 0:
                self.acks_to_lose -= 1
                return None
        if op == "unsubscribe":
            self.subscribed[connection].difference_update(args)
        said = "" if accepted else "error:refused"
        return {"success": accepted, "ret_msg": said, "op": op, "req_id": request.get("req_id", "")}


@asynccontextmanager
async def scripted_venue() -> AsyncIterator[ScriptedVenue]:
    venue = ScriptedVenue()
    await venue.start()
    try:
        yield venue
    finally:
        await venue.stop()

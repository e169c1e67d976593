"""The paper exchange as a server: builds the venue, serves it over HTTP and sockets, and stops cleanly."""

from __future__ import annotations

import asyncio
import errno
import json
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from exchange.paper.auth import ApiKey, Keyring
from exchange.paper.books import books_routes
from exchange.paper.calls import Calls
from exchange.paper.clock import MarketClockKeeper
from exchange.paper.connections import Connections
from exchange.paper.fault_requests import FaultMiddleware
from exchange.paper.fault_routes import fault_routes
from exchange.paper.faults import Faults
from exchange.paper.feed import Feed
from exchange.paper.journal import Journal
from exchange.paper.market_control import control_routes
from exchange.paper.options import PaperOptions
from exchange.paper.private_rest import ENDPOINTS, private_routes
from exchange.paper.private_ws import PrivateHub
from exchange.paper.public_rest import public_routes
from exchange.paper.public_ws import public_sockets
from exchange.paper.rate_limits import AddressLimit, RateLimits
from exchange.paper.trade_ws import TradeHub
from exchange.paper.venue import Venue
from exchange.paper.wall import WallClock

STOP_SECONDS = 2


class PortTaken(Exception):
    """The port can't be had; the message says what to do."""


@dataclass(frozen=True)
class Serving:
    """A running server: where it listens, its venue, the key that trades on it; ``pump`` ends only by failing."""

    port: int
    venue: Venue
    key: ApiKey
    pump: asyncio.Task[None]


@asynccontextmanager
async def open_venue(
    options: PaperOptions, feed: Feed, keyring: Keyring, faults: Faults | None = None
) -> AsyncIterator[Venue]:
    """The venue with its account taken up from ``options.data_dir``; stored and let go of at the end.

    Raises JournalRefused and ClockRefused when the directory belongs to another market.
    """
    faults = faults or Faults(Connections())
    wall = WallClock(faults.clock_offset_ms)
    journal = Journal(options.data_dir, feed.epoch)
    try:
        clock = MarketClockKeeper(
            options.data_dir / "clock.json",
            epoch=feed.epoch,
            start=feed.start,
            speed=options.speed,
            until=feed.end,
            follow_wall=options.shadow is not None,
        )
        venue = await Venue.open(options, clock, feed, PrivateHub(keyring, wall, faults), journal)
        venue.wall = wall
    except BaseException:
        await journal.close()
        raise
    try:
        yield venue
    finally:
        await venue.close()
        clock.close()


@asynccontextmanager
async def serving(options: PaperOptions, feed: Feed) -> AsyncIterator[Serving]:
    """A server on ``options.port`` (0: any), up when entered and down when left. Raises PortTaken."""
    key = ApiKey(options.key or secrets.token_hex(9), options.secret or secrets.token_hex(18))
    others = (options.read_only_key, options.withdraw_key)
    keyring = Keyring([key, *(other for other in others if other is not None)])
    listener = _listen(options.host, options.port)
    try:
        connections = Connections()
        faults = Faults(connections)
        async with open_venue(options, feed, keyring, faults) as venue:
            server = _server(application(venue, keyring, faults, connections), connections)
            answer = asyncio.create_task(server.serve(sockets=[listener]))
            pump = asyncio.create_task(venue.run())
            try:
                while not server.started:
                    if answer.done():
                        answer.result()
                        raise RuntimeError("the HTTP server ended before it started")
                    await asyncio.sleep(0.005)
                yield Serving(listener.getsockname()[1], venue, key, pump)
            finally:
                server.should_exit = True
                await answer
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
    finally:
        listener.close()


def application(venue: Venue, keyring: Keyring, faults: Faults, connections: Connections) -> ASGIApp:
    """All routes, with the limit per address and the faults around them."""
    scale = venue.options.rate_limits
    calls = Calls(venue, ENDPOINTS, RateLimits(scale))
    routes = [
        *public_routes(venue),
        *control_routes(venue),
        *private_routes(calls, keyring, venue.wall),
        *fault_routes(faults),
        *books_routes(venue),
        *public_sockets(venue),
        WebSocketRoute("/v5/private", venue.private.endpoint),
        WebSocketRoute("/v5/trade", TradeHub(calls, keyring, venue.wall, faults).endpoint),
    ]
    return FaultMiddleware(AddressLimit(Starlette(routes=routes), scale), faults, connections)


async def run(options: PaperOptions, feed: Feed, announce: Callable[[Serving], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``announce`` is called when ready. Raises JournalFailed when the disk gives up."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(options, feed) as server:
        announce(server)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, server.pump}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if server.pump.done():
            server.pump.result()


def ready_line(server: Serving, *, made_key: bool) -> str:
    """The one JSON line told on standard output when the exchange is ready; a key made at the start is in it."""
    told: dict[str, object] = {"ready": True, "port": server.port, "epoch": server.venue.feed.epoch}
    if made_key:
        told |= {"key": server.key.key, "secret": server.key.secret}
    return json.dumps(told)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # ``run`` has the signals: stopping means more than closing sockets


def _server(app: ASGIApp, connections: Connections) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=connections.http_protocol(),
        ws=connections.socket_protocol(),
        ws_ping_interval=None,
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=60,
    )
    return _Server(config)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
        raise PortTaken(f"port {port} on {host} {reason}: choose another one with --port") from None
    listener.setblocking(False)
    return listener

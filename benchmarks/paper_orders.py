"""The paper exchange: orders a second accepted over REST and over the trade socket, each on disk before its answer.

Beside them what the disk alone does: SQLite commits of as many bytes as an order leaves in the account's file, one
after the other, in the journal's own mode. The exchange commits together what arrived together.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.registry import Figure, benchmark
from benchmarks.timing import machine_load
from workers.stack.ports import free_port

KEY, SECRET = "benchkey0000000000", "benchsecret0000000000000000000000000"
CONNECTIONS = 8
ORDERS = 400
ROUNDS = 3
START_SECONDS = 30
_NOWHERE = asyncio.subprocess.DEVNULL


@benchmark("paper_orders")
async def paper_orders() -> AsyncIterator[Figure]:
    """Market orders accepted a second, signed, rate limits off."""
    with TemporaryDirectory() as folder:
        port, data = free_port(), Path(folder) / "exchange"
        process = await _start(port, data)
        try:
            over_rest = [await _over_rest(port, f"r{number}") for number in range(ROUNDS)]
            over_socket = [await _over_socket(port, f"s{number}") for number in range(ROUNDS)]
            await _check(port, 2 * ROUNDS * ORDERS)
        finally:
            process.terminate()
            await process.wait()
        size = (data / "account.sqlite").stat().st_size // (2 * ROUNDS * ORDERS)
        commits = [await asyncio.to_thread(_commits, Path(folder) / f"plain{number}", size) for number in range(ROUNDS)]
    config = {"orders": ORDERS, "rounds": ROUNDS, "bytes_an_order": size, **machine_load()}
    reference = "SQLite commits of the same size a second, synchronous=FULL, one at a time"
    for name, rates, connections in (("rest", over_rest, CONNECTIONS), ("socket", over_socket, 1)):
        told = {**config, "connections": connections}
        yield Figure(f"paper_orders_{name}", max(rates), "orders/s", reference, max(commits), told)


async def _start(port: int, data: Path) -> asyncio.subprocess.Process:
    options = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=1000000000", "--rate-limits", "off")
    place = ("--port", str(port), "--data-dir", str(data), "--key", KEY, "--secret", SECRET)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "exchange.paper", *place, *options, stdout=_NOWHERE, stderr=_NOWHERE
    )
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"http://127.0.0.1:{port}/v5/market/time")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return process


async def _over_rest(port: int, prefix: str) -> float:
    """Orders a second over ``CONNECTIONS`` connections, each waiting for its answer before it asks again."""

    async def send(worker: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(ORDERS // CONNECTIONS):
            writer.write(_request(orjson.dumps(_order(f"{prefix}-{worker}-{number}"))))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            _accepted(orjson.loads(await reader.readexactly(length)))
        writer.close()
        await writer.wait_closed()

    begun = time.perf_counter()
    await asyncio.gather(*(send(worker) for worker in range(CONNECTIONS)))
    return ORDERS / (time.perf_counter() - begun)


async def _over_socket(port: int, prefix: str) -> float:
    """Orders a second over one trade socket with as many under way as REST has connections."""
    async with connect(f"ws://127.0.0.1:{port}/v5/trade") as socket:
        expires = int(time.time() * 1000) + 10_000
        signature = hmac.new(SECRET.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        await socket.send(orjson.dumps({"op": "auth", "args": [KEY, expires, signature]}).decode())
        _accepted(orjson.loads(await socket.recv()))
        begun = time.perf_counter()
        for number in range(CONNECTIONS):
            await _ask(socket, f"{prefix}-{number}")
        for number in range(CONNECTIONS, ORDERS + CONNECTIONS):
            _accepted(orjson.loads(await socket.recv()))
            if number < ORDERS:
                await _ask(socket, f"{prefix}-{number}")
        return ORDERS / (time.perf_counter() - begun)


async def _ask(socket: ClientConnection, link: str) -> None:
    header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000))}
    await socket.send(orjson.dumps({"op": "order.create", "header": header, "args": [_order(link)]}).decode())


async def _check(port: int, wanted: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        books = (await client.get("/paper/books")).json()
    if len(books["orders"]) != wanted or not books["check"]["ok"]:
        raise AssertionError(f"{len(books['orders'])} orders of {wanted}: {books['check']['problems']}")


def _commits(folder: Path, size: int) -> float:
    """Commits a second of a row of ``size`` bytes."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE orders (sequence INTEGER PRIMARY KEY, body BLOB)")
        begun = time.perf_counter()
        for _ in range(ORDERS):
            connection.execute("INSERT INTO orders (body) VALUES (zeroblob(?))", (size,))
        return ORDERS / (time.perf_counter() - begun)
    finally:
        connection.close()


def _order(link: str) -> dict[str, Any]:
    side = "Buy" if link.endswith(("0", "2", "4", "6", "8")) else "Sell"
    order = {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market", "qty": "0.001"}
    return {**order, "orderLinkId": link}


def _request(body: bytes) -> bytes:
    """A signed request as it goes over the wire: a client library would cost more than what is measured."""
    stamp = str(int(time.time() * 1000))
    signature = hmac.new(SECRET.encode(), f"{stamp}{KEY}5000".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Host": "127.0.0.1",
        "Content-Length": str(len(body)),
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": signature,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v5/order/create HTTP/1.1\r\n{head}\r\n".encode() + body


def _accepted(answer: dict[str, Any]) -> None:
    if answer["retCode"] != 0:
        raise AssertionError(f"not accepted: {answer}")

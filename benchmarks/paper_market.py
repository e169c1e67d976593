"""The paper exchange's public side: trades a second to many sockets, and what a busy market costs of a core.

The reference of the first writes the same frames to as many bare sockets; that of the second only encodes the rows.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import orjson
import uvloop
from websockets.asyncio.client import connect

from benchmarks.registry import Figure, benchmark
from benchmarks.timing import machine_load
from domain.market import Category, Side
from exchange.paper.feed import Tick
from exchange.paper.feeds.manual import ManualFeed
from exchange.paper.options import PaperOptions
from exchange.paper.public_ws import PublicHub
from exchange.paper.server import serving

LISTENERS = 100
TICKS = 2_000
SYMBOLS = 100
SECONDS = 10.0
_TOPIC = "publicTrade.BTCUSDT"
_START = datetime(2026, 1, 1, tzinfo=UTC)
_ROOT = Path(__file__).resolve().parents[1]


@benchmark("paper_market_fanout")
def paper_market_fanout() -> Iterator[Figure]:
    """Trades a second, each a message of its own, until the last of 100 sockets has the last one."""
    with tempfile.TemporaryDirectory() as folder:
        rate, messages = uvloop.run(_fanout(Path(folder)))
    reference = uvloop.run(_bare_fanout(messages))
    config = {"sockets": LISTENERS, "ticks": TICKS, **machine_load()}
    yield Figure(
        f"paper_market_fanout_{LISTENERS}", rate, "ticks/s", "the same frames to bare sockets", reference, config
    )


async def _fanout(folder: Path) -> tuple[float, list[str]]:
    """(trades a second, their messages)."""
    feed = ManualFeed(folder / "manual.db", {"BTCUSDT": Decimal(60_000)}, _START)
    options = PaperOptions(data_dir=folder, port=0, manual=True, symbols=("BTCUSDT=60000",))
    ticks = [
        Tick(Category.LINEAR, "BTCUSDT", _START, Decimal(60_000) + n % 50, Decimal("0.5"), Side.BUY, n)
        for n in range(TICKS)
    ]
    async with serving(options, feed) as server, _listeners(server.port) as told:
        kept = _Kept()
        hub: PublicHub = server.venue.hub
        hub.join(Category.LINEAR, [_TOPIC], kept)  # type: ignore[arg-type]
        started = time.perf_counter()
        for tick in ticks:
            hub.publish([tick], hub.position)
            await asyncio.sleep(0)
        await _expect(told, b"done\n")
        elapsed = time.perf_counter() - started
        if len(kept.messages) != TICKS:
            raise AssertionError(f"{len(kept.messages)} messages told, not {TICKS}")
    feed.close()
    return TICKS / elapsed, kept.messages


async def _bare_fanout(messages: list[str]) -> float:
    """Messages a second that a server without anything around it gets to the same listeners."""
    frames = [_frame(message.encode()) for message in messages]
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await reader.read(1000)
        writer.write(_frame(b'{"ret_msg":"subscribe"}'))
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, _listeners(server.sockets[0].getsockname()[1]) as told:
        started = time.perf_counter()
        for frame in frames:
            for writer in writers:
                writer.write(frame)
            await asyncio.sleep(0)
        await _expect(told, b"done\n")
        elapsed = time.perf_counter() - started
        for writer in writers:
            writer.close()
    return len(frames) / elapsed


def _frame(payload: bytes) -> bytes:
    """A text frame as a server sends it."""
    size = struct.pack("!B", len(payload)) if len(payload) < 126 else struct.pack("!BH", 126, len(payload))
    return b"\x81" + size + payload


class _Kept:
    """A listener beside the sockets, which shows that each trade was a message."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, message: str) -> None:
        self.messages.append(message)


@asynccontextmanager
async def _listeners(port: int) -> AsyncIterator[asyncio.StreamReader]:
    """The listening program, subscribed; what else it prints. Killed at the end."""
    marker = f'"seq":{TICKS - 1}'
    command = ("-m", "benchmarks.market_listeners", str(port), str(LISTENERS), _TOPIC, marker)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
    try:
        assert process.stdout is not None
        await _expect(process.stdout, b"ready\n")
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _expect(told: asyncio.StreamReader, line: bytes) -> None:
    found = await asyncio.wait_for(told.readline(), timeout=60)
    if found != line:
        raise AssertionError(f"the listeners said {found!r}, not {line!r}")


@benchmark("paper_market_load")
def paper_market_load() -> Iterator[Figure]:
    """The share of a core that the whole exchange takes for 100 symbols' tickers and trades, and for encoding them."""
    with tempfile.TemporaryDirectory() as folder:
        share, messages = asyncio.run(_load(Path(folder)))
    rows = [orjson.loads(message) for message in messages]
    started = time.process_time()
    for row in rows:
        orjson.dumps(row)
    reference = (time.process_time() - started) / SECONDS
    config = {
        "symbols": SYMBOLS,
        "messages_per_second": round(len(messages) / SECONDS),
        "trades_per_second": round(sum(len(row["data"]) for row in rows if row["topic"].startswith("p")) / SECONDS),
        **machine_load(),
    }
    yield Figure("paper_market_load_100_symbols", share, "cores", "its messages encoded", reference, config)


async def _load(folder: Path) -> tuple[float, list[str | bytes]]:
    """(share of a core over ``SECONDS``, the messages told meanwhile)."""
    names = [f"S{number:02d}USDT" for number in range(SYMBOLS)]
    command = ("-m", "exchange.paper", "--port", "0", "--data-dir", str(folder / "data"), "--manual", "--symbols")
    opening = (f"{name}=10" for name in names)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, *opening, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=_ROOT
    )
    try:
        assert process.stdout is not None
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), timeout=60))["port"]
        async with connect(f"ws://127.0.0.1:{port}/v5/public/linear", max_size=None) as socket:
            topics = [f"{kind}.{name}" for name in names for kind in ("tickers", "publicTrade")]
            await socket.send(json.dumps({"op": "subscribe", "args": topics}))
            trading = asyncio.create_task(_trade(f"http://127.0.0.1:{port}", names))
            try:
                while '"delta"' not in str(await asyncio.wait_for(socket.recv(), timeout=60)):
                    pass  # the snapshots come first
                used, until = _cpu_seconds(process.pid), time.monotonic() + SECONDS
                messages: list[str | bytes] = []
                while (left := until - time.monotonic()) > 0:
                    messages.append(await asyncio.wait_for(socket.recv(), left + 1))
                return (_cpu_seconds(process.pid) - used) / SECONDS, messages
            finally:
                trading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _trade(url: str, names: list[str]) -> None:
    """Let each symbol trade once a second in both categories, ten times a second some of them."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for turn in itertools.count():
            begun = time.monotonic()
            price = str(Decimal(10) + Decimal(turn % 7) / 100)
            trades = [
                {"category": category, "symbol": name, "price": price}
                for name in names[turn % 10 :: 10]
                for category in ("linear", "spot")
            ]
            (await http.post("/paper/ticks", json=trades)).raise_for_status()
            await asyncio.sleep(max(0.1 - (time.monotonic() - begun), 0))


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

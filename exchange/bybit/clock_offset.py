"""How far the exchange's protocol clock is from ours: measured at the start, once a minute, and when it is doubted.

While it is off it is measured every few seconds: entries wait for it.

The middle of a round trip is when the exchange read its clock, give or take half the trip; of three trips the fastest
tells best. pybit signs with our clock as it is, so an offset near the exchange's window is said loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

from exchange.bybit.errors import unreadable_is_unknown
from exchange.bybit.rest import RestClient
from exchange.protocol import ClockOffset, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)

_EVERY_SECONDS = 60.0
_WHILE_OFF_SECONDS = 5.0
_AT_MOST_EVERY_SECONDS = 1.0
_TRIPS = 3
_AHEAD_ALLOWED_MS = 1000.0
"""A timestamp may be so far ahead of the exchange's clock; behind it by the receive window."""


class OffsetMeter:
    """Measures in the background between ``start`` and ``close``."""

    def __init__(self, rest: RestClient, recv_window_ms: int) -> None:
        self._rest = rest
        self._behind_allowed_ms = float(recv_window_ms)
        self._latest: ClockOffset | None = None
        self._doubted = asyncio.Event()
        self._alone = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def latest(self) -> ClockOffset | None:
        """As last measured; None before the first measurement."""
        return self._latest

    def doubt(self) -> None:
        """The exchange refused a timestamp: measure now."""
        self._doubted.set()

    async def offset(self) -> timedelta:
        """The last measurement, or if there is none a new one. Raises the protocol's errors."""
        latest = self._latest
        if latest is None:
            async with self._alone:
                latest = self._latest or await self._measure()
        return timedelta(milliseconds=latest.offset_ms)

    async def _keep(self) -> None:
        while True:
            try:
                async with self._alone:
                    await self._measure()
            except ExchangeError as error:
                log.warning("clock offset not measured", error=str(error))
            await asyncio.sleep(_AT_MOST_EVERY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_next() - _AT_MOST_EVERY_SECONDS):
                    await self._doubted.wait()
            self._doubted.clear()

    def _until_next(self) -> float:
        return (
            _WHILE_OFF_SECONDS if self._latest is not None and self._is_off(self._latest.offset_ms) else _EVERY_SECONDS
        )

    def _is_off(self, offset_ms: float) -> bool:
        return offset_ms > self._behind_allowed_ms / 2 or offset_ms < -_AHEAD_ALLOWED_MS / 2

    async def _measure(self) -> ClockOffset:
        trips = [await self._trip() for _ in range(_TRIPS)]
        _, offset_ms = min(trips)
        self._latest = ClockOffset(offset_ms=offset_ms, measured_at=datetime.now(UTC))
        if self._is_off(offset_ms):
            log.error(
                "our clock is off: the exchange may refuse what we sign",
                offset_ms=round(offset_ms),
                refused_over_ms=self._behind_allowed_ms,
                refused_under_ms=-_AHEAD_ALLOWED_MS,
            )
        return self._latest

    @unreadable_is_unknown
    async def _trip(self) -> tuple[float, float]:
        """(length of the round trip in ms, offset in ms)."""
        answer, began, took = await self._rest.timed("get_server_time")
        return took / 1e6, (int(answer["result"]["timeNano"]) - began - took / 2) / 1e6

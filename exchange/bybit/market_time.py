"""Market time: the paper exchange's clock, or for the real ones the wall corrected by the measured offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx

from domain.clock import MarketClock
from exchange.bybit.rest import RestClient
from exchange.protocol import Mode, OutcomeUnknown, RetryLater

_PAPER_SECONDS = 1.0
_OFFSET_SECONDS = 60.0


class PaperTime:
    """``GET /paper/clock``, read at most once a second and extrapolated between."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_seconds, trust_env=False)
        self._reading: MarketClock | None = None
        self._read_at = 0.0

    async def read(self, max_age_seconds: float = _PAPER_SECONDS) -> MarketClock:
        """The market's clock now. Raises RetryLater when the exchange can't be asked (a reading has no effect)."""
        if self._reading is None or time.monotonic() - self._read_at > max_age_seconds:
            self._reading = await self._ask()
            self._read_at = time.monotonic()
        wall = datetime.now(UTC)
        return self._reading.model_copy(update={"now": self._reading.at(wall), "read_at": wall})

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self) -> MarketClock:
        try:
            answer = await self._http.get("/paper/clock")
            answer.raise_for_status()
            told = answer.json()
            speed = 0.0 if told.get("paused") else float(told["speed"])
            # Our own wall time at the arrival: with another machine's, two clocks' difference would be in every answer.
            return MarketClock(epoch=told["epoch"], now=told["now"], speed=speed, read_at=datetime.now(UTC))
        except httpx.HTTPError as failure:
            raise RetryLater(f"market clock: {type(failure).__name__}: {failure}") from failure
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            raise OutcomeUnknown(f"market clock: unreadable answer: {failure}") from failure


class WallTime:
    """Wall time plus the exchange's offset, measured once a minute at half the round trip. The epoch is the mode."""

    def __init__(self, mode: Mode, rest: RestClient) -> None:
        self._mode = mode
        self._rest = rest
        self._offset = timedelta(0)
        self._measured_at: float | None = None

    async def read(self, max_age_seconds: float = _OFFSET_SECONDS) -> MarketClock:
        if self._measured_at is None or time.monotonic() - self._measured_at > max(max_age_seconds, 1.0):
            await self._measure()
        wall = datetime.now(UTC)
        return MarketClock(epoch=self._mode, now=wall + self._offset, speed=1.0, read_at=wall)

    async def close(self) -> None:
        """Nothing of its own to close."""

    async def _measure(self) -> None:
        before = datetime.now(UTC)
        answer = await self._rest.query("get_server_time")
        after = datetime.now(UTC)
        exchange = datetime.fromtimestamp(int(answer["result"]["timeNano"]) / 1e9, UTC)
        self._offset = exchange - (before + (after - before) / 2)
        self._measured_at = time.monotonic()

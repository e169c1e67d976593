"""Market time: the paper exchange's clock, or for the real ones the wall corrected by the measured offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx

from domain.clock import MarketClock
from exchange.bybit.clock_offset import OffsetMeter
from exchange.protocol import Mode, OutcomeUnknown, Refused, RetryLater

_PAPER_SECONDS = 1.0
_ADVANCE_SECONDS = 15.0  # a quarter hour of every symbol is worked through before the answer


class PaperTime:
    """``GET /paper/clock``, read at most once a second and extrapolated between; in step mode read each time."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        tls = url.startswith("https:")  # 30 ms of certificates, where there are any
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_seconds, trust_env=False, verify=tls)
        self._reading: MarketClock | None = None
        self._read_at = 0.0

    async def read(self, max_age_seconds: float = _PAPER_SECONDS) -> MarketClock:
        """The market's clock now. Raises RetryLater when the exchange can't be asked (a reading has no effect)."""
        reading = self._reading
        # a market in steps stands still until it is told to go on, which must be seen at once
        if reading is None or reading.step or time.monotonic() - self._read_at > max_age_seconds:
            reading = self._reading = await self._ask()
            self._read_at = time.monotonic()
        wall = datetime.now(UTC)
        return reading.model_copy(update={"now": reading.at(wall), "read_at": wall})

    async def advance(self, to: datetime | None) -> MarketClock:
        """``POST /paper/clock/advance``. Raises Refused, RetryLater (not sent) or OutcomeUnknown."""
        body = {} if to is None else {"to": to.isoformat()}
        try:
            answer = await self._http.post("/paper/clock/advance", json=body, timeout=_ADVANCE_SECONDS)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as failure:
            raise RetryLater(f"advancing the market: {type(failure).__name__}: {failure}") from failure
        except httpx.HTTPError as failure:
            raise OutcomeUnknown(f"advancing the market: {type(failure).__name__}: {failure}") from failure
        if answer.is_client_error:
            raise Refused(f"advancing the market: {_reason(answer)}")
        if not answer.is_success:
            raise OutcomeUnknown(f"advancing the market: HTTP {answer.status_code}")
        return await self.read(max_age_seconds=0.0)

    def stands_still(self) -> bool:
        """Whether, as last read, nothing happens in the market: it is paused, or waits for its next step."""
        reading = self._reading
        return reading is not None and (reading.step or reading.speed == 0)

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self) -> MarketClock:
        try:
            answer = await self._http.get("/paper/clock")
            answer.raise_for_status()
            told = answer.json()
            speed = 0.0 if told.get("paused") else float(told["speed"])
            # Our own wall time at the arrival: with another machine's, two clocks' difference would be in every answer.
            now, step = told["now"], bool(told.get("step"))
            return MarketClock(epoch=told["epoch"], now=now, speed=speed, read_at=datetime.now(UTC), step=step)
        except httpx.HTTPError as failure:
            raise RetryLater(f"market clock: {type(failure).__name__}: {failure}") from failure
        except (ValueError, KeyError, TypeError, AttributeError) as failure:
            raise OutcomeUnknown(f"market clock: unreadable answer: {failure}") from failure


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


class WallTime:
    """Wall time plus the exchange's offset as it was last measured. The epoch is the mode."""

    def __init__(self, mode: Mode, offset: OffsetMeter) -> None:
        self._mode = mode
        self._offset = offset

    async def read(self, max_age_seconds: float = 0.0) -> MarketClock:
        """Never older than this instant, whatever ``max_age_seconds``. Raises the protocol's errors at the start."""
        offset = await self._offset.offset()
        wall = datetime.now(UTC)
        return MarketClock(epoch=self._mode, now=wall + offset, speed=1.0, read_at=wall)

    async def close(self) -> None:
        """Nothing of its own to close."""

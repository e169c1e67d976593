"""The market's regime: a row for every 4h close, computed from the candles of BTC before anything decides on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.candle_completion import OUTAGE_ATTEMPTS, CandleCompletion
from activities.due_strategies import ScanRequest, Window
from activities.failures import EXCHANGE_UNAVAILABLE, failure
from db.models import BtcMarketStateHistory
from db.repositories.audit import record_event, told_ever
from db.repositories.panels import load_panel
from db.repositories.regimes import (
    REBUILD,
    SCAN,
    NewRegime,
    append_regimes,
    lock_regime,
    newest_regime,
    regime_before,
    regimes_between,
)
from db.session import Database
from domain.candle import Timeframe, to_ms
from domain.history import REGIME_CATEGORY, REGIME_PAST, REGIME_STEP, REGIME_SYMBOL
from domain.regime import Regime
from domain.regime_score import DAYS_MOST, FOUR_HOURS, Bars, RegimeScore, score_series
from domain.regime_state import RegimeState, after_hole, walk
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)

_STEP = REGIME_STEP.duration


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording a stretch of closes came to: rows written, closes left without one, the newest row then."""

    written: int
    unknown: int
    newest: BtcMarketStateHistory | None


class RegimeActivities:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._recorder = RegimeRecorder(database, exchange)

    @activity.defn
    async def advance_regime(self, request: ScanRequest) -> int:
        """Append what is missing of the regime up to the last 4h close before the scan decides; how many rows.

        Of a past that nobody computed at most ``REGIME_PAST``. What can't be computed is left out and told once: the
        gates of whoever needs it say so.
        """
        async with beating():
            last = REGIME_STEP.floor(request.close_at)
            async with self._database.session() as session:
                newest = await newest_regime(session, request.epoch)
            first = last - REGIME_PAST
            if newest is not None:
                first = max(newest.valid_from + _STEP, first)
            if first > last:
                return 0
            await self._recorder.fetch(first, last)
            async with self._database.session() as session:
                present = last if last == request.close_at else None
                recorded = await self._recorder.record(session, request.epoch, first, last, present)
                _tell(session, request, newest, recorded.newest)
                if recorded.newest is None or recorded.newest.valid_from < last:
                    await _tell_unknown(session, request, recorded.newest)
            return recorded.written


class RegimeRecorder:
    """Regimes of stretches of 4h closes: of each that has none, if it can be computed."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._completion = CandleCompletion(database, exchange)

    async def fetch(self, first: datetime, last: datetime) -> None:
        """Candles behind the closes from ``first`` to ``last``, as far as the exchange has them.

        One that doesn't answer is asked again by further attempts of the activity, and then gone without.
        """
        windows = _windows(first, last)
        edges = [window.newest for window in windows]
        try:  # apart: a window that lacks its beginning must not keep its end from being waited for
            await self._completion.complete(windows, last)
            await self._completion.complete(edges, last)
        except ExchangeError as error:
            if activity.info().attempt < OUTAGE_ATTEMPTS:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't complete the regime's candles: {error}") from error
            log.error("the regime goes without candles that are missing", error=str(error))

    async def record(
        self, session: AsyncSession, epoch: str, first: datetime, last: datetime, present: datetime | None = None
    ) -> Recorded:
        """Store a row for each close from ``first`` to ``last`` that has none and can have one.

        ``present`` is the close that is being scanned, the others are a past.
        """
        await lock_regime(session, epoch)
        closes = [first + place * _STEP for place in range((last - first) // _STEP + 1)]
        known = await regimes_between(session, epoch, first, last)
        scores = await self._scores(session, closes)
        settled = {place: state_of(known[close]) for place, close in enumerate(closes) if close in known}
        before = await _state_before(session, epoch, first)
        states = walk(before, [score.score if score else None for score in scores], settled)
        rows = [
            _row(close, state, score, SCAN if close == present else REBUILD)
            for close, state, score in zip(closes, states, scores, strict=True)
            if close not in known and state is not None and score is not None
        ]
        written = await append_regimes(session, epoch, rows)
        unknown = len(closes) - len(known) - len(rows)
        return Recorded(written, unknown, await newest_regime(session, epoch))

    async def _scores(self, session: AsyncSession, closes: Sequence[datetime]) -> list[RegimeScore | None]:
        """Arithmetic on a thread: the guards of this process see their prices meanwhile."""
        four_hourly, daily = [await _bars(session, window) for window in _windows(closes[0], closes[-1])]
        instants = [to_ms(close) for close in closes]
        return await asyncio.to_thread(score_series, daily, four_hourly, instants)


def state_of(row: BtcMarketStateHistory) -> RegimeState:
    """The regime's memory as a row tells it."""
    return RegimeState(
        state=Regime(row.state),
        effective=Regime(row.effective) if row.effective else None,
        streak=row.streak,
        pending=Regime(row.pending) if row.pending else None,
    )


async def _state_before(session: AsyncSession, epoch: str, first: datetime) -> RegimeState | None:
    """What the close ``first`` follows from; None if nothing was known for as long as ``REGIME_PAST``."""
    row = await regime_before(session, epoch, first, first - REGIME_PAST)
    if row is None:
        return None
    return state_of(row) if row.valid_from == first - _STEP else after_hole(state_of(row))


def _windows(first: datetime, last: datetime) -> tuple[Window, Window]:
    """The candles of 4h and 1d behind the scores of the closes from ``first`` to ``last``."""
    return _window(Timeframe.H4, FOUR_HOURS, first, last), _window(Timeframe.D1, DAYS_MOST, first, last)


def _window(timeframe: Timeframe, bars: int, first: datetime, last: datetime) -> Window:
    start, end = timeframe.floor(first) - bars * timeframe.duration, timeframe.floor(last)
    length = timeframe.duration
    return Window(REGIME_CATEGORY, timeframe, (REGIME_SYMBOL,), start, end - length, (end - start) // length)


async def _bars(session: AsyncSession, window: Window) -> Bars:
    panel = await load_panel(session, window.category, window.timeframe, window.symbols, window.first, window.last)
    return Bars(panel.open_time, panel.high[0], panel.low[0], panel.close[0])


def _row(close: datetime, state: RegimeState, score: RegimeScore, source: str) -> NewRegime:
    return NewRegime(
        valid_from=close,
        state=state.state,
        effective=state.effective,
        confirmed=state.confirmed,
        streak=state.streak,
        pending=state.pending,
        score=score.score,
        components=score.told_components(),
        inputs=score.told_inputs(),
        source=source,
    )


def _tell(
    session: AsyncSession,
    request: ScanRequest,
    before: BtcMarketStateHistory | None,
    now: BtcMarketStateHistory | None,
) -> None:
    """Say that another regime is in force than before this scan."""
    old, new = before.effective if before else None, now.effective if now else None
    if now is None or old == new:
        return
    detail = {"from": old, "to": new, "score": round(now.score, 2), "valid_from": now.valid_from.isoformat()}
    record_event(session, "regime_changed", request.epoch, who="scan", market_at=request.close_at, detail=detail)


async def _tell_unknown(session: AsyncSession, request: ScanRequest, newest: BtcMarketStateHistory | None) -> None:
    """Say once, until there is a regime again, that a close has none."""
    since = f"{newest.valid_from:%Y-%m-%dT%H:%MZ}" if newest else "ever"
    log.warning("no regime at this close", close_at=request.close_at.isoformat(), known_until=since)
    subject = f"{request.epoch} since {since}"
    if not await told_ever(session, "regime_unknown", subject):
        detail = {"close_at": request.close_at.isoformat(), "symbol": REGIME_SYMBOL, "category": REGIME_CATEGORY}
        record_event(
            session,
            "regime_unknown",
            subject,
            who="scan",
            severity="warning",
            market_at=request.close_at,
            detail=detail,
        )

"""The candles a scan decides on: waited for at the edge, fetched where they are missing, counted when that is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel
from temporalio import activity

from activities.beating import beating
from activities.candle_completion import CandleCompletion, Series
from activities.due_strategies import (
    DueStrategy,
    ScanRequest,
    Window,
    due_strategies,
    together,
    windows_of,
)
from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.strategies_in_use import needed_markets
from activities.universe import listed_universe
from activities.universe_choice import choice_is_due
from db.repositories.market import list_instruments
from db.repositories.scans import DONE, begin_scan
from db.repositories.settings import settings_version
from db.session import Database
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)


class OpenedScan(BaseModel):
    """``done``: this close was scanned before, there is nothing to do."""

    done: bool


class Gap(BaseModel):
    """Candles that a strategy needs of a symbol and nobody has."""

    strategy: str
    symbol: str
    bars: int


class Completeness(BaseModel):
    """``symbols`` (of all strategies together) were asked for, ``fetched`` candles came by REST; ``gaps`` stay."""

    symbols: int
    fetched: int
    gaps: list[Gap]


class ScanCandleActivities:
    """The first half of ``scan/<close>``. Each is safe to repeat."""

    def __init__(self, database: Database, exchange: Exchange, strategies: Mapping[str, Strategy] = STRATEGIES) -> None:
        self._database = database
        self._exchange = exchange
        self._strategies = strategies
        self._completion = CandleCompletion(database, exchange)

    @activity.defn
    async def open_scan(self, request: ScanRequest) -> OpenedScan:
        """Write down that the close is being scanned."""
        async with self._database.session() as session:
            version = await settings_version(session)
            scan = await begin_scan(session, request.epoch, request.close_at, request.timeframes, version)
            return OpenedScan(done=scan.state == DONE)

    @activity.defn
    async def complete_candles(self, request: ScanRequest) -> Completeness:
        """Every candle of every window the due strategies need, as far as the exchange has them."""
        async with beating():
            try:
                await self._learn_instruments()
                due = await self._due(request)
                fetched, missing = await self._complete(due, request.close_at)
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't complete the candles: {error}") from error
            return Completeness(
                symbols=len({(one.config.category, symbol) for one in due for symbol in one.symbols}),
                fetched=fetched,
                gaps=await self._gaps(due, missing, request.close_at),
            )

    async def _complete(self, due: Sequence[DueStrategy], close_at: datetime) -> tuple[int, set[Series]]:
        """How many candles were fetched, and the series that lack some all the same."""
        windows = together(window for one in due for window in windows_of(one, close_at))
        missing = await self._completion.missing(windows)
        if not missing:  # as a rule: the stream stored what closed
            return 0, set()
        fetched = await self._completion.fill(windows, missing, close_at)
        # apart: a symbol whose history is shorter than a window must not keep its newest candle from being waited for
        just_closed = [each.newest for each in windows if each.last + each.timeframe.duration == close_at]
        fetched += await self._completion.complete(just_closed, close_at)
        return fetched, set(await self._completion.missing(windows))

    async def _learn_instruments(self) -> None:
        """Ask the exchange what it lists if nothing is known yet, or not of a symbol that a strategy needs: the market
        stream may not have come to it. And at a 4h close, for the universe to be chosen anew."""
        now = (await self._exchange.market_clock()).now
        async with self._database.session() as session:
            known = {(one.category, one.symbol) for one in await list_instruments(session)}
            needed = await needed_markets(session, self._strategies)
            due = await choice_is_due(session, now)
        if known and not needed - known and not due:
            return
        try:
            await listed_universe(self._database, self._exchange, self._strategies)
        except ExchangeError as error:
            if not known:
                raise
            log.error("scanning what was listed before", error=str(error))  # exits must go on

    async def _due(self, request: ScanRequest) -> list[DueStrategy]:
        async with self._database.session() as session:
            return await due_strategies(session, self._strategies, request.timeframes)

    async def _gaps(self, due: Sequence[DueStrategy], incomplete: Collection[Series], close_at: datetime) -> list[Gap]:
        """What each strategy lacks of the ``incomplete`` series: a longer window may lack what it doesn't need."""
        gaps = []
        for one in due:
            windows = [_only(window, incomplete) for window in windows_of(one, close_at)]
            missing: dict[str, int] = {}
            for (_, symbol, _), found in (
                await self._completion.missing([each for each in windows if each.symbols])
            ).items():
                missing[symbol] = missing.get(symbol, 0) + sum(hole.bars for hole in found)
            gaps += [Gap(strategy=one.config.strategy, symbol=symbol, bars=bars) for symbol, bars in missing.items()]
        return sorted(gaps, key=lambda gap: (gap.strategy, gap.symbol))


def _only(window: Window, series: Collection[Series]) -> Window:
    """``window`` for those of its symbols that are among ``series``."""
    chosen = (each for each in window.symbols if (window.category, each, window.timeframe) in series)
    return replace(window, symbols=tuple(chosen))

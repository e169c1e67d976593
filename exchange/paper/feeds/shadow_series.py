"""What the real exchange lists by stamps, passed through with a small cache: open interest, account ratio, funding."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from domain.candle import from_ms, to_ms
from domain.market import Category
from exchange.paper.feed import AccountRatio, Interest
from exchange.paper.feeds.shadow_store import ShadowStore
from exchange.paper.feeds.shadow_upstream import UpstreamSilent
from exchange.paper.feeds.shadow_wire import STAMP_PERIODS, Row

_FRESH_SECONDS = 30.0
_MOST_ANSWERS = 256
_PAGE = {"open-interest": 200, "account-ratio": 500}
_FUNDING_PAGE = 200
_EIGHT_HOURS_MS = 8 * 3600 * 1000
T = TypeVar("T")

log = logging.getLogger(__name__)


class ShadowSeries:
    """``ask`` is ``Upstream.ask``. Where it fails, what was known is told, and nothing where nothing was."""

    def __init__(self, store: ShadowStore, ask: Callable[..., Row]) -> None:
        self._store = store
        self._ask = ask
        self._answers: OrderedDict[tuple[str, str, int, int, int, int], tuple[float, list[Row]]] = OrderedDict()
        self._funding: dict[str, dict[int, Decimal]] = {}
        self._asked_funding: dict[tuple[str, int], float] = {}

    def open_interest(self, symbol: str, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[Interest]:
        rows = self._stamps("open-interest", "intervalTime", symbol, (interval_ms, first_ms, last_ms, limit))
        return [Interest(from_ms(int(row["timestamp"])), Decimal(row["openInterest"])) for row in rows]

    def account_ratio(
        self, symbol: str, interval_ms: int, first_ms: int, last_ms: int, limit: int
    ) -> list[AccountRatio]:
        rows = self._stamps("account-ratio", "period", symbol, (interval_ms, first_ms, last_ms, limit))
        return [
            AccountRatio(from_ms(int(row["timestamp"])), Decimal(row["buyRatio"]), Decimal(row["sellRatio"]))
            for row in rows
        ]

    def note_prediction(self, symbol: str, at_ms: int, rate: Decimal) -> None:
        """What the ticker says will be settled at ``at_ms``: the last of it is what is settled here."""
        known = self._predictions(symbol)
        if known.get(at_ms) != rate:
            known[at_ms] = rate
            self._store.keep({f"funding/{symbol}/{at_ms}": str(rate)})

    def funding_rate(self, symbol: str, at: datetime) -> Decimal:
        """What the ticker last announced for ``at``, else what is listed; 0 where neither is known."""
        at_ms, known = to_ms(at), self._predictions(symbol)
        if at_ms not in known and time.monotonic() >= self._asked_funding.get((symbol, at_ms), 0.0):
            self._asked_funding[symbol, at_ms] = time.monotonic() + _FRESH_SECONDS
            for stamp, rate in self._listed_funding(symbol, at_ms):
                known.setdefault(stamp, rate)
        return known.get(at_ms, Decimal(0))

    def _predictions(self, symbol: str) -> dict[int, Decimal]:
        if symbol not in self._funding:
            kept = self._store.facts(f"funding/{symbol}/")
            self._funding[symbol] = {int(at): Decimal(rate) for at, rate in kept.items()}
        return self._funding[symbol]

    def _listed_funding(self, symbol: str, at_ms: int) -> list[tuple[int, Decimal]]:
        window = {"endTime": at_ms + _EIGHT_HOURS_MS, "limit": _FUNDING_PAGE}
        try:
            rows = self._ask("funding/history", category=Category.LINEAR.value, symbol=symbol, **window)["list"]
        except UpstreamSilent as silent:
            log.warning("funding of %s is told as far as it is known: %s", symbol, silent)
            return []
        return [(int(row["fundingRateTimestamp"]), Decimal(row["fundingRate"])) for row in rows]

    def _stamps(self, path: str, period: str, symbol: str, window: tuple[int, int, int, int]) -> list[Row]:
        """The newest rows of a window (interval, first, last, limit), oldest first."""
        interval_ms, first_ms, last_ms, limit = window
        if interval_ms not in STAMP_PERIODS or first_ms > last_ms:
            return []
        last_ms -= last_ms % interval_ms
        first_ms = max(first_ms, last_ms - (limit - 1) * interval_ms)
        key = (path, symbol, interval_ms, first_ms, last_ms, limit)
        at, rows = self._answers.get(key, (-_FRESH_SECONDS, []))
        if time.monotonic() - at > _FRESH_SECONDS:
            asked = {period: STAMP_PERIODS[interval_ms], "startTime": first_ms, "endTime": last_ms}
            try:
                rows = self._pages(path, symbol, asked, limit)
            except UpstreamSilent as silent:
                log.warning("%s of %s is told as far as it is known: %s", path, symbol, silent)
            self._answers[key] = time.monotonic(), rows
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
        return rows

    def _pages(self, path: str, symbol: str, asked: dict[str, str | int], limit: int) -> list[Row]:
        rows: list[Row] = []
        cursor: str | None = None
        while len(rows) < limit:
            page = self._ask(
                path, category=Category.LINEAR.value, symbol=symbol, limit=_PAGE[path], cursor=cursor, **asked
            )
            rows += page["list"]
            cursor = page.get("nextPageCursor")
            if not cursor or not page["list"]:
                break
        return sorted(rows[:limit], key=lambda row: int(row["timestamp"]))

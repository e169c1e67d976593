"""Each fault of the exchange at each moment of an order's life, for entries, exits and stops.

A cell is one position that lives and dies with one fault at one moment. Cells of one fault run side by side, each on a
market of its own; a fault that hits the whole exchange (a restart, a cut socket) runs its cells one after the other.
``python -m tests.chaos.fault_matrix`` runs all of them and writes the table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.failures import DENIED
from activities.leaving import Settled
from config.settings import Settings
from domain.exits import ExitPolicy
from domain.ids import manual_position_id
from domain.market import Category
from domain.position import PositionState
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.postgres import running_postgres
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, settings_for
from tests.support.waiting import eventually
from workers.verify import verify
from workflows import market_clock
from workflows.options import TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.position import PositionInput, PositionWorkflow
from workflows.position_messages import SetTargets

SYMBOLS = (
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "LINKUSDT",
    "LTCUSDT", "DOTUSDT", "TRXUSDT", "BNBUSDT", "AVAXUSDT", "AAVEUSDT",
)  # fmt: skip
EXCHANGE_OPTIONS = ("--manual", "--deposit", "USDT=1000000", "--symbols", *SYMBOLS)
POLICY = ExitPolicy(stop_loss_pct=Decimal(2))
LOOSER = ExitPolicy(stop_loss_pct=Decimal(4))
# a fall through the guard's stop that leaves the one at the exchange at rest, and one through both
_TO_GUARD, _TO_LOOSER_GUARD, _THROUGH_BOTH = "0.975", "0.955", "0.94"
MAX_UNPROTECTED = 15.0
_OVER_SECONDS = 120.0
_ENTRY_AGAIN_SECONDS = 1.0


class Moment(StrEnum):
    """Role and moment: which of a position's requests is hit, and before or after it took effect."""

    ENTRY_BEFORE = "entry, before it is accepted"
    ENTRY_AFTER = "entry, after it was accepted"
    ENTRY_PARTIAL = "entry, filled in part"
    EXIT_BEFORE = "exit, before it is accepted"
    EXIT_AFTER = "exit, after it was accepted"
    EXIT_PARTIAL = "exit, between partial fills"
    STOP_BEFORE = "stop, before it is accepted"
    STOP_AFTER = "stop, after it was accepted"
    STOP_PARTIAL = "stop, re-sized between partial fills"
    STOP_CANCEL = "stop, while it is cancelled"
    STOP_AMEND = "stop, while it is amended"
    STOP_MOVE = "stop of a perpetual, while it is moved"


_ENDPOINTS: dict[Moment, tuple[str, str]] = {
    Moment.ENTRY_BEFORE: ("order/create", "-E1"),
    Moment.ENTRY_AFTER: ("order/create", "-E1"),
    Moment.ENTRY_PARTIAL: ("order/create", "-E1"),
    Moment.EXIT_BEFORE: ("order/create", "-X1"),
    Moment.EXIT_AFTER: ("order/create", "-X1"),
    Moment.EXIT_PARTIAL: ("order/create", "-X2"),
    Moment.STOP_BEFORE: ("order/create", "-S1"),
    Moment.STOP_AFTER: ("order/create", "-S1"),
    Moment.STOP_PARTIAL: ("order/amend", "-S1"),
    Moment.STOP_CANCEL: ("order/cancel", "-S1"),
    Moment.STOP_AMEND: ("order/amend", "-S1"),
    Moment.STOP_MOVE: ("position/trading-stop", ""),
}
_BEFORE = frozenset({Moment.ENTRY_BEFORE, Moment.EXIT_BEFORE, Moment.STOP_BEFORE})
_THIN = {Moment.ENTRY_PARTIAL: "-E1", Moment.EXIT_PARTIAL: "-X1", Moment.STOP_PARTIAL: "-X1"}
_SPOT_ONLY = frozenset(
    {Moment.STOP_BEFORE, Moment.STOP_AFTER, Moment.STOP_PARTIAL, Moment.STOP_CANCEL, Moment.STOP_AMEND}
)
_MOVES = frozenset({Moment.STOP_AMEND, Moment.STOP_MOVE})
_FIRES = frozenset({Moment.STOP_BEFORE, Moment.STOP_AFTER})

Spec = dict[str, Any]
Handle = WorkflowHandle[Any, Settled]


class Slot(NamedTuple):
    category: Category
    symbol: str


@dataclass(frozen=True)
class FaultKind:
    """``request`` makes the rule that hits one request; ``meanwhile`` rules begin when that request is hit."""

    name: str
    request: Callable[[bool], Spec]
    meanwhile: tuple[Spec, ...] = ()
    standing: tuple[Spec, ...] = ()
    alone: bool = False


def _lost(after: bool) -> Spec:
    return {"kind": "answer_lost" if after else "request_lost"}


def _slow(milliseconds: int) -> Callable[[bool], Spec]:
    return lambda after: {"kind": "delay", "delay_ms": milliseconds, "after": after}


def _code(code: int, *, may_take_effect: bool = True) -> Callable[[bool], Spec]:
    return lambda after: {"kind": "ret_code", "code": code, "after": after and may_take_effect}


_EVENTS = ("order", "execution")
FAULTS: tuple[FaultKind, ...] = (
    FaultKind("answer lost", _lost),
    FaultKind("slower than we wait", _slow(4_500)),
    FaultKind("HTTP 502", lambda after: {"kind": "http_5xx", "after": after}),
    FaultKind("10000", _code(10_000)),
    FaultKind("10006", _code(10_006, may_take_effect=False)),
    FaultKind("10016", _code(10_016)),
    FaultKind("events twice", _slow(1), standing=tuple({"kind": "duplicated_events", "topic": t} for t in _EVENTS)),
    FaultKind(
        "events out of order",
        _slow(1),
        standing=tuple({"kind": "reordered_events", "topic": t, "delay_ms": 1_000} for t in _EVENTS),
    ),
    FaultKind("events lost", _slow(1), standing=tuple({"kind": "lost_events", "topic": t} for t in _EVENTS)),
    FaultKind(
        "events late",
        _slow(1),
        standing=tuple({"kind": "delayed_events", "topic": t, "delay_ms": 3_000} for t in _EVENTS),
    ),
    FaultKind("candles missing", _slow(1), standing=({"kind": "missing_candles", "probability": 0.5},), alone=True),
    FaultKind("socket cut", _slow(400), meanwhile=({"kind": "socket_cut"},), alone=True),
    FaultKind("socket silent", _slow(400), meanwhile=({"kind": "socket_silent", "seconds": 30},), alone=True),
    FaultKind(
        "clock 3 s behind",
        _slow(400),
        meanwhile=({"kind": "clock_offset", "offset_ms": -3_000, "seconds": 5},),
        alone=True,
    ),
    FaultKind("maintenance", _slow(400), meanwhile=({"kind": "maintenance", "seconds": 5},), alone=True),
    FaultKind("restart", lambda after: {"kind": "restart", "after": after}, alone=True),
)


@dataclass
class Outcome:
    """How a cell ended. ``hit``: the fault took place; ``problem`` is "" when all is well."""

    fault: str
    moment: Moment
    hit: bool = False
    entered: bool = True
    unprotected: float | None = None
    seconds: float = 0.0
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem and self.hit

    def cell(self) -> str:
        """For the table: seconds without protection, or what went wrong."""
        if self.problem or not self.hit:
            return self.problem or "not hit"
        return f"{self.unprotected or 0.0:.1f}" if self.entered else "not entered"


@dataclass
class Matrix:
    """Runs cells on one system."""

    trading: Trading
    made: int = 0

    async def run(self, fault: FaultKind, moments: Sequence[Moment]) -> list[Outcome]:
        """All cells of one fault, side by side unless the fault is everybody's."""
        found: list[Outcome] = []
        for together in [[moment] for moment in moments] if fault.alone else [moments]:
            found += await asyncio.gather(*(self._cell(fault, moment, _slot(fault, moment)) for moment in together))
            await self._control("DELETE")
        return found

    async def _cell(self, fault: FaultKind, moment: Moment, slot: Slot) -> Outcome:
        outcome = Outcome(fault.name, moment)
        began = time.monotonic()
        try:
            async with asyncio.timeout(_OVER_SECONDS):
                while not await self._live_and_die(fault, moment, slot, outcome):
                    await asyncio.sleep(_ENTRY_AGAIN_SECONDS)
        except Exception as error:
            outcome.problem = f"{type(error).__name__}: {str(error)[:120]}"
        outcome.seconds = time.monotonic() - began
        return outcome

    async def _live_and_die(self, fault: FaultKind, moment: Moment, slot: Slot, outcome: Outcome) -> bool:
        """False if the position was denied: the system takes no entries yet after what the cell before did to it."""
        if fault.alone:
            await self._control("DELETE")
        position_id = manual_position_id(uuid.uuid4().hex)
        ids = [await self._add(spec) for spec in _rules(fault, moment, position_id, slot.symbol)]
        watch = asyncio.create_task(self._meanwhile(ids[-1], fault))
        try:
            handle = await self._order(position_id, slot)
            if await self._watched_or_over(handle):
                await self._die(handle, moment, slot)
            settled = await handle.result()
            outcome.hit = await self._all_hit(fault, ids)
        except WorkflowFailureError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.type == DENIED:
                return False
            raise
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        outcome.entered = settled.state is not PositionState.NOT_ENTERED
        outcome.unprotected = settled.unprotected_seconds
        if outcome.entered and settled.state is not PositionState.CLOSED:
            outcome.problem = f"ended {settled.state}"
        elif (settled.unprotected_seconds or 0.0) > MAX_UNPROTECTED:
            outcome.problem = f"{settled.unprotected_seconds:.1f} s unprotected"
        return True

    async def _order(self, position_id: str, slot: Slot) -> Handle:
        self.made += 1
        wanted = PositionInput(
            position_id=position_id,
            strategy=f"cell-{self.made}",
            category=slot.category,
            symbol=slot.symbol,
            usd=Decimal(1_000),
            policy=POLICY,
            requested_by="test",
            reason="test",
        )
        return await self.trading.client.start_workflow(
            PositionWorkflow.run,
            wanted,
            id=f"position/{position_id}",
            task_queue=TRADING_QUEUE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
        )

    async def _watched_or_over(self, handle: Handle) -> bool:
        """True once the position is watched and protected, False if it is over before: an entry that was not placed."""
        over = asyncio.create_task(handle.result())
        watched = asyncio.create_task(self.trading.until_watched(handle))
        try:
            await asyncio.wait({over, watched}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                await watched
            return not over.done()
        finally:
            for task in (over, watched):
                task.cancel()
            await asyncio.gather(over, watched, return_exceptions=True)

    async def _die(self, handle: Handle, moment: Moment, slot: Slot) -> None:
        """New targets where the moment is about them, then the fall that ends the position."""
        if moment in _MOVES:
            wanted = SetTargets(policy=LOOSER, expected_version=1, reason="test", requested_by="test")
            await handle.execute_update(PositionWorkflow.set_targets, wanted)
            await self._fall(slot.symbol, _TO_LOOSER_GUARD)
        else:
            await self._fall(slot.symbol, _THROUGH_BOTH if moment in _FIRES else _TO_GUARD)

    async def _meanwhile(self, rule: int, fault: FaultKind) -> None:
        if not fault.meanwhile:
            return

        async def hit() -> bool:
            return await self._hits(rule) > 0

        await eventually(hit, "the request to be hit", timeout=_OVER_SECONDS, every=0.05)
        for spec in fault.meanwhile:
            await self._add(spec)

    async def _fall(self, symbol: str, factor: str) -> None:
        """Both markets of the symbol trade at ``factor`` of the perpetual's price."""

        async def pushed() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                asked = {"category": "linear", "symbol": symbol}
                ticker = (await self.trading.http.get("/v5/market/tickers", params=asked)).raise_for_status().json()
                before = Decimal(ticker["result"]["list"][0]["lastPrice"])
                after = (before * Decimal(factor)).quantize(Decimal(1).scaleb(before.adjusted() - 3))
                ticks = [{"category": category, "symbol": symbol, "price": f"{after:f}"} for category in Category]
                (await self.trading.http.post("/paper/ticks", json=ticks)).raise_for_status()
                return True
            return False

        await eventually(pushed, "the exchange to take a price", timeout=20, every=0.2)

    async def _add(self, spec: Spec) -> int:
        return int((await self._control("POST", json=spec))["id"])

    async def _all_hit(self, fault: FaultKind, ids: Sequence[int]) -> bool:
        """The moment's request was hit, its book was thin, and of the standing events one met the fault."""
        first = len(ids) - 1 - len(fault.standing)
        asked = [await self._hits(rule) for rule in (*ids[:first], ids[-1])]
        told = [
            await self._hits(rule)
            for rule, spec in zip(ids[first:-1], fault.standing, strict=True)
            if spec["kind"].endswith("_events")
        ]
        return all(asked) and (not told or any(told))

    async def _hits(self, rule: int) -> int:
        """How often a rule hit; a restarted exchange has forgotten its rules, so it hit."""
        rules = (await self._control("GET"))["faults"]
        return next((row["hits"] for row in rules if row["id"] == rule), 1)

    async def _control(self, method: str, **options: Any) -> Any:
        async def asked() -> Any:
            try:
                answer = await self.trading.http.request(method, "/paper/faults", **options)
            except httpx.TransportError:
                return None
            return answer.raise_for_status().json() if answer.content else True

        return await eventually(asked, "the exchange to answer", timeout=20, every=0.1)


def _rules(fault: FaultKind, moment: Moment, position_id: str, symbol: str) -> list[Spec]:
    """A thin book first, what stands next; the rule that hits the moment's request comes last."""
    endpoint, suffix = _ENDPOINTS[moment]
    match = {"orderLinkId": f"{position_id}{suffix}"} if suffix else {"symbol": symbol}
    rules: list[Spec] = []
    if moment in _THIN:
        thin = {"orderLinkId": f"{position_id}{_THIN[moment]}"}
        rules.append(
            {"kind": "thin_book", "endpoint": "order/create", "match": thin, "factor": 0.000_005, "count": None}
        )
    for spec in fault.standing:
        mine = {} if fault.alone else {"match": {"orderLinkId_prefix": position_id}, "count": 3}
        rules.append({**spec, **mine})
    return [*rules, {**fault.request(moment not in _BEFORE), "endpoint": endpoint, "match": match}]


def _slot(fault: FaultKind, moment: Moment) -> Slot:
    """A symbol of its own for each moment: on the category it needs, else on either in turn from fault to fault."""
    number = list(Moment).index(moment)
    category = Category.LINEAR if (number + FAULTS.index(fault)) % 2 else Category.SPOT
    if moment in _SPOT_ONLY:
        category = Category.SPOT
    elif moment is Moment.STOP_MOVE:
        category = Category.LINEAR
    return Slot(category, SYMBOLS[number])


@asynccontextmanager
async def matrix_on(settings: Settings, exchange: PaperExchange) -> AsyncIterator[Matrix]:
    """A running system to run cells on; an exchange that ended itself is started again within half a second."""

    async def revive() -> None:
        while True:
            if not exchange.process.running:
                await asyncio.to_thread(exchange.start)
            await asyncio.sleep(0.3)

    async with running_trading(settings, exchange) as trading:
        keeper = asyncio.create_task(revive())
        try:
            yield Matrix(trading)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


async def judged(settings: Settings) -> list[str]:
    """What the judge finds wrong, but that the market clock doesn't run beside the cells."""
    return [found for found in (await verify(settings)).findings if not found.startswith(market_clock.WORKFLOW_ID)]


def table(outcomes: Sequence[Outcome], findings: dict[str, list[str]]) -> str:
    """Markdown: a row a fault, a column a moment, seconds without protection in the cells, the verdict at the end."""
    moments = list(Moment)
    lines = [
        "| fault | " + " | ".join(moments) + " | verify |",
        "| --- |" + " --- |" * (len(moments) + 1),
    ]
    for fault in FAULTS:
        cells = {o.moment: o.cell() for o in outcomes if o.fault == fault.name}
        if cells:
            said = "; ".join(findings[fault.name])[:200] or "clean"
            lines.append(f"| {fault.name} | " + " | ".join(cells.get(m, "") for m in moments) + f" | {said} |")
    return "\n".join(lines)


async def _all(chosen: Sequence[str], moments: Sequence[Moment], into: Path) -> int:
    with scratch_folder() as folder, running_postgres(folder) as postgres, running_temporal(folder) as temporal:
        database = await asyncio.to_thread(postgres.new_database)
        (folder / "exchange").mkdir()
        exchange = paper_exchange_process(folder / "exchange", *EXCHANGE_OPTIONS).start()
        settings = settings_for(database, temporal.address, exchange)
        outcomes: list[Outcome] = []
        findings: dict[str, list[str]] = {}
        try:
            async with matrix_on(settings, exchange) as matrix:
                for fault in FAULTS:
                    if chosen and fault.name not in chosen:
                        continue
                    outcomes += await matrix.run(fault, moments)
                    findings[fault.name] = await judged(settings)
                    into.write_text(table(outcomes, findings) + "\n")
        finally:
            exchange.stop()
    return 0 if all(o.ok for o in outcomes) and not any(findings.values()) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Every fault at every moment; writes the table as Markdown.")
    parser.add_argument("fault", nargs="*", help="only these")
    parser.add_argument("--moment", nargs="*", type=Moment, default=list(Moment), help="only these")
    parser.add_argument("--into", type=Path, default=Path("fault_matrix.md"), help="where the table goes")
    given = parser.parse_args()
    sys.exit(asyncio.run(_all(given.fault, given.moment, given.into)))

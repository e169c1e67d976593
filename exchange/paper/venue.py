"""One paper exchange: its clock, feed, account core and the hubs that tell the world, held together by a pump."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from exchange.paper.clock import MarketClockKeeper
from exchange.paper.closed_orders import ClosedOrders
from exchange.paper.core.account import Applied, apply, apply_tick
from exchange.paper.core.commands import Command, Deposit
from exchange.paper.core.events import Event
from exchange.paper.core.funding import INTERVAL, next_settlement, settle
from exchange.paper.core.liquidation import LiquidationWatch, liquidate_if_due
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.state import AccountState
from exchange.paper.feed import Feed, Tick
from exchange.paper.history import History
from exchange.paper.journal import Journal
from exchange.paper.options import PaperOptions
from exchange.paper.private_ws import PrivateHub
from exchange.paper.public_ws import PublicHub
from exchange.paper.pumped_market import PumpedMarket
from exchange.paper.wall import WallClock

PUMP_SECONDS = 0.02
_FIRST = asyncio.FIRST_COMPLETED
# how often a quiet market's position is stored; ticks after it had no effect and may go by again after kill -9
QUIET_SAVE_SECONDS = 1.0


@dataclass
class Venue:
    """What the routes work on. ``position`` is the market instant up to which ticks were processed.

    The account is ahead of the disk by what is being committed: nothing is answered or published before its commit.
    """

    options: PaperOptions
    clock: MarketClockKeeper
    feed: Feed
    hub: PublicHub
    private: PrivateHub
    journal: Journal
    state: AccountState
    position: datetime
    market: PumpedMarket
    started_at: datetime = field(init=False)
    wall: WallClock = field(default_factory=WallClock)
    closed: ClosedOrders = field(default_factory=ClosedOrders)
    _liquidations: LiquidationWatch = field(default_factory=LiquidationWatch)
    _saved_at: float = 0.0
    _saved_position: datetime | None = None
    _broken: asyncio.Future[None] = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.position
        self._broken = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls,
        options: PaperOptions,
        clock: MarketClockKeeper,
        feed: Feed,
        private: PrivateHub,
        journal: Journal,
    ) -> Venue:
        """Take up the account where the journal left it, or make it with its deposit. Ready once that is on disk."""
        market = PumpedMarket(feed)
        loaded = journal.load()
        if loaded is not None:
            state, position = loaded
            return cls(options, clock, feed, PublicHub(feed, clock), private, journal, state, position, market)
        position = clock.now()
        state = AccountState(id_seed=f"{feed.epoch}/{secrets.token_hex(8)}")
        events: list[Event] = []
        for coin, amount in options.deposit.items():
            events += apply(state, market, Deposit(position, coin, amount)).events
        await journal.append(state, position, events)
        return cls(options, clock, feed, PublicHub(feed, clock), private, journal, state, position, market)

    @property
    def history(self) -> History:
        return History(self.journal.read)

    def pump(self) -> None:
        """Process the market up to now: ticks into the account and out to the public, then what they caused."""
        now = self.clock.now()
        if now <= self.position:
            return
        ticks = list(self.feed.ticks(self.position, now))
        events = self._happen(ticks, now)
        self.position = now
        self.hub.publish(ticks, now)
        if events:
            self._append(events)
        elif time.monotonic() - self._saved_at > QUIET_SAVE_SECONDS:
            self._append([])

    def _happen(self, ticks: list[Tick], now: datetime) -> list[Event]:
        """What the market up to ``now`` does to the account. Funding comes after the last trade before its instant and
        before the first one at or after it; as ``position`` is stored with it, it is settled once, whenever we stop."""
        state, market = self.state, self.market
        events: list[Event] = []
        due = next_settlement(self.position)
        for tick in ticks:
            while due <= tick.at:
                events += _settle(state, market, due)
                due += INTERVAL
            market.note(tick)
            events += apply_tick(state, market, tick)
            events += self._liquidations.after(state, market, tick)
        while due <= now:
            events += _settle(state, market, due)
            due += INTERVAL
        return events

    async def advance(self, to: datetime | None = None) -> None:
        """Step mode: go on to ``to``, by default the next quarter hour. Raises AdvanceRefused.

        Returns when the trades up to there are processed and told, and what they caused is on disk and told.
        """
        self.clock.advance(to)
        try:
            self.pump()
        except Exception as error:
            self._break(error)
            raise
        self.hub.tell_all()
        await self._append([])

    async def submit(self, make: Callable[[datetime], Command]) -> Applied:
        """Do a command at the market's now. Returns once it is on disk; raises Refusal with nothing changed."""
        try:
            self.pump()
            applied = apply(self.state, self.market, make(self.position))
        except Refusal:
            raise
        except Exception as error:
            self._break(error)
            raise
        await self._append(applied.events)
        return applied

    async def submit_each(self, makes: Sequence[Callable[[datetime], Command]]) -> list[Applied | Refusal]:
        """Do commands one after the other at the same now, each by itself; returns once all of them are on disk."""
        outcomes: list[Applied | Refusal] = []
        try:
            self.pump()
            for make in makes:
                try:
                    outcomes.append(apply(self.state, self.market, make(self.position)))
                except Refusal as refusal:
                    outcomes.append(refusal)
        except Exception as error:
            self._break(error)
            raise
        await self._append([e for outcome in outcomes if isinstance(outcome, Applied) for e in outcome.events])
        return outcomes

    def _break(self, error: Exception) -> None:
        """The state may be half changed: the exchange must stop, and the journal has what is true."""
        if not self._broken.done():
            self._broken.set_exception(error)

    def _append(self, events: list[Event]) -> asyncio.Future[None]:
        self._saved_at, self._saved_position = time.monotonic(), self.position
        self.closed.note(events)
        publish = (lambda: self.private.publish(events)) if events else None
        return self.journal.append(self.state, self.position, events, publish)

    async def run(self) -> None:
        """Pump until cancelled. Raises JournalFailed when the disk refuses, or what broke a tick or a command."""
        while True:
            self.pump()
            done, _ = await asyncio.wait({self.journal.failed, self._broken}, timeout=PUMP_SECONDS, return_when=_FIRST)
            for failure in done:
                failure.result()

    async def close(self) -> None:
        """Store where the market stands and let go of the data directory."""
        if self.position != self._saved_position:
            self._append([])
        await self.journal.close()


def _settle(state: AccountState, market: PumpedMarket, at: datetime) -> list[Event]:
    """Funding at ``at``, and what is liquidated because it could not be paid."""
    events = settle(state, market, at)
    return [*events, *liquidate_if_due(state, market, at)] if events else []

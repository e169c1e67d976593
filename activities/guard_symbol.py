"""The guards of one symbol in this process: each trade against all of them in one compiled pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal

from activities.guard_watch import Seen, Watch, both_saw, saw
from domain.exit_rows import GuardRows
from domain.exits import ExitReason, GuardState
from exchange.protocol import Subscription, Trade

OnRatchet = Callable[[Watch, GuardState, Seen | None, Decimal], None]
OnExit = Callable[[Watch, ExitReason, Decimal], None]


class SymbolGuards:
    """``watches`` are all of them. One is either in the rows, or catching up (its trades are queued), or firing."""

    def __init__(self, on_ratchet: OnRatchet, on_exit: OnExit) -> None:
        self.watches: set[Watch] = set()
        self.catching_up: set[Watch] = set()
        self.subscription: Subscription | None = None
        self.last_price: Decimal | None = None
        self.last_trade: Trade | None = None
        self._rows = GuardRows()
        self._by_index: dict[int, Watch] = {}
        self._seen: Seen | None = None
        self._on_ratchet, self._on_exit = on_ratchet, on_exit

    def put_in(self, watch: Watch) -> None:
        """From now on every trade is judged by this guard, from its ``state`` and ``targets`` on."""
        watch.index = self._rows.add(watch.state, watch.targets.policy)
        self._by_index[watch.index] = watch
        watch.joined = time.monotonic()

    def replace(self, watch: Watch) -> None:
        """The same for one that is in the rows already and has new targets."""
        assert watch.index is not None
        self._rows.replace(watch.index, watch.state, watch.targets.policy)

    def take_out(self, watch: Watch) -> None:
        """No trade is judged by this guard any more; it stands where the last one left it."""
        if watch.index is None:
            return
        self.refresh(watch)
        self._rows.remove(watch.index)
        del self._by_index[watch.index]
        watch.index = None

    def refresh(self, watch: Watch) -> None:
        """Bring the watch's ``state`` and ``seen`` up to the last trade."""
        if watch.index is not None:
            watch.state = self._rows.state(watch.index)
            watch.seen = both_saw(watch.seen, self._seen)

    def take_trades(self, trades: Sequence[Trade]) -> None:
        """Judge trades in order. Each guard that leaves is told to ``on_exit`` once, and is then to be taken out."""
        for watch in self.catching_up:
            watch.queued.extend(trades)
        for trade in trades:
            self._seen = saw(self._seen, trade.price, trade.at)
            stepped = self._rows.step_all(trade.price, trade.at)
            for index in stepped.ratcheted:
                watch = self._by_index[index]
                seen = both_saw(watch.seen, self._seen)
                self._on_ratchet(watch, self._rows.state(index), seen, trade.price)
            for watch, reason in [(self._by_index[index], reason) for index, reason in stepped.fired]:
                self._on_exit(watch, reason, trade.price)
        if trades:
            self.last_price, self.last_trade = trades[-1].price, trades[-1]

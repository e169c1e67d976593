"""Ours held against the exchange's, as values: what is foreign, missing or wrong, and what nothing explains.

*Foreign* is what others did on the same account: it is known, shown and left alone. Everything they executed is
recorded too, so that sizes can be held to the last digit: at the exchange = ours + foreign. What is left over then is
*drift*: no execution, no transfer and nothing we know of explains it.

On a netted linear symbol nobody can say whose contracts a closing order closed. By convention others close their own
first (``share_of_ours``): what goes beyond what they hold is taken from ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, localcontext

from domain.ids import parse_order_link_id
from domain.market import Category, PositionSide

ZERO = Decimal(0)
_EXACT = Context(prec=200, traps=[Inexact])

OWN_STOP = "StopLoss"
"""Kind of the exchange's own order for the stop loss of a whole linear position: ours, where a position is ours."""

TRADES = frozenset({"TRADE", "LIQUIDATION", "ADL"})
"""Kinds of wallet changes that an execution stands behind."""

KNOWN_CHANGES = TRADES | {
    "TRANSFER_IN",
    "TRANSFER_OUT",
    "DEPOSIT",
    "WITHDRAW",
    "SETTLEMENT",
    "DELIVERY",
    "BONUS",
    "BONUS_RECOLLECT",
    "AIRDROP",
    "FEE_REFUND",
    "INTEREST",
    "CURRENCY_BUY",
    "CURRENCY_SELL",
    "AUTO_DEDUCTION",
    "INSURANCE",
}
"""Kinds that explain themselves: funding, transfers, fees and what the exchange gives or takes by its rules."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order open at the exchange."""

    category: Category
    symbol: str
    order_id: str
    order_link_id: str
    qty: Decimal
    trigger_price: Decimal | None
    stop_order_type: str


@dataclass(frozen=True, slots=True)
class OurOrder:
    """An order of ours that the exchange said is open."""

    order_link_id: str
    position_id: str
    category: Category
    symbol: str


@dataclass(frozen=True, slots=True)
class Holding:
    """An active position of ours. ``stop`` is the trigger that should rest for it (None: not known yet), ``stop_qty``
    how much a stop on spot should sell, ``settled`` whether it is open long enough for its stop to rest."""

    position_id: str
    category: Category
    symbol: str
    coin: str
    side: PositionSide
    qty: Decimal
    stop: Decimal | None
    stop_qty: Decimal
    settled: bool
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that nothing explains. ``amount`` is by how much, in ``subject``'s own unit."""

    kind: str
    subject: str
    amount: Decimal
    sentence: str

    @property
    def key(self) -> str:
        return f"{self.kind} {self.subject}"


@dataclass(frozen=True, slots=True)
class SizeDifference:
    """A linear symbol: signed base coin at the exchange, ours, and what others hold by all executions known."""

    symbol: str
    exchange: Decimal
    ours: Decimal
    foreign: Decimal

    @property
    def unexplained(self) -> Decimal:
        with localcontext(_EXACT):
            return self.exchange - self.ours - self.foreign


@dataclass(frozen=True, slots=True)
class StopFault:
    """A stop that doesn't rest as it should. ``what`` is missing, price or quantity."""

    position_id: str
    what: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True)
class Sale:
    """A spot sale that no order of ours made, and how much of it is booked to nobody."""

    exec_id: str
    qty: Decimal
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class BookedSale:
    """How much of a foreign sale took from which position."""

    exec_id: str
    position_id: str
    qty: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a coin's balance by the exchange's own log."""

    transaction_id: str
    kind: str
    coin: str
    change: Decimal
    trade_id: str
    at: datetime
    category: str = ""


def is_foreign(order: OpenOrder, holdings: Iterable[Holding]) -> bool:
    """Whether an open order is neither of ours by its id nor the stop loss of a linear position of ours."""
    if parse_order_link_id(order.order_link_id) is not None:
        return False
    if order.category is not Category.LINEAR or order.stop_order_type != OWN_STOP:
        return True
    return not any(each.category is Category.LINEAR and each.symbol == order.symbol for each in holdings)


def orders_without_row(orders: Iterable[OpenOrder], known: Iterable[str]) -> list[Drift]:
    """Open orders under ids of ours that no row tells of: somebody else works with our keys, or rows were lost."""
    rows = set(known)
    return [
        Drift(
            "order_without_row",
            order.order_link_id,
            order.qty,
            f"order {order.order_link_id} ({order.symbol}) is open at the exchange and has no row here",
        )
        for order in orders
        if parse_order_link_id(order.order_link_id) is not None and order.order_link_id not in rows
    ]


def missing_orders(ours: Iterable[OurOrder], orders: Iterable[OpenOrder]) -> list[OurOrder]:
    """Orders open here and not there: what became of them is to be asked."""
    there = {order.order_link_id for order in orders}
    return [order for order in ours if order.order_link_id not in there]


def compare_sizes(
    exchange: Mapping[str, Decimal], ours: Mapping[str, Decimal], foreign: Mapping[str, Decimal]
) -> list[SizeDifference]:
    """Every linear symbol that anybody holds, by name. Signed base coin, shorts below 0."""
    symbols = sorted(exchange.keys() | ours.keys() | foreign.keys())
    compared = [
        SizeDifference(name, exchange.get(name, ZERO), ours.get(name, ZERO), foreign.get(name, ZERO))
        for name in symbols
    ]
    return [each for each in compared if (each.exchange, each.ours, each.foreign) != (ZERO, ZERO, ZERO)]


def size_drift(sizes: Iterable[SizeDifference]) -> list[Drift]:
    return [
        Drift(
            "size",
            each.symbol,
            each.unexplained,
            f"{each.symbol}: the exchange holds {each.exchange:f}, ours are {each.ours:f} and others' {each.foreign:f}",
        )
        for each in sizes
        if each.unexplained != 0
    ]


def share_of_ours(side: PositionSide, qty: Decimal, foreign_before: Decimal) -> Decimal:
    """How much of a foreign execution of ``qty`` that closes on ``side`` is taken from ours.

    ``foreign_before`` (signed) is what others held then: what they have on the same side is closed first.
    """
    with localcontext(_EXACT):
        theirs = max(foreign_before * side.sign, ZERO)
        return max(qty - theirs, ZERO)


def linear_stop_faults(holdings: Iterable[Holding], stops: Mapping[str, Decimal | None]) -> list[StopFault]:
    """``stops``: the stop loss of each linear position at the exchange. Flat symbols are absent: nothing to protect."""
    found = []
    for each in holdings:
        if each.category is not Category.LINEAR or not each.settled or each.symbol not in stops:
            continue
        rests = stops[each.symbol]
        if rests is None:
            found.append(StopFault(each.position_id, "missing", _text(each.stop), ""))
        elif each.stop is not None and rests != each.stop:
            found.append(StopFault(each.position_id, "price", _text(each.stop), _text(rests)))
    return found


def spot_stop_faults(holdings: Iterable[Holding], orders: Iterable[OpenOrder]) -> list[StopFault]:
    """Spot positions whose stop order is not open at the exchange, or is at another trigger or for another quantity."""
    resting = {
        identity.position_id: order
        for order in orders
        if (identity := parse_order_link_id(order.order_link_id)) is not None and order.trigger_price is not None
    }
    found = []
    for each in holdings:
        if each.category is not Category.SPOT or not each.settled or each.stop_qty == 0:
            continue
        order = resting.get(each.position_id)
        if order is None:
            found.append(StopFault(each.position_id, "missing", _text(each.stop), ""))
        elif order.qty != each.stop_qty:
            found.append(StopFault(each.position_id, "quantity", _text(each.stop_qty), _text(order.qty)))
        elif each.stop is not None and order.trigger_price != each.stop:
            found.append(StopFault(each.position_id, "price", _text(each.stop), _text(order.trigger_price)))
    return found


def shortfalls(holdings: Iterable[Holding], balances: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """By coin: how much less the wallet holds than our open spot positions together say."""
    held: dict[str, Decimal] = {}
    with localcontext(_EXACT):
        for each in holdings:
            if each.category is Category.SPOT:
                held[each.coin] = held.get(each.coin, ZERO) + each.qty
        short = {coin: qty - balances.get(coin, ZERO) for coin, qty in held.items()}
    return {coin: missing for coin, missing in sorted(short.items()) if missing > 0}


def whose_sales(
    missing: Decimal, sales: Sequence[Sale], holders: Sequence[Holding], step: Decimal
) -> list[BookedSale] | None:
    """To which position foreign sales of a coin are booked, when ``missing`` of it is not there any more.

    One position that was open at the sale is the one meant. Of several, all are when nothing of any is left, or the one
    whose quantity alone is what is missing (up to ``step``, under which nothing can be sold). A sale is booked to one
    position at most. None: the sales don't explain it, or the quantities don't tell whose it was.
    """
    holder_list = [each for each in holders if each.opened_at is not None and each.qty > 0]
    meant = _meant(missing, holder_list, step)
    if meant is None:
        return None
    left = sorted(sales, key=lambda sale: (sale.executed_at, sale.exec_id), reverse=True)
    booked: list[BookedSale] = []
    for holder, wanted in meant:
        taken = _take(left, holder, wanted)
        if taken is None:
            return None
        booked += taken
    return booked


def _meant(missing: Decimal, holders: Sequence[Holding], step: Decimal) -> list[tuple[Holding, Decimal]] | None:
    with localcontext(_EXACT):
        total = sum((each.qty for each in holders), ZERO)
        if not holders or missing > total:
            return None
        if len(holders) == 1:
            return [(holders[0], missing)]
        if missing == total:
            return [(each, each.qty) for each in holders]
        exact = [each for each in holders if missing <= each.qty and each.qty - missing < step]
    return [(exact[0], missing)] if len(exact) == 1 else None


def _take(left: list[Sale], holder: Holding, wanted: Decimal) -> list[BookedSale] | None:
    """``wanted`` out of the newest sales since the holder was opened; what is used is taken out of ``left``."""
    assert holder.opened_at is not None
    booked = []
    with localcontext(_EXACT):
        for place, sale in enumerate(left):
            if wanted == 0:
                break
            if sale.executed_at < holder.opened_at or sale.qty == 0:
                continue
            part = min(wanted, sale.qty)
            booked.append(BookedSale(sale.exec_id, holder.position_id, part))
            left[place] = Sale(sale.exec_id, ZERO, sale.executed_at)
            wanted -= part
    return booked if wanted == 0 else None


def unexplained_balance(before: Decimal, as_of: datetime, now: Decimal, changes: Sequence[Change]) -> Decimal:
    """By how much a coin's balance ``now`` misses ``before`` plus the log since ``as_of`` (``changes``, oldest first).

    Of the changes of that very instant the first ones were in ``before`` already; how many is not told, since where a
    market stands still much happens at one instant. Any cut that explains everything does.
    """
    with localcontext(_EXACT):
        later = sum((row.change for row in changes if row.at > as_of), ZERO)
        gap = now - before - later
        boundary = [row.change for row in changes if row.at == as_of]
        tails = [sum(boundary[cut:], ZERO) for cut in range(len(boundary) + 1)]
        return ZERO if gap in tails else gap - tails[-1]


_CATEGORIES = frozenset(Category)


def unexplained_changes(changes: Iterable[Change], known_trades: Iterable[str]) -> list[Drift]:
    """Log rows of a trade that nobody recorded, and of a kind that explains nothing.

    Trades of categories that are not ours (options, inverse contracts) are others' business.
    """
    known = set(known_trades)
    found = []
    for row in changes:
        if row.category and row.category not in _CATEGORIES:
            continue
        if row.kind not in KNOWN_CHANGES:
            told = f"the log changed {row.coin} by {row.change:f} for {row.kind}, which explains nothing"
        elif row.kind in TRADES and row.trade_id and row.trade_id not in known:
            told = f"the log changed {row.coin} by {row.change:f} for execution {row.trade_id}, which nobody recorded"
        else:
            continue
        found.append(Drift("log", row.transaction_id, row.change, told))
    return found


def _text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"

"""The portfolio at an instant and what a stretch of time brought, from lots, closings, fills, balances and prices.

Everything here is *as of*: given the same books it says the same however much later it is asked. Stretches are
(after, until]: what happens at a full hour belongs to the hour it ends. Amounts are exact, in dollars.

The exchange and our books don't cut the profit of a linear position alike: the exchange credits a partial exit at the
average entry price, we match lots last in first out. Both agree on the sum of realised and unrealised, so equity takes
the coins by the exchange's word and adds what our books have realised and the exchange not yet (``booked_apart``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact, localcontext

from domain.ledger import Fill, Lot, fee_in_quote
from domain.market import Category, PositionSide, Side

HOUR = timedelta(hours=1)
CENT = Decimal("0.01")
DOLLARS = frozenset({"USDT", "USDC", "USD"})
TRANSFERS = frozenset({"TRANSFER_IN", "TRANSFER_OUT", "DEPOSIT", "WITHDRAW"})
"""Kinds of wallet changes that bring money in or take it out."""

_ZERO = Decimal(0)
_EXACT = Context(prec=200, traps=[Inexact])


class LogBehind(ValueError):
    """The wallet and its log don't tell the same story: one of them hasn't caught up yet."""


@dataclass(frozen=True, slots=True)
class OwnedLot:
    """A lot, whose it is, and what its market calls dust. ``closed_at`` is its position's end, if it has one."""

    position_id: str
    lot: Lot
    coin: str
    qty_step: Decimal
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """A quantity of a lot closed by a fill. ``gross`` before fees."""

    position_id: str
    open_exec_id: str
    close_exec_id: str
    qty: Decimal
    gross: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """A change of the wallet: ``change`` = cash flow + funding - fee, ``balance`` the coin's after it.

    On linear ``traded`` is the quantity signed by its side (0: a settlement), ``size`` the position's after it, signed.
    """

    kind: str
    symbol: str
    coin: str
    change: Decimal
    fee: Decimal
    funding: Decimal
    balance: Decimal
    exec_id: str
    at: datetime
    category: Category | None = None
    traded: Decimal = _ZERO
    size: Decimal = _ZERO

    @property
    def cash_flow(self) -> Decimal:
        with localcontext(_EXACT):
            return self.change + self.fee - self.funding


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars a coin, and quote coin a linear contract, all of one instant. Without a price it counts as nothing."""

    coins: Mapping[str, Decimal]
    linear: Mapping[str, Decimal]

    def of_coin(self, coin: str) -> Decimal:
        return Decimal(1) if coin in DOLLARS else self.coins.get(coin, _ZERO)


@dataclass(frozen=True, slots=True)
class SoldBeyond:
    """What a booked sale took beyond what its position held, when an exit and the stop at the exchange both filled or
    others sold more than ours: ``qty`` of a ``coin`` that no position accounts for, at ``price`` in quote coin."""

    coin: str
    qty: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """What an instant saw open of one lot. ``dust``: its position is over, and this is what could not be sold."""

    position_id: str
    category: Category
    symbol: str
    coin: str
    side: PositionSide
    qty: Decimal
    price: Decimal
    dust: bool


@dataclass(frozen=True, slots=True)
class Flows:
    """What a stretch of time brought. ``realised`` before fees; ``fees`` of each fill in it, opening ones too."""

    realised: Decimal = _ZERO
    fees: Decimal = _ZERO
    funding: Decimal = _ZERO
    transfers: Decimal = _ZERO
    bought: Decimal = _ZERO
    sold: Decimal = _ZERO

    @property
    def net(self) -> Decimal:
        with localcontext(_EXACT):
            return self.realised - self.fees + self.funding


@dataclass(frozen=True, slots=True)
class Standing:
    """The portfolio at an instant.

    ``invested`` is what open holdings cost, before fees and without dust; ``unrealised`` is of all that is held, dust
    too, before fees (an opening fee is counted when it is paid).
    """

    equity: Decimal
    invested: Decimal
    unrealised: Decimal
    open_positions: int


def day_of(instant: datetime) -> date:
    """The UTC day that what ends at ``instant`` belongs to: midnight is still the day before it."""
    return (instant.astimezone(UTC) - timedelta(microseconds=1)).date()


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def holdings_at(lots: Iterable[OwnedLot], closings: Iterable[Closing], at: datetime) -> list[Holding]:
    """What was open at ``at``: of every lot what no fill up to then had closed."""
    with localcontext(_EXACT):
        closed: defaultdict[str, Decimal] = defaultdict(Decimal)
        for closing in closings:
            if closing.at <= at:
                closed[closing.open_exec_id] += closing.qty
        left = [(each, each.lot.qty - closed[each.lot.exec_id]) for each in lots if each.lot.opened_at <= at]
        held: defaultdict[str, Decimal] = defaultdict(Decimal)
        for each, qty in left:
            held[each.position_id] += qty
    return [_holding(each, qty, held[each.position_id], at) for each, qty in left if qty > 0]


def _holding(owned: OwnedLot, qty: Decimal, position_qty: Decimal, at: datetime) -> Holding:
    over = owned.closed_at is not None and owned.closed_at <= at
    lot = owned.lot
    return Holding(
        position_id=owned.position_id,
        category=lot.category,
        symbol=lot.symbol,
        coin=owned.coin,
        side=lot.side,
        qty=qty,
        price=lot.price,
        dust=over or position_qty < owned.qty_step,
    )


def balances_at(
    now: Mapping[str, Decimal],
    rows: Sequence[Movement],
    at: datetime,
    before: Mapping[str, Decimal] | None = None,
    *,
    proved: bool = True,
) -> dict[str, Decimal]:
    """Balance of every coin held at ``at``: before its first row after ``at``, else what the wallet says ``now``.

    ``rows`` (oldest first) must have been read after the wallet, so that a change between the two is in them. The
    exchange may still show the wallet's change before its row: with ``proved`` each balance must also be what the last
    row up to ``at`` left, or without one what was there ``before``, if that is known. Raises LogBehind.
    """
    balances: dict[str, Decimal] = {}
    coins = set(now) | set(before or {}) | {row.coin for row in rows}
    for coin in sorted(coins):
        mine = [row for row in rows if row.coin == coin]
        later = next((row for row in mine if row.at > at), None)
        balance = now.get(coin, _ZERO) if later is None else difference(later.balance, later.change)
        earlier = [row for row in mine if row.at <= at]
        if earlier:
            known = earlier[-1].balance
        else:
            known = balance if before is None else before.get(coin, _ZERO)
        if proved and balance != known:
            raise LogBehind(f"{coin}: the wallet's balance was {balance}, by its log {known}")
        if balance:
            balances[coin] = balance
    return balances


def flows(
    closings: Iterable[Closing],
    fills: Iterable[Fill],
    rows: Iterable[Movement],
    prices: Prices,
    after: datetime,
    until: datetime,
) -> Flows:
    """What (after, until] brought. Transfers of a coin count at the price of ``prices``."""
    inside = [fill for fill in fills if after < fill.executed_at <= until]
    moved = [row for row in rows if after < row.at <= until]
    with localcontext(_EXACT):
        return Flows(
            realised=sum((closing.gross for closing in closings if after < closing.at <= until), _ZERO),
            fees=sum((fee_in_quote(fill) for fill in inside), _ZERO),
            funding=sum((row.funding * prices.of_coin(row.coin) for row in moved), _ZERO),
            transfers=sum((row.change * prices.of_coin(row.coin) for row in moved if row.kind in TRANSFERS), _ZERO),
            bought=sum((fill.qty * fill.price for fill in inside if fill.side is Side.BUY), _ZERO),
            sold=sum((fill.qty * fill.price for fill in inside if fill.side is Side.SELL), _ZERO),
        )


def funding_by_symbol(
    rows: Iterable[Movement], prices: Prices, after: datetime, until: datetime, begun: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """``begun`` and the funding of (after, until], by symbol; symbols without any are left out."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal, begun)
    with localcontext(_EXACT):
        for row in rows:
            if row.funding and after < row.at <= until:
                total[row.symbol] += row.funding * prices.of_coin(row.coin)
    return dict(total)


def booked_apart(
    holdings: Iterable[Holding], closings: Iterable[Closing], rows: Iterable[Movement], at: datetime
) -> Decimal:
    """Profit of linear positions still open that our books have realised and the exchange's wallet has not, signed.

    Raises LogBehind when the log lacks one of their closing fills.
    """
    open_now = {holding.position_id for holding in holdings if holding.category is Category.LINEAR}
    mine = [closing for closing in closings if closing.position_id in open_now and closing.at <= at]
    fills = {closing.close_exec_id for closing in mine}
    credited = {row.exec_id: row.cash_flow for row in rows if row.exec_id in fills}
    if missing := fills - credited.keys():
        raise LogBehind(f"the wallet's log lacks the executions {', '.join(sorted(missing))}")
    with localcontext(_EXACT):
        return sum((closing.gross for closing in mine), _ZERO) - sum(credited.values(), _ZERO)


def value(
    holdings: Sequence[Holding], balances: Mapping[str, Decimal], prices: Prices, apart: Decimal = _ZERO
) -> Standing:
    """What it was all worth. ``apart`` is ``booked_apart``'s answer."""
    with localcontext(_EXACT):
        coins = sum((qty * prices.of_coin(coin) for coin, qty in balances.items()), _ZERO)
        linear = sum((gain(each, prices) for each in holdings if each.category is Category.LINEAR), _ZERO)
        return Standing(
            equity=coins + linear + apart,
            invested=sum((each.qty * each.price for each in holdings if not each.dust), _ZERO),
            unrealised=sum((gain(each, prices) for each in holdings), _ZERO),
            open_positions=len({each.position_id for each in holdings if not each.dust}),
        )


def gain(holding: Holding, prices: Prices) -> Decimal:
    """Unrealised profit before fees. Spot is worth what its coin is, so that coins and lots can't disagree."""
    price = (
        prices.of_coin(holding.coin) if holding.category is Category.SPOT else prices.linear.get(holding.symbol, _ZERO)
    )
    with localcontext(_EXACT):
        return holding.side.sign * (price - holding.price) * holding.qty


def coins_not_ours(holdings: Iterable[Holding], balances: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Coins other than dollars beyond what spot holdings account for (below 0: what they lack)."""
    with localcontext(_EXACT):
        left = defaultdict(Decimal, {coin: qty for coin, qty in balances.items() if coin not in DOLLARS})
        for holding in holdings:
            if holding.category is Category.SPOT:
                left[holding.coin] -= holding.qty
    return {coin: qty for coin, qty in left.items() if qty}


def revalued(qty_before: Mapping[str, Decimal], before: Mapping[str, Decimal], prices: Prices) -> Decimal:
    """What price changes did to coins that no position of ours holds. ``before``: their prices then."""
    with localcontext(_EXACT):
        return sum((qty * (prices.of_coin(coin) - before.get(coin, _ZERO)) for coin, qty in qty_before.items()), _ZERO)


def sold_apart(sales: Iterable[SoldBeyond], prices: Prices, after: datetime, until: datetime) -> Decimal:
    """What (after, until] brought by coins that no position held being sold: beside ``revalued``, which values them on.

    Their change of value up to the sale is in neither realised nor unrealised profit; after it they are dollars.
    """
    with localcontext(_EXACT):
        inside = [sale for sale in sales if after < sale.at <= until]
        return sum((sale.qty * (sale.price - prices.of_coin(sale.coin)) for sale in inside), _ZERO)


def unexplained(equity_change: Decimal, unrealised_change: Decimal, brought: Flows) -> Decimal:
    """What of a change of equity realised, unrealised, fees, funding and transfers don't explain: 0 in good books."""
    with localcontext(_EXACT):
        return equity_change - (brought.net + unrealised_change + brought.transfers)


def difference(now: Decimal, before: Decimal) -> Decimal:
    """Exactly ``now - before``."""
    with localcontext(_EXACT):
        return now - before


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with localcontext(_EXACT):
        return sum(amounts, _ZERO)

"""The books of a position: lots opened by fills, closed last in first out, fees apportioned to the last digit.

P&L comes from fills alone. Every amount is exact: products and sums are computed without rounding (a result that would
need it raises ``decimal.Inexact``), and where a fee is divided among parts, the last part takes what rounding left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal, Inexact, localcontext

from domain.market import Category, PositionSide, Side

_ZERO = Decimal(0)
_FEE_UNIT = Decimal("1e-18")
_EXACT = Context(prec=120, traps=[Inexact])
_ROUGH = Context(prec=60)


class UnvaluedFee(ValueError):
    """A fee in a coin whose value in the quote coin this fill doesn't tell."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. ``qty`` in base coin, ``price`` in quote coin, ``fee`` in ``fee_coin``, positive when paid."""

    exec_id: str
    category: Category
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    base_coin: str
    quote_coin: str
    executed_at: datetime

    def __post_init__(self) -> None:
        for name, value in (("qty", self.qty), ("price", self.price)):
            if not value.is_finite() or value <= 0:
                raise ValueError(f"{name} {value} of execution {self.exec_id} must be a number above 0")
        if not self.fee.is_finite():
            raise ValueError(f"fee {self.fee} of execution {self.exec_id} must be a number")


@dataclass(frozen=True, slots=True)
class Lot:
    """What one opening fill brought: ``qty`` base coin received for a ``fee`` in quote coin.

    ``qty_left`` is not closed yet, ``fee_left`` not yet charged to a match.
    """

    exec_id: str
    category: Category
    symbol: str
    side: PositionSide
    qty: Decimal
    qty_left: Decimal
    price: Decimal
    fee: Decimal
    fee_left: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class LotMatch:
    """A quantity opened by one fill and closed by another. Amounts in quote coin; ``net`` = gross - both fees."""

    open_exec_id: str
    close_exec_id: str
    category: Category
    symbol: str
    side: PositionSide
    qty: Decimal
    open_price: Decimal
    close_price: Decimal
    gross: Decimal
    open_fee: Decimal
    close_fee: Decimal
    net: Decimal
    opened_at: datetime
    closed_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What one fill did to a book. ``unmatched`` is the base coin it closed beyond what was open."""

    book: tuple[Lot, ...]
    new_lot: Lot | None
    matches: tuple[LotMatch, ...]
    unmatched: Decimal


def fee_in_quote(fill: Fill) -> Decimal:
    """The fill's fee in quote coin; one in base coin is valued at the fill's own price. Raises UnvaluedFee."""
    if fill.fee == 0 or fill.fee_coin == fill.quote_coin:
        return fill.fee
    if fill.fee_coin == fill.base_coin:
        with localcontext(_EXACT):
            return fill.fee * fill.price
    raise UnvaluedFee(f"fee of execution {fill.exec_id} is in {fill.fee_coin}, neither {fill.base_coin} nor quote coin")


def open_lot(fill: Fill) -> Lot:
    """The lot an opening fill makes (a buy a long one, a sell a short one): what was received, net of a base-coin fee.

    Raises ValueError when the fee takes all of it; UnvaluedFee.
    """
    with localcontext(_EXACT):
        received = fill.qty - (fill.fee if fill.fee_coin == fill.base_coin else _ZERO)
    if received <= 0:
        raise ValueError(f"fee of execution {fill.exec_id} leaves nothing of {fill.qty} {fill.base_coin}")
    fee = fee_in_quote(fill)
    return Lot(
        exec_id=fill.exec_id,
        category=fill.category,
        symbol=fill.symbol,
        side=PositionSide.LONG if fill.side is Side.BUY else PositionSide.SHORT,
        qty=received,
        qty_left=received,
        price=fill.price,
        fee=fee,
        fee_left=fee,
        opened_at=fill.executed_at,
    )


def match_lifo(lots: Sequence[Lot], fill: Fill) -> tuple[tuple[Lot, ...], tuple[LotMatch, ...], Decimal]:
    """Close ``fill.qty`` of ``lots`` (oldest first), newest lot first: (lots left, matches, quantity without a lot).

    The fill's fee is apportioned by quantity, exactly: the parts in the matches add up to it, less the part of a
    quantity that found no lot. Raises ValueError for a lot of another market or of the fill's own direction;
    UnvaluedFee when the fee isn't in quote coin (it would change what was closed).
    """
    side = PositionSide.LONG if fill.side is Side.SELL else PositionSide.SHORT
    if fill.fee != 0 and fill.fee_coin != fill.quote_coin:
        raise UnvaluedFee(f"closing execution {fill.exec_id} pays its fee in {fill.fee_coin}, not {fill.quote_coin}")
    left = list(lots)
    matches: list[LotMatch] = []
    qty, fee = fill.qty, fill.fee
    while qty > 0 and left:
        lot = left.pop()
        if (lot.category, lot.symbol, lot.side) != (fill.category, fill.symbol, side):
            raise ValueError(f"execution {fill.exec_id} can't close lot {lot.exec_id}: another market or direction")
        taken = min(qty, lot.qty_left)
        close_fee = share(fee, taken, qty)
        open_fee = share(lot.fee_left, taken, lot.qty_left)
        matches.append(_match(lot, fill, taken, open_fee, close_fee))
        with localcontext(_EXACT):
            qty, fee = qty - taken, fee - close_fee
            if taken < lot.qty_left:
                left.append(replace(lot, qty_left=lot.qty_left - taken, fee_left=lot.fee_left - open_fee))
    return tuple(left), tuple(matches), qty


def apply_fill(book: Sequence[Lot], fill: Fill, position_side: PositionSide) -> Applied:
    """Enter one fill into the open lots (oldest first) of a position: it opens a lot, or closes lots.

    Fills must be applied once each (by ``exec_id``) and in the order of their execution. Raises as ``open_lot`` and
    ``match_lifo`` do.
    """
    if fill.side is position_side.entry_side:
        lot = open_lot(fill)
        return Applied((*book, lot), lot, (), _ZERO)
    lots, matches, unmatched = match_lifo(book, fill)
    return Applied(lots, None, matches, unmatched)


def split_dust(qty: Decimal, qty_step: Decimal) -> tuple[Decimal, Decimal]:
    """``qty`` as (multiple of the step, leftover under it). Raises ValueError for a step that isn't above 0."""
    if qty_step <= 0:
        raise ValueError(f"qty_step {qty_step} must be above 0")
    with localcontext(_EXACT):
        dust = qty % qty_step
        return qty - dust, dust


def sweep_dust(book: Sequence[Lot], qty_step: Decimal) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
    """(open lots, lots for the dust ledger): all of the book is dust once it is under one step, before that nothing."""
    if open_qty(book) < qty_step:
        return (), tuple(book)
    return tuple(book), ()


def open_qty(lots: Iterable[Lot]) -> Decimal:
    """Base coin not closed yet."""
    return _total(lot.qty_left for lot in lots)


def open_cost(lots: Iterable[Lot]) -> Decimal:
    """What the quantity not closed yet was traded for, before fees, quote coin."""
    with localcontext(_EXACT):
        return sum((lot.qty_left * lot.price for lot in lots), _ZERO)


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """``amount`` x ``part`` / ``whole``, toward zero to 18 decimals; all of ``amount`` when the part is the whole.

    Taking shares one after another, each time of what is left, gives parts that add up to ``amount`` exactly.
    """
    if part == whole:
        return amount
    with localcontext(_ROUGH):
        return (amount * part / whole).quantize(_FEE_UNIT, ROUND_DOWN)


def realised(matches: Iterable[LotMatch]) -> Decimal:
    """Net P&L of the matches, quote coin."""
    return _total(match.net for match in matches)


def unrealised(lots: Iterable[Lot], price: Decimal) -> Decimal:
    """What closing ``lots`` at ``price`` would gain before a closing fee, opening fees charged, quote coin."""
    with localcontext(_EXACT):
        return sum((lot.side.sign * (price - lot.price) * lot.qty_left - lot.fee_left for lot in lots), _ZERO)


def cash_flow(fills: Iterable[Fill]) -> Decimal:
    """Quote coin that the fills brought in (sales less purchases less quote fees). Raises UnvaluedFee."""
    with localcontext(_EXACT):
        return sum((_cash(fill) for fill in fills), _ZERO)


def ledger_drift(
    fills: Iterable[Fill],
    matches: Iterable[LotMatch],
    lots: Iterable[Lot],
    unmatched: Mapping[str, Decimal] | None = None,
) -> Decimal:
    """Quote coin by which the books miss the cash that really flowed; 0 when every fill is booked right.

    cash flow = realised - cost of the open lots (signed by side, with their fees) + proceeds of what found no lot.
    ``lots`` are all open ones, those in the dust ledger too; ``unmatched`` is quantity by exec id.
    """
    fills, matches = tuple(fills), tuple(matches)
    with localcontext(_EXACT):
        booked = realised(matches)
        booked -= sum((lot.side.sign * lot.qty_left * lot.price + lot.fee_left for lot in lots), _ZERO)
        for fill in fills:
            if unmatched and unmatched.get(fill.exec_id):
                charged = sum((match.close_fee for match in matches if match.close_exec_id == fill.exec_id), _ZERO)
                proceeds = unmatched[fill.exec_id] * fill.price * (1 if fill.side is Side.SELL else -1)
                booked += proceeds - (fill.fee - charged)
        return cash_flow(fills) - booked


def quantity_drift(
    fills: Iterable[Fill], side: PositionSide, lots: Iterable[Lot], unmatched: Mapping[str, Decimal] | None = None
) -> Decimal:
    """Base coin by which the open lots miss what the fills received and gave; 0 when the books are right."""
    with localcontext(_EXACT):
        held = _ZERO
        for fill in fills:
            held += fill.qty if fill.side is side.entry_side else -fill.qty
            if fill.fee_coin == fill.base_coin:
                held -= fill.fee
        return held + sum((unmatched or {}).values(), _ZERO) - open_qty(lots)


def _cash(fill: Fill) -> Decimal:
    value = fill.qty * fill.price * (1 if fill.side is Side.SELL else -1)
    if fill.fee == 0 or fill.fee_coin == fill.base_coin:
        return value
    if fill.fee_coin != fill.quote_coin:
        raise UnvaluedFee(f"fee of execution {fill.exec_id} is in {fill.fee_coin}")
    return value - fill.fee


def _match(lot: Lot, fill: Fill, qty: Decimal, open_fee: Decimal, close_fee: Decimal) -> LotMatch:
    with localcontext(_EXACT):
        gross = lot.side.sign * (fill.price - lot.price) * qty
        net = gross - open_fee - close_fee
    return LotMatch(
        open_exec_id=lot.exec_id,
        close_exec_id=fill.exec_id,
        category=fill.category,
        symbol=fill.symbol,
        side=lot.side,
        qty=qty,
        open_price=lot.price,
        close_price=fill.price,
        gross=gross,
        open_fee=open_fee,
        close_fee=close_fee,
        net=net,
        opened_at=lot.opened_at,
        closed_at=fill.executed_at,
    )


def _total(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(_EXACT):
        return sum(amounts, _ZERO)

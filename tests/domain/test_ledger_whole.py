"""A position from its first fill to its last, with everything that can happen to it: lots, cash and P&L reconcile.

Fees in base, quote or another coin, sales by others that take the newest lots, exits in any order, dust, funding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, localcontext
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.funding_payments import Settlement, part_of
from domain.ledger import (
    Fill,
    Lot,
    LotMatch,
    apply_fill,
    cash_flow,
    fee_in_quote,
    ledger_drift,
    open_cost,
    open_lot,
    open_qty,
    quantity_drift,
    realised,
    share,
    sweep_dust,
)
from domain.market import Category, PositionSide, Side
from domain.portfolio import total

D = Decimal
ZERO = D(0)
START = datetime(2026, 3, 1, tzinfo=UTC)
EXACT = Context(prec=200, traps=[Inexact])
STEP = D("0.001")

quantities = st.integers(1, 10**10).map(lambda n: D(n).scaleb(-8))
prices = st.integers(1, 10**9).map(lambda n: D(n).scaleb(-4))
rates = st.integers(0, 2_000).map(lambda n: D(n).scaleb(-6))
markets = st.sampled_from(
    [
        (Category.SPOT, PositionSide.LONG),
        (Category.LINEAR, PositionSide.LONG),
        (Category.LINEAR, PositionSide.SHORT),
    ]
)


def fill(number: int, market: tuple[Category, PositionSide], side: Side, qty: Decimal, price: Decimal) -> Fill:
    return Fill(
        exec_id=f"x{number}",
        category=market[0],
        symbol="BTCUSDT",
        side=side,
        qty=qty,
        price=price,
        fee=D(0),
        fee_coin="USDT",
        base_coin="BTC",
        quote_coin="USDT",
        executed_at=START + timedelta(minutes=number),
    )


def charged(one: Fill, rate: Decimal, coin: str, *, opening: bool) -> Fill:
    """With its fee as it is booked: one in base coin is possible on a spot purchase alone, one in a third coin has no
    value in the ledger."""
    if coin == "base" and one.category is Category.SPOT and opening:
        return replace(one, fee=one.qty * rate, fee_coin="BTC")
    return replace(one, fee=D(0) if coin == "other" else one.qty * one.price * rate)


@dataclass
class Life:
    """A position as it is booked, and what really moved: coins and dollars, kept apart from the ledger."""

    side: PositionSide
    fills: list[Fill] = field(default_factory=list)
    book: tuple[Lot, ...] = ()
    matches: list[LotMatch] = field(default_factory=list)
    funding: list[Decimal] = field(default_factory=list)
    coins: Decimal = ZERO
    dollars: Decimal = ZERO

    def apply(self, one: Fill) -> None:
        applied = apply_fill(self.book, one, self.side)
        assert applied.unmatched == 0
        self.fills.append(one)
        self.book = applied.book
        self.matches += applied.matches
        in_base = one.fee_coin == one.base_coin
        with localcontext(EXACT):
            bought = one.side is Side.BUY
            self.dollars += one.qty * one.price * (-1 if bought else 1) - (D(0) if in_base else one.fee)
            self.coins += one.qty * (1 if bought else -1) - (one.fee if in_base else D(0))

    def pay(self, amount: Decimal) -> None:
        self.funding.append(amount)
        with localcontext(EXACT):
            self.dollars += amount

    @property
    def held(self) -> Decimal:
        return open_qty(self.book)


@st.composite
def lives(draw: st.DrawFn) -> tuple[tuple[Category, PositionSide], Life]:
    market = draw(markets)
    life = Life(market[1])
    for number in range(draw(st.integers(1, 14))):
        event = draw(st.sampled_from(["enter", "exit", "others", "funding"])) if life.held else "enter"
        price, rate = draw(prices), draw(rates)
        coin = draw(st.sampled_from(["base", "quote", "other"]))
        if event == "enter":
            life.apply(
                charged(fill(number, market, life.side.entry_side, draw(quantities), price), rate, coin, opening=True)
            )
        elif event == "exit":
            qty = min(draw(quantities), life.held)
            life.apply(charged(fill(number, market, life.side.exit_side, qty, price), rate, coin, opening=False))
        elif event == "others":  # theirs is larger than what it takes from us: as much of its fee is ours
            taken = min(draw(quantities), life.held)
            whole = charged(
                fill(number, market, life.side.exit_side, taken + draw(quantities), price), rate, coin, opening=False
            )
            newest = life.book[-1].exec_id
            life.apply(replace(whole, qty=taken, fee=share(whole.fee, taken, whole.qty)))
            mine = [match for match in life.matches if match.close_exec_id == whole.exec_id]
            assert mine[0].open_exec_id == newest, "others' sales take the newest lots first"
        elif market[0] is Category.LINEAR:
            size = life.side.sign * life.held
            paid = -size * price * draw(rates)
            life.pay(part_of(Settlement(f"f{number}", "BTCUSDT", "USDT", paid, size, None, START), size))
    return market, life


@given(lives())
def test_lots_cash_and_profit_reconcile_whatever_happens(case: tuple[tuple[Category, PositionSide], Life]) -> None:
    _, life = case
    assert ledger_drift(life.fills, life.matches, life.book) == 0
    assert quantity_drift(life.fills, life.side, life.book) == 0
    assert life.held == life.side.sign * life.coins, "lots are what was received and not given yet"
    fees = total(fee_in_quote(one) for one in life.fills)
    with localcontext(EXACT):
        gross = total(match.gross for match in life.matches)
        left = life.side.sign * open_cost(life.book)
        assert life.dollars == gross - fees + total(life.funding) - left


@given(lives(), prices)
def test_a_position_that_is_over_brought_its_cash_and_its_funding(
    case: tuple[tuple[Category, PositionSide], Life], price: Decimal
) -> None:
    market, life = case
    if life.held:
        life.apply(fill(99, market, life.side.exit_side, life.held, price))
    assert (life.book, life.coins) == ((), 0)
    net = total([realised(life.matches), *life.funding])
    assert net == life.dollars
    parts = [total(match.gross for match in life.matches), -total(fee_in_quote(one) for one in life.fills)]
    assert total([*parts, *life.funding]) == net, "gross, less fees, plus funding is net"


@given(lives())
def test_dust_keeps_its_cost_and_using_it_up_later_closes_the_sum(
    case: tuple[tuple[Category, PositionSide], Life],
) -> None:
    """What a position left behind and somebody else's later sale took: quantity and cost are accounted for."""
    market, life = case
    if life.held > STEP:
        sold = life.held - STEP / 2
        life.apply(fill(98, market, life.side.exit_side, sold, D(100)))
    lots, dust = sweep_dust(life.book, STEP)
    assert open_qty([*lots, *dust]) == life.held
    assert ledger_drift(life.fills, life.matches, [*lots, *dust]) == 0
    if life.held:
        life.apply(fill(99, market, life.side.exit_side, life.held, D(101)))
    assert total([realised(life.matches), *life.funding]) == life.dollars


@given(quantities, prices, rates, st.sampled_from(["base", "quote", "other"]))
def test_a_spot_purchase_opens_a_lot_of_what_was_received_whatever_coin_its_fee_is_in(
    qty: Decimal, price: Decimal, rate: Decimal, coin: str
) -> None:
    market = (Category.SPOT, PositionSide.LONG)
    bought = charged(fill(1, market, Side.BUY, qty, price), rate, coin, opening=True)
    lot = open_lot(bought)
    with localcontext(EXACT):
        assert lot.qty == lot.qty_left == (qty - qty * rate if coin == "base" else qty)
        assert lot.fee == (D(0) if coin == "other" else qty * rate * price)
        spent = open_cost([lot]) + lot.fee
        assert -cash_flow([bought]) == spent if coin != "other" else spent == qty * price


@given(lives(), st.data())
def test_leaving_in_parts_of_any_order_brings_the_same_gross(
    case: tuple[tuple[Category, PositionSide], Life], data: st.DataObject
) -> None:
    """The same exits, shuffled: other lots meet other prices, and the sum over the whole is the same."""
    market, life = case
    if not life.held:
        return
    cuts = data.draw(st.lists(st.integers(1, 99), max_size=4, unique=True))
    bounds = [D(0), *(life.held * D(cut) / 100 for cut in sorted(cuts)), life.held]
    parts = [(after - before, data.draw(prices)) for before, after in pairwise(bounds)]

    def leave(order: list[tuple[Decimal, Decimal]]) -> Decimal:
        book, matches = life.book, list(life.matches)
        for number, (qty, price) in enumerate(order, 200):
            applied = apply_fill(book, fill(number, market, life.side.exit_side, qty, price), life.side)
            book, matches = applied.book, [*matches, *applied.matches]
        assert book == ()
        return realised(matches)

    assert leave(parts) == leave(data.draw(st.permutations(parts)))

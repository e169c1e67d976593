"""The portfolio's books: whatever is traded, equity moves by what its parts say, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import Fill, Lot, apply_fill, share
from domain.market import Category, PositionSide, Side
from domain.portfolio import (
    HOUR,
    Closing,
    Flows,
    Holding,
    LogBehind,
    Movement,
    OwnedLot,
    Prices,
    SoldBeyond,
    Standing,
    balances_at,
    booked_apart,
    coins_not_ours,
    day_of,
    difference,
    flows,
    funding_by_symbol,
    gain,
    holdings_at,
    revalued,
    sold_apart,
    start_of,
    total,
    unexplained,
    value,
)

D = Decimal
START = datetime(2026, 3, 1, 20, tzinfo=UTC)
HOURS = 8
STEP = D("0.001")
EXACT = Context(prec=200, traps=[Inexact])


@dataclass
class Venue:
    """An exchange that keeps its own books, its own way: linear profit at the average price, a log row a change.

    What it does is given to ``books`` as fills, as our ledger books them: lots, last in first out.
    """

    wallet: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    log: list[Movement] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    lots: list[OwnedLot] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)
    open: dict[str, tuple[Lot, ...]] = field(default_factory=dict)
    linear: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def post(self, coin: str, flow: Decimal, fee: Decimal, at: datetime, kind: str = "TRADE", **more: object) -> None:
        funding = more.pop("funding", D(0))
        assert isinstance(funding, Decimal)
        self.wallet[coin] += flow + funding - fee
        row = {"symbol": "", "exec_id": "", **more}
        self.log.append(
            Movement(
                kind=kind,
                coin=coin,
                change=flow + funding - fee,
                fee=fee,
                funding=funding,
                balance=self.wallet[coin],
                at=at,
                **row,
            )
        )

    def trade(self, category: Category, position: PositionSide, side: Side, qty: Decimal, price: Decimal, at: datetime):
        """One fill of the category's one position; a sale of more than is held is cut to what is."""
        name = category.value
        held = sum((lot.qty_left for lot in self.open.get(name, ())), D(0))
        if side is not position.entry_side:
            qty = min(qty, held)
        if qty <= 0:
            return
        spot_buy = category is Category.SPOT and side is Side.BUY
        fee = (qty if spot_buy else qty * price) * D("0.0006")
        fill = Fill(
            exec_id=f"x{len(self.fills)}",
            category=category,
            symbol="BTCUSDT",
            side=side,
            qty=qty,
            price=price,
            fee=fee,
            fee_coin="BTC" if spot_buy else "USDT",
            base_coin="BTC",
            quote_coin="USDT",
            executed_at=at,
        )
        self._settle(fill, position)
        self._book(fill, position)

    def _settle(self, fill: Fill, position: PositionSide) -> None:
        """The exchange's own side of a fill."""
        told = {"symbol": fill.symbol, "exec_id": fill.exec_id}
        sign = 1 if fill.side is Side.BUY else -1
        if fill.category is Category.SPOT:
            self.post("BTC", sign * fill.qty, fill.fee if sign > 0 else D(0), fill.executed_at, **told)
            self.post("USDT", -sign * fill.qty * fill.price, D(0) if sign > 0 else fill.fee, fill.executed_at, **told)
            return
        size, cost = self.linear.get(fill.symbol, (D(0), D(0)))
        profit = D(0)
        if fill.side is position.entry_side:
            size, cost = size + fill.qty, cost + fill.qty * fill.price
        else:
            released = share(cost, fill.qty, size)
            profit = position.sign * (fill.qty * fill.price - released)
            size, cost = size - fill.qty, cost - released
        self.linear[fill.symbol] = size, cost
        self.post("USDT", profit, fill.fee, fill.executed_at, **told)

    def _book(self, fill: Fill, position: PositionSide) -> None:
        """Our side of it."""
        name = fill.category.value
        applied = apply_fill(self.open.get(name, ()), fill, position)
        self.open[name] = applied.book
        self.fills.append(fill)
        if applied.new_lot is not None:
            self.lots.append(OwnedLot(name, applied.new_lot, "BTC", STEP))
        self.closings += [
            Closing(name, match.open_exec_id, match.close_exec_id, match.qty, match.gross, match.closed_at)
            for match in applied.matches
        ]

    def standing(self, at: datetime, prices: Prices) -> tuple[Standing, list[Holding], dict[str, Decimal]]:
        """What was there at ``at``, asked now."""
        holdings = holdings_at(self.lots, self.closings, at)
        balances = balances_at(self.wallet, self.log, at)
        apart = booked_apart(holdings, self.closings, self.log, at)
        return value(holdings, balances, prices, apart), holdings, balances

    def brought(self, after: datetime, until: datetime, prices: Prices) -> Flows:
        return flows(self.closings, self.fills, self.log, prices, after, until)


prices_of = st.integers(1, 10**7).map(lambda n: D(n).scaleb(-2))
acts = st.tuples(
    st.integers(1, HOURS * 60),
    st.sampled_from(["spot buy", "spot sell", "long", "short", "close", "funding", "transfer", "coin"]),
    st.integers(1, 5000).map(lambda n: n * STEP),
    prices_of,
)


def played(events: list[tuple[int, str, Decimal, Decimal]]) -> Venue:
    """A venue after these events, in the order of their minutes."""
    venue = Venue()
    side = PositionSide.LONG
    venue.post("USDT", D(1_000_000), D(0), START, "TRANSFER_IN")
    for minute, act, qty, price in sorted(events, key=lambda event: event[0]):
        at = START + timedelta(minutes=minute)
        size = venue.linear.get("BTCUSDT", (D(0), D(0)))[0]
        if act == "spot buy":
            venue.trade(Category.SPOT, PositionSide.LONG, Side.BUY, qty, price, at)
        elif act == "spot sell":
            venue.trade(Category.SPOT, PositionSide.LONG, Side.SELL, qty, price, at)
        elif act in ("long", "short"):
            side = side if size else PositionSide(act)
            venue.trade(Category.LINEAR, side, side.entry_side, qty, price, at)
        elif act == "close":
            venue.trade(Category.LINEAR, side, side.exit_side, qty, price, at)
        elif act == "funding":
            venue.post("USDT", D(0), D(0), at, "SETTLEMENT", symbol="BTCUSDT", funding=qty - 2)
        else:
            venue.post("BTC" if act == "coin" else "USDT", qty, D(0), at, "TRANSFER_IN")
    return venue


@given(st.lists(acts, max_size=40), st.lists(prices_of, min_size=HOURS, max_size=HOURS))
def test_equity_changes_by_realised_unrealised_fees_funding_and_transfers_exactly(
    events: list[tuple[int, str, Decimal, Decimal]], quotes: list[Decimal]
) -> None:
    venue = played(events)
    hours = [START + HOUR * n for n in range(1, HOURS + 1)]
    markets = [Prices({"BTC": quote}, {"BTCUSDT": quote + 1}) for quote in quotes]
    looks = [venue.standing(hour, prices) for hour, prices in zip(hours, markets, strict=True)]
    for n in range(1, HOURS):
        (before, held, balances), (now, _, _) = looks[n - 1], looks[n]
        foreign = revalued(coins_not_ours(held, balances), markets[n - 1].coins, markets[n])
        gap = unexplained(
            difference(now.equity, before.equity),
            difference(now.unrealised, before.unrealised),
            venue.brought(hours[n - 1], hours[n], markets[n]),
        )
        assert gap == foreign, "only coins that no lot holds move it besides"


@given(st.lists(acts, max_size=30), st.lists(prices_of, min_size=2, max_size=2))
def test_an_hour_looks_the_same_however_late_it_is_asked(
    events: list[tuple[int, str, Decimal, Decimal]], quotes: list[Decimal]
) -> None:
    cut = START + HOUR * 3
    prices = Prices({"BTC": quotes[0]}, {"BTCUSDT": quotes[1]})
    on_time = played([event for event in events if START + timedelta(minutes=event[0]) <= cut])
    late = played(events)
    assert late.standing(cut, prices) == on_time.standing(cut, prices)
    assert late.brought(START, cut, prices) == on_time.brought(START, cut, prices)


@given(st.lists(acts, max_size=40))
def test_the_days_add_up_to_the_whole_and_each_begins_at_nothing(
    events: list[tuple[int, str, Decimal, Decimal]],
) -> None:
    """``net_pnl_daily`` as the snapshots keep it: fills since 00:00, funding carried from snapshot to snapshot."""
    venue = played(events)
    prices = Prices({}, {})
    funding: dict[str, Decimal] = {}
    last_of: dict[object, Decimal] = {}
    for n in range(1, HOURS + 1):
        hour = START + HOUR * n
        midnight = start_of(day_of(hour))
        if hour - HOUR == midnight:
            funding = {}
        funding = funding_by_symbol(venue.log, prices, max(hour - HOUR, midnight), hour, funding)
        since_midnight = flows(venue.closings, venue.fills, (), prices, midnight, hour)
        last_of[day_of(hour)] = total([since_midnight.net, *funding.values()])
        if hour - HOUR == midnight:
            assert last_of[day_of(hour)] == venue.brought(midnight, hour, prices).net
    assert len(last_of) == 2, "the stretch has a midnight in it"
    assert total(last_of.values()) == venue.brought(START, START + HOUR * HOURS, prices).net


@given(
    st.permutations([D("0.5"), D("1.25"), D("0.25"), D(2)]),
    st.sampled_from([PositionSide.LONG, PositionSide.SHORT]),
    st.lists(prices_of, min_size=3, max_size=3),
)
def test_partial_exits_sum_to_the_same_in_any_order(
    parts: list[Decimal], side: PositionSide, quotes: list[Decimal]
) -> None:
    venue = Venue()
    for n, price in enumerate(quotes[:2]):
        venue.trade(Category.LINEAR, side, side.entry_side, D(2), price, START + timedelta(minutes=n + 1))
    for n, part in enumerate(parts):
        venue.trade(Category.LINEAR, side, side.exit_side, part, quotes[2], START + timedelta(minutes=n + 10))
    brought = venue.brought(START, START + HOUR, Prices({}, {}))
    assert brought.realised == side.sign * (4 * quotes[2] - 2 * quotes[0] - 2 * quotes[1])
    assert brought.fees == (4 * quotes[2] + 2 * quotes[0] + 2 * quotes[1]) * D("0.0006")
    assert venue.wallet["USDT"] == brought.net
    assert venue.standing(START + HOUR, Prices({}, {}))[1] == []


def test_a_partial_exit_that_the_exchange_cuts_otherwise_does_not_move_equity() -> None:
    venue = Venue()
    for minute, price in ((1, D(100)), (2, D(200))):
        venue.trade(Category.LINEAR, PositionSide.LONG, Side.BUY, D(1), price, START + timedelta(minutes=minute))
    venue.trade(Category.LINEAR, PositionSide.LONG, Side.SELL, D(1), D(180), START + timedelta(minutes=3))
    prices = Prices({}, {"BTCUSDT": D(180)})
    standing, _, balances = venue.standing(START + HOUR, prices)
    fees = D(480) * D("0.0006")
    assert balances["USDT"] == 30 - fees, "the exchange: 180 less the average of 150"
    assert standing.unrealised == 80, "ours: the lot of 100 is left, the one of 200 lost 20"
    assert standing.equity == 60 - fees
    assert venue.brought(START, START + HOUR, prices).realised == -20


def test_what_can_not_be_sold_is_dust_counted_at_its_price_and_not_invested() -> None:
    venue = Venue()
    venue.trade(Category.SPOT, PositionSide.LONG, Side.BUY, D("1.0005"), D(100), START + timedelta(minutes=1))
    venue.trade(Category.SPOT, PositionSide.LONG, Side.SELL, D("0.9995"), D(100), START + timedelta(minutes=2))
    prices = Prices({"BTC": D(150)}, {})
    standing, holdings, balances = venue.standing(START + HOUR, prices)
    assert [holding.dust for holding in holdings] == [True]
    assert balances["BTC"] == holdings[0].qty == D("0.0003997")
    assert (standing.invested, standing.open_positions) == (0, 0)
    assert standing.unrealised == gain(holdings[0], prices) == D("0.0003997") * 50
    assert standing.equity == balances["USDT"] + D("0.0003997") * 150


def row(coin: str, change: str, balance: str, minute: int) -> Movement:
    at = START + timedelta(minutes=minute)
    return Movement("TRADE", "", coin, D(change), D(0), D(0), D(balance), "", at)


def test_a_balance_is_the_one_before_the_first_row_after_the_hour() -> None:
    log = [row("USDT", "10", "110", 30), row("USDT", "-5", "105", 61), row("USDT", "7", "112", 62)]
    assert balances_at({"USDT": D(112), "BTC": D(3)}, log, START + HOUR) == {"USDT": D(110), "BTC": D(3)}


def test_a_row_at_the_hour_itself_belongs_to_the_hour_it_ends() -> None:
    assert balances_at({"USDT": D(110)}, [row("USDT", "10", "110", 60)], START + HOUR) == {"USDT": D(110)}


def test_a_wallet_ahead_of_its_log_is_noticed() -> None:
    log = [row("USDT", "10", "110", 30)]
    with pytest.raises(LogBehind, match="USDT"):
        balances_at({"USDT": D(115)}, log, START + HOUR)
    with pytest.raises(LogBehind, match="BTC"):
        balances_at({"USDT": D(110), "BTC": D(1)}, log, START + HOUR, {"USDT": D(100)})
    assert balances_at({"USDT": D(115)}, log, START + HOUR, proved=False) == {"USDT": D(115)}


def test_a_closing_fill_that_the_log_lacks_is_noticed() -> None:
    holding = Holding("linear", Category.LINEAR, "BTCUSDT", "BTC", PositionSide.LONG, D(1), D(100), False)
    closing = Closing("linear", "x0", "x1", D(1), D(5), START)
    with pytest.raises(LogBehind, match="x1"):
        booked_apart([holding], [closing], [], START)


def test_midnight_belongs_to_the_day_it_ends() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert str(day_of(midnight)) == "2026-03-01"
    assert str(day_of(midnight + timedelta(microseconds=1))) == "2026-03-02"


def test_sums_are_exact_beyond_the_default_precision() -> None:
    long = D("1234567890123456789012345678.000000000000000000000001")
    with localcontext(EXACT):
        assert total([long, -long, long]) == long
        assert difference(long, D(1)) == long - 1


amounts = st.decimals(D("0.01"), D(10_000), places=2)


@given(amounts, amounts, amounts, amounts, amounts, amounts)
def test_an_oversold_sale_is_explained_by_what_its_price_did_to_coins_that_no_position_held(
    kept: Decimal, sold: Decimal, before: Decimal, at_sale: Decimal, now: Decimal, fee: Decimal
) -> None:
    sale = SoldBeyond("LINK", sold, at_sale, START + timedelta(minutes=30))
    later = Prices({"LINK": now}, {})
    equity_before = (kept + sold) * before
    equity_now = kept * now + sold * at_sale - fee
    gap = unexplained(difference(equity_now, equity_before), D(0), Flows(fees=fee))
    apart = sold_apart([sale], later, START, START + HOUR)
    assert gap == revalued({"LINK": kept + sold}, {"LINK": before}, later) + apart
    assert sold_apart([sale], later, START + HOUR, START + 2 * HOUR) == 0

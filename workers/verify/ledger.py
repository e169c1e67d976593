"""The ledger against the exchange's books, to the last digit.

Both sides move while they are read. The database is read first, in one snapshot; what the exchange's transaction log
has from executions that this snapshot has not booked yet is taken out of its wallet again, so that both sides tell of
the same executions. An execution of ours that stays unbooked is a finding of its own.

What others executed is no error: it counts as the exchange tells it. Where they traded a linear symbol beside us the
exchange cuts the profit over both, and where a position is closed in part it cuts it otherwise than our lots do: there
cash can't be told apart, and the sizes are held against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Dust, ExecutionApplication, InstrumentRow, LotMatchRow, LotRow, OrderExecution, Position
from domain.ids import parse_order_link_id
from domain.market import Category, PositionSide, Side
from workers.verify.verdict import Finding, Kind

_QUOTE = "USDT"

Balances = dict[str, Decimal]


async def judge_ledger(session: AsyncSession, books: Mapping[str, Any]) -> list[Finding]:
    """Executions missing on either side, coins whose wallet our lots, matches and dust don't explain, and whatever the
    exchange's own audit says."""
    ours = set((await session.scalars(select(OrderExecution.exec_id))).all())
    applied = await session.execute(select(ExecutionApplication.exec_id, ExecutionApplication.unmatched_qty))
    beyond = {row.exec_id: row.unmatched_qty for row in applied}
    mixed = _mixed(books, beyond) | await _partly_closed(session)
    explained = await _explained(session, mixed)
    for coin, amount in (await _beyond_ours(session, books, beyond)).items():
        explained[coin] = explained.get(coin, Decimal(0)) + amount
    return [
        *_executions(books, ours, set(beyond)),
        *_wallet(books, set(beyond), mixed, explained),
        *await _sizes(session, books, ours, beyond, mixed),
        *(
            Finding(Kind.LEDGER_DRIFT, problem, f"the exchange's own audit: {problem}")
            for problem in books["check"]["problems"]
        ),
    ]


def _is_foreign(execution: Mapping[str, Any]) -> bool:
    """Executed by no order of ours. The exchange's own stop of a position of ours is booked to it."""
    return parse_order_link_id(execution["orderLinkId"]) is None


def _mixed(books: Mapping[str, Any], beyond: Mapping[str, Decimal]) -> frozenset[str]:
    """Linear symbols in which others executed something that is not all booked to us."""
    return frozenset(
        row["symbol"]
        for row in books["executions"]
        if row["category"] == Category.LINEAR and _is_foreign(row) and beyond.get(row["execId"], Decimal(1)) != 0
    )


async def _partly_closed(session: AsyncSession) -> frozenset[str]:
    """Linear symbols with a position that is closed in part."""
    part = select(Position.symbol).join(LotMatchRow, LotMatchRow.position_id == Position.position_id)
    rows = await session.scalars(part.where(Position.category == Category.LINEAR, Position.qty != 0).distinct())
    return frozenset(rows.all())


def _executions(books: Mapping[str, Any], ours: set[str], booked: set[str]) -> Iterator[Finding]:
    theirs = {row["execId"]: row for row in books["executions"]}
    for exec_id in theirs.keys() - ours:
        yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is at the exchange and not in the database")
    for exec_id in ours - theirs.keys():
        yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is in the database and not at the exchange")
    for exec_id in (ours & theirs.keys()) - booked:
        if not _is_foreign(theirs[exec_id]):
            yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is recorded, and booked to no position")


async def _beyond_ours(session: AsyncSession, books: Mapping[str, Any], beyond: Mapping[str, Decimal]) -> Balances:
    """What spot sales of others that took from us brought beyond that: coins gone, and their proceeds less fees."""
    found: Balances = {}
    coins = {
        row.symbol: row.base_coin
        for row in await session.scalars(select(InstrumentRow).where(InstrumentRow.category == Category.SPOT))
    }
    for row in books["executions"]:
        unmatched = beyond.get(row["execId"], Decimal(0))
        if row["category"] != Category.SPOT or not unmatched or not _is_foreign(row):
            continue
        charged = await session.scalar(
            select(func.sum(LotMatchRow.close_fee)).where(LotMatchRow.close_exec_id == row["execId"])
        )
        fee = Decimal(row["execFee"]) - Decimal(charged or 0)
        coin = coins[row["symbol"]]
        found[coin] = found.get(coin, Decimal(0)) - unmatched
        found[_QUOTE] = found.get(_QUOTE, Decimal(0)) + unmatched * Decimal(row["execPrice"]) - fee
    return found


async def _sizes(
    session: AsyncSession,
    books: Mapping[str, Any],
    ours: set[str],
    beyond: Mapping[str, Decimal],
    mixed: frozenset[str],
) -> list[Finding]:
    """Mixed symbols of which the exchange holds something else than what is ours and what others executed."""
    should = dict.fromkeys(mixed, Decimal(0))
    for row in books["executions"]:
        if row["symbol"] in mixed and row["category"] == Category.LINEAR and row["execId"] in ours:
            qty = Decimal(row["execQty"]) if _is_foreign(row) else Decimal(0)
            left = beyond.get(row["execId"], qty)
            should[row["symbol"]] += left if row["side"] == Side.BUY else -left
    left_behind = func.coalesce(Dust.qty, 0)
    held = (
        select(Position.symbol, Position.side, func.sum(Position.qty + left_behind))
        .outerjoin(Dust, Dust.position_id == Position.position_id)
        .where(Position.category == Category.LINEAR, Position.symbol.in_(mixed))
        .group_by(Position.symbol, Position.side)
    )
    for symbol, side, qty in await session.execute(held):
        should[symbol] += PositionSide(side).sign * Decimal(qty)
    has = dict.fromkeys(mixed, Decimal(0))
    for row in books["positions"]:
        if row["symbol"] in mixed:
            has[row["symbol"]] = Decimal(row["size"]) * (1 if row["side"] == Side.BUY else -1)
    young = {row["symbol"] for row in books["executions"] if row["execId"] not in ours}
    return [
        Finding(
            Kind.LEDGER_DRIFT,
            symbol,
            f"the exchange holds {has[symbol]} of {symbol}, ours and others' executions make {should[symbol]}",
            abs(has[symbol] - should[symbol]),
        )
        for symbol in sorted(mixed - young)
        if has[symbol] != should[symbol]
    ]


def _wallet(
    books: Mapping[str, Any], booked: set[str], mixed: frozenset[str], explained: Balances
) -> Iterator[Finding]:
    wallet: Balances = {row["coin"]: Decimal(row["walletBalance"]) for row in books["wallet"]["coin"]}
    expected = dict(explained)
    for row in books["transaction_log"]:  # deposits and funding, what others did, and what nobody has booked yet
        apart = row["category"] == Category.LINEAR and row["symbol"] in mixed
        if row["tradeId"] not in booked or apart:
            expected[row["currency"]] = expected.get(row["currency"], Decimal(0)) + Decimal(row["change"])
    for coin in sorted(wallet.keys() | expected.keys()):
        has, should = wallet.get(coin, Decimal(0)), expected.get(coin, Decimal(0))
        if has != should:
            sentence = f"the exchange's wallet holds {has} {coin}, our ledger explains {should}"
            yield Finding(Kind.LEDGER_DRIFT, coin, sentence, abs(has - should))


async def _explained(session: AsyncSession, mixed: frozenset[str]) -> Balances:
    """What our own ledger says came of trading, by coin, without the linear symbols that are ``mixed``."""
    explained: Balances = {}

    def add(coin: str, amount: Decimal) -> None:
        explained[coin] = explained.get(coin, Decimal(0)) + amount

    apart = (Position.category == Category.LINEAR) & Position.symbol.in_(mixed)
    net = (
        select(func.coalesce(func.sum(LotMatchRow.net), 0))
        .join(Position, Position.position_id == LotMatchRow.position_id)
        .where(~apart)
    )
    add(_QUOTE, Decimal(await session.scalar(net) or 0))
    lots = await session.execute(
        select(LotRow, InstrumentRow.base_coin)
        .join(InstrumentRow, (InstrumentRow.category == LotRow.category) & (InstrumentRow.symbol == LotRow.symbol))
        .where(LotRow.qty_left > 0)
    )
    for lot, base_coin in lots:
        if lot.category == Category.SPOT:
            add(base_coin, lot.qty_left)
            add(_QUOTE, -(lot.qty_left * lot.price + lot.fee_left))
        elif lot.symbol not in mixed:
            add(_QUOTE, -lot.fee_left)
    for dust in await session.scalars(select(Dust)):
        add(dust.coin, dust.qty)
        add(_QUOTE, -dust.cost)
    return explained

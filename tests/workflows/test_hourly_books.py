"""The books of hours in which much happens beside our trades: funding, transfers, dust that is used up, other people's
trades. Every hour must be explained to the last digit; books that are wrong must page, once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from activities.funding_intake import settlements_of, take_in_funding
from activities.snapshots import SnapshotActivities
from db.models import FundingPayment, PortfolioHourlySnapshot, Position
from domain.decision_views import PnlView, PortfolioView
from domain.funding_payments import Settlement
from domain.market import Category, PositionSide, Side
from domain.portfolio import day_of, total
from domain.views import PositionDetail
from exchange.protocol import OrderRequest
from tests.api.running import api_settings, running_api
from tests.exchange.clients.connecting import pybit_http
from tests.support.waiting import eventually
from tests.workflows.hourly import HOUR, START, WIDE, Books, close, running_books
from workers.verify.invariants import judge_invariants
from workers.verify.verdict import Figures
from workflows.reconciliation import ReconciliationWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(300)]

D = Decimal
BROUGHT_IN = D("-325.5")
"""What the transfers of the story move, dollars."""


@dataclass
class Story:
    """What was played, and the positions in it: a spot one that was closed, one still open, a short over midnight."""

    books: Books
    closed: str
    held: str
    short: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(module_database: str) -> AsyncIterator[Books]:
    async with running_books(module_database) as running:
        yield running


async def stranger(books: Books, category: Category, symbol: str, side: Side, qty: str) -> None:
    """Somebody else trades on the account."""
    link = f"stranger-{uuid.uuid4().hex[:12]}"
    await books.gateway.place_order(
        OrderRequest(category=category, symbol=symbol, side=side, qty=D(qty), order_link_id=link)
    )


async def transfer(books: Books, coin: str, amount: Decimal) -> None:
    """Into the trading account (above 0) or out of it."""
    http = pybit_http(books.paper.url, books.paper.key, books.paper.secret)
    way = ("FUND", "UNIFIED") if amount > 0 else ("UNIFIED", "FUND")
    given = {"transferId": str(uuid.uuid4()), "coin": coin, "amount": f"{abs(amount):f}"}
    await asyncio.to_thread(http.create_internal_transfer, **given, fromAccountType=way[0], toAccountType=way[1])


async def settlements(books: Books) -> list[Settlement]:
    return settlements_of(await books.gateway.transaction_log(since=START))


async def balance(books: Books, coin: str) -> Decimal:
    return {each.coin: each.wallet_balance for each in (await books.gateway.wallet()).coins}.get(coin, D(0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(books: Books) -> Story:
    """Hours with a snapshot each, up to a settlement of funding and past it, however fast this machine is."""
    trading = books.trading
    reconciliation = trading.client.get_workflow_handle_for(ReconciliationWorkflow.run, "reconcile/account")
    await reconciliation.execute_update(ReconciliationWorkflow.run_now)  # what others held before is known from then on
    spot = await trading.open(usd="3001.37", policy=WIDE)
    short = await trading.open(Category.LINEAR, "ETHUSDT", PositionSide.SHORT, usd="3000", policy=WIDE)
    for handle in (spot, short):
        await trading.until_watched(handle)
    await books.catch_up()

    await stranger(books, Category.SPOT, "BTCUSDT", Side.BUY, "0.02")
    await transfer(books, "USDT", D("-500"))
    await transfer(books, "USDT", D("174.5"))
    await close(spot)  # its fee came in BTC: dust is left
    await stranger(books, Category.LINEAR, "XRPUSDT", Side.BUY, "100")
    await books.catch_up()

    dust = await books.sql("SELECT sum(qty) FROM dust WHERE coin = 'BTC'")
    assert dust[0][0] > 0
    held = await trading.open(usd="2000", policy=WIDE)
    await trading.until_watched(held)
    await transfer(books, "BTC", -dust[0][0].quantize(D("1E-8"), "ROUND_DOWN"))  # as the exchange converts dust
    await books.catch_up()

    while not {"ETHUSDT", "XRPUSDT"} <= {each.symbol for each in await settlements(books)}:
        await books.catch_up()
    await stranger(books, Category.SPOT, "BTCUSDT", Side.SELL, "0.019")
    await stranger(books, Category.LINEAR, "XRPUSDT", Side.SELL, "100")
    await close(short)
    await books.catch_up()
    ids = [handle.id.removeprefix("position/") for handle in (spot, held, short)]
    return Story(books, *ids)


async def rows_of(books: Books) -> list[PortfolioHourlySnapshot]:
    async with books.trading.database.session() as session:
        wanted = select(PortfolioHourlySnapshot).order_by(PortfolioHourlySnapshot.hour)
        return list((await session.scalars(wanted)).all())


async def test_every_hour_holds_whatever_happened_beside_our_trades(story: Story) -> None:
    rows = await rows_of(story.books)
    assert [row.hour for row in rows] == [rows[0].hour + HOUR * n for n in range(len(rows))]
    for row in rows:
        checks = row.detail["invariants"]["checks"]
        assert [each for each in checks if D(each["unexplained"])] == []
        assert row.detail["notes"] == []
        assert row.detail["invariants"]["not_judged"] == []
    kinds = {(each["kind"], each["subject"]) for row in rows for each in row.detail["invariants"]["checks"]}
    assert kinds >= {("spot_lots", "BTC"), ("linear_lots", "ETHUSDT"), ("linear_lots", "XRPUSDT"), ("equity", "equity")}
    assert [*await story.books.trading.events("snapshot_unexplained")] == []
    assert [*await story.books.trading.events("lots_unexplained")] == []


async def test_transfers_are_told_as_such_and_explain_equity(story: Story) -> None:
    rows = await rows_of(story.books)
    log = [row for row in await story.books.gateway.transaction_log(since=START) if row.type.startswith("TRANSFER")]
    moved = [row for row in log if row.at > rows[0].hour]
    assert total(row.change for row in moved if row.coin == "USDT") == BROUGHT_IN
    assert len([row for row in moved if row.coin == "BTC"]) == 1
    for row in rows[1:]:
        prices = {"USDT": D(1), **{coin: D(price) for coin, price in row.detail["coin_prices"].items()}}
        inside = [each for each in moved if row.hour - HOUR < each.at <= row.hour]
        assert row.transfers == total(each.change * prices[each.coin] for each in inside)
    assert total(row.transfers for row in rows) != 0


async def test_dust_that_is_gone_is_told_as_taken_by_others_and_the_sum_is_the_balance(story: Story) -> None:
    last = (await rows_of(story.books))[-1]
    [btc] = [each for each in last.detail["invariants"]["checks"] if each["subject"] == "BTC"]
    lots, dust, foreign, exchange = (D(btc[name]) for name in ("lots", "dust", "foreign", "exchange"))
    [(ledger,)] = await story.books.sql("SELECT sum(qty) FROM dust WHERE coin = 'BTC'")
    assert (dust, lots + dust + foreign) == (ledger, exchange)
    assert exchange == await balance(story.books, "BTC")
    bought, sold = D("0.02") * (1 - D("0.001")), D("0.019")
    assert abs(foreign - (bought - sold - dust)) <= D("1E-8"), "what the stranger has left, less our dust that is gone"


async def test_every_settlement_is_one_payment_of_the_position_that_was_open(story: Story) -> None:
    books = story.books
    log = await books.gateway.transaction_log(since=START)
    told = {each.log_id: each for each in settlements_of(log)}
    async with books.trading.database.session() as session:
        found = {row.log_id: row for row in await session.scalars(select(FundingPayment))}
        assert await take_in_funding(session, books.epoch, log) == 0, "each is written once"
    assert found.keys() == told.keys()
    assert {row.symbol for row in found.values()} == {"ETHUSDT", "XRPUSDT"}
    for row in found.values():
        ours = row.symbol == "ETHUSDT"
        assert row.position_id == (story.short if ours else None)
        assert row.attributed == (row.amount if ours else 0)
        assert (row.amount, row.size, row.at) == (told[row.log_id].amount, told[row.log_id].size, told[row.log_id].at)
        assert row.rate is not None
        assert (row.amount > 0) == ((row.rate > 0) == (row.size < 0)), "longs pay a positive rate"


async def test_the_days_funding_is_the_payments(story: Story) -> None:
    rows = await rows_of(story.books)
    async with story.books.trading.database.session() as session:
        paid = list(await session.scalars(select(FundingPayment)))
    for row in rows:
        assert row.funding == total(each.amount for each in paid if row.hour - HOUR < each.at <= row.hour)
    for day, of_day in groupby(rows, key=lambda row: row.day):
        told = {name: D(amount) for name, amount in list(of_day)[-1].detail["funding_today"].items()}
        assert told.keys() == {each.symbol for each in paid if day_of(each.at) == day}
        assert total(told.values()) == total(each.amount for each in paid if day_of(each.at) == day)
    assert len(paid) >= 2


async def test_the_api_tells_the_same_sums_on_every_surface(story: Story, scratch: Path, module_database: str) -> None:
    """P&L of the period is that of its days, of its hours' parts, of strategies and of symbols: to the last digit."""
    books = story.books
    address = books.trading.client.service_client.config.target_host
    rows = await rows_of(books)

    def ask() -> tuple[PnlView, PortfolioView, PositionDetail]:
        with running_api(api_settings(scratch, module_database, address)) as api, api.http() as http:
            pnl = http.get("/v1/analytics/pnl", params={"period": "all"}).raise_for_status()
            portfolio = http.get("/v1/analytics/portfolio").raise_for_status()
            short = http.get(f"/v1/positions/{story.short}").raise_for_status()
        return (
            PnlView.model_validate(pnl.json()),
            PortfolioView.model_validate(portfolio.json()),
            PositionDetail.model_validate(short.json()),
        )

    pnl, portfolio, short = await asyncio.to_thread(ask)
    days = await books.sql("SELECT day::text, net_pnl_daily FROM portfolio_daily ORDER BY day")
    assert [(day.day, day.net_pnl) for day in pnl.days if day.equity is not None][: len(days)] == [
        (day, net) for day, net in days
    ]
    parts = total(part for hour in pnl.hours for part in (hour.realised_pnl, -hour.fees, hour.funding))
    assert pnl.net_pnl == parts == total(pnl.by_strategy.values()) == total(pnl.by_symbol.values())
    assert pnl.net_pnl == portfolio.pnl["all"]
    fields = ("bought", "sold", "fees", "funding")
    assert [[getattr(hour, name) for name in fields] for hour in pnl.hours] == [
        [getattr(row, name) for name in fields] for row in rows
    ]
    assert all(hour.broken == 0 for hour in pnl.hours)
    assert {each.kind for each in portfolio.invariants} == {"spot_lots", "equity"}

    [(amount,)] = await books.sql("SELECT sum(amount) FROM funding_payments WHERE symbol = 'ETHUSDT'")
    [(foreign,)] = await books.sql("SELECT sum(amount) FROM funding_payments WHERE symbol = 'XRPUSDT'")
    assert pnl.by_strategy["funding"] == foreign, "what is nobody's"
    assert pnl.by_symbol["ETHUSDT"] == short.net_pnl
    assert short.funding == amount == total(each.amount for each in short.funding_payments)
    assert short.net_pnl == short.gross_pnl - short.fees + short.funding
    assert short.realised_pnl + short.funding == short.net_pnl


async def test_a_late_look_at_the_hours_says_the_same(story: Story) -> None:
    activities = SnapshotActivities(story.books.trading.database, story.books.gateway)
    for row in await rows_of(story.books):
        late = await activities.measure(story.books.epoch, row.hour)
        assert late["detail"]["invariants"] == row.detail["invariants"]
        assert (late["equity"], late["unexplained"]) == (row.equity, row.unexplained)


async def test_coins_of_ours_that_somebody_sold_are_explained_before_and_after_that_is_booked(story: Story) -> None:
    """The sale is foreign in the hour it happens in, and a position's once reconciliation has found whose it was."""
    books = story.books
    async with books.trading.database.session() as session:
        held = await session.get_one(Position, story.held)
    await stranger(books, Category.SPOT, "BTCUSDT", Side.SELL, "0.01")
    await books.catch_up()

    async def booked() -> bool:
        async with books.trading.database.session() as session:
            return (await session.get_one(Position, story.held)).qty < held.qty

    await eventually(booked, "the sale to be taken from the position", timeout=60)
    await books.catch_up()
    for row in await rows_of(books):
        assert [each for each in row.detail["invariants"]["checks"] if D(each["unexplained"])] == []
    assert [*await books.trading.events("snapshot_unexplained")] == []


async def test_books_that_are_wrong_page_once_an_hour_and_kind_and_verify_names_them(story: Story) -> None:
    """Last: it breaks the books."""
    books = story.books
    await books.catch_up()
    hour = await books.catch_up() + HOUR  # nothing was booked while the one before it was read
    async with books.trading.database.session() as session:
        assert await judge_invariants(session, books.epoch, Figures()) == []
    await books.sql("UPDATE lots SET qty = qty + 0.001 WHERE position_id = :held RETURNING 1", held=story.held)
    try:
        await books.take(hour)
        assert await books.take(hour) == await books.take(hour)
    finally:
        await books.sql("UPDATE lots SET qty = qty - 0.001 WHERE position_id = :held RETURNING 1", held=story.held)
    row = await books.row(hour)
    broken = {each["kind"]: each for each in row.detail["invariants"]["checks"] if each["broken"]}
    assert D(broken["spot_lots"]["unexplained"]) == D("-0.001")
    lots = await books.trading.events("lots_unexplained")
    equity = await books.trading.events("snapshot_unexplained")
    assert [(event.severity, event.subject) for event in lots] == [("page", f"snapshot/{hour:%Y-%m-%dT%H:%M:%SZ}")]
    assert [event.detail["checks"][0]["subject"] for event in lots] == ["BTC"]
    assert [event.severity for event in equity] == (["page"] if "equity" in broken else [])
    async with books.trading.database.session() as session:
        found = await judge_invariants(session, books.epoch, Figures())
    assert {finding.subject for finding in found} == {f"{each['kind']} {each['subject']}" for each in broken.values()}
    assert any("-0.001000000 is unexplained" in finding.sentence for finding in found)

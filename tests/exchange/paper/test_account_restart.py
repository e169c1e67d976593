"""Killed or stopped at any instant, the exchange comes back with everything it acknowledged, once."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pybit.exceptions import FailedRequestError
from requests.exceptions import RequestException

from domain.market import Category, Side
from exchange.paper.core.account import apply
from exchange.paper.core.commands import Deposit, PlaceOrder
from exchange.paper.core.state import AccountState
from exchange.paper.journal import Journal, JournalFailed, JournalRefused
from tests.exchange.paper.account_client import push, refusal_code, session
from tests.exchange.paper.account_market import START, FixedMarket
from tests.support.paper import PaperExchange
from tests.support.waiting import wait_until

MANUAL = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")
Start = Callable[..., PaperExchange]


class Trader(threading.Thread):
    """Places small linear orders until its exchange is gone; ``acknowledged`` are the link ids it got an answer for."""

    def __init__(self, exchange: PaperExchange, name: str) -> None:
        super().__init__(daemon=True)
        self._http = session(exchange)
        self._prefix = name
        self.acknowledged: list[str] = []
        self.sent: list[str] = []

    def run(self) -> None:
        for number in range(100_000):
            link = f"{self._prefix}-{number}"
            self.sent.append(link)
            try:
                self._http.place_order(**entry(link, "Buy" if number % 2 else "Sell"))
            except (RequestException, FailedRequestError):
                return
            self.acknowledged.append(link)


def entry(link: str, side: str = "Buy", **more: Any) -> dict[str, Any]:
    fields = {"category": "linear", "symbol": "BTCUSDT", "orderType": "Market", "qty": "0.001"}
    return {**fields, "side": side, "orderLinkId": link, **more}


def account_of(books: dict[str, Any]) -> dict[str, Any]:
    """The part of the books that time doesn't move."""
    parts = ("orders", "executions", "transaction_log", "closed_pnl", "funding_account", "check")
    return {key: books[key] for key in parts}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_and_nothing_doubled_by_kill_9_under_load(paper_exchange: Start) -> None:
    exchange = paper_exchange(*MANUAL)
    acknowledged: set[str] = set()
    sent: set[str] = set()
    for round_number in range(2):
        traders = [Trader(exchange, f"r{round_number}-t{n}") for n in range(3)]
        for trader in traders:
            trader.start()
        wait_until(lambda t=traders: min(len(x.acknowledged) for x in t) >= 15, "orders under way")
        exchange.kill(signal.SIGKILL)
        for trader in traders:
            trader.join(10)
            acknowledged.update(trader.acknowledged)
            sent.update(trader.sent)
        exchange.start()
    books = exchange.books()
    links = [order["orderLinkId"] for order in books["orders"]]
    assert len(links) == len(set(links))
    assert acknowledged <= set(links) <= sent
    assert [x["orderLinkId"] for x in books["executions"]] == links
    assert books["check"]["ok"], books["check"]
    http = session(exchange)
    assert refusal_code(http.place_order, **entry(sorted(acknowledged)[0])) == 110072


@pytest.mark.slow
def test_a_stop_crossed_as_the_exchange_is_killed_fires_once(paper_exchange: Start) -> None:
    exchange = paper_exchange(*MANUAL)
    for round_number in range(3):
        http = session(exchange)
        http.place_order(**entry(f"p{round_number}", stopLoss="49000"))
        push(exchange, "linear", "BTCUSDT", "48990")  # answered when published, perhaps before the fill is on disk
        exchange.kill(signal.SIGKILL)
        exchange.start()
        wait_until(lambda: _flat(exchange), "the stop to fire")
        push(exchange, "linear", "BTCUSDT", "50000")
    books = exchange.books()
    closing = [x for x in books["executions"] if x["stopOrderType"] == "StopLoss"]
    assert len(closing) == 3
    assert {x["closedSize"] for x in closing} == {"0.001"}
    assert books["check"]["ok"], books["check"]


def _flat(exchange: PaperExchange) -> bool:
    return all(position["size"] == "0" for position in exchange.books()["positions"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_account_is_the_same_after_a_restart(paper_exchange: Start, how: signal.Signals) -> None:
    exchange = paper_exchange(*MANUAL)
    http = session(exchange)
    http.place_order(**entry("kept", stopLoss="49000"))
    http.place_order(**entry("waits", "Sell", triggerPrice="51000", triggerDirection=1))
    http.place_order(**entry("part", "Sell", reduceOnly=True, qty="0.001"))
    http.place_order(**entry("again", stopLoss="49000"))
    http.place_order(**entry("rests", orderType="Limit", price="48000"))
    http.set_leverage(category="linear", symbol="BTCUSDT", buyLeverage="2", sellLeverage="2")
    http.set_trading_stop(category="linear", symbol="BTCUSDT", positionIdx=0, takeProfit="60000", trailingStop="2000")
    http.create_internal_transfer(
        transferId="t-1", coin="USDT", amount="10", fromAccountType="UNIFIED", toAccountType="FUND"
    )
    push(exchange, "linear", "BTCUSDT", "50500")
    before, clock = exchange.books(), exchange.clock()["now"]
    if how is signal.SIGKILL:
        exchange.kill(how)
    else:
        exchange.stop()
    exchange.start()
    after = exchange.books()
    assert account_of(after) == account_of(before)
    assert [(p["stopLoss"], p["takeProfit"], p["trailingStop"]) for p in after["positions"]] == [
        ("49000", "60000", "2000")
    ]
    assert len(after["closed_pnl"]) == 1
    assert [p["leverage"] for p in after["positions"]] == ["2"]
    assert exchange.clock()["now"] >= clock
    waiting = session(exchange).get_open_orders(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert {order["stopOrderType"]: order["triggerPrice"] for order in waiting} == {
        "Stop": "51000",
        "StopLoss": "49000",
        "TakeProfit": "60000",
        "TrailingStop": "48500",
        "": "",
    }
    push(exchange, "linear", "BTCUSDT", "51000")
    assert [o["orderStatus"] for o in exchange.books()["orders"] if o["orderLinkId"] == "waits"] == ["Filled"]


@pytest.mark.slow
def test_ten_thousand_orders_are_taken_up_in_under_a_second(tmp_path: Path) -> None:
    async def fill() -> AccountState:
        state, market = AccountState(id_seed="many"), FixedMarket()
        journal = Journal(tmp_path, "market-1")
        events = apply(state, market, Deposit(START, "USDT", Decimal(10**9))).events
        for number in range(10_000):
            side = Side.SELL if number % 2 else Side.BUY
            place = PlaceOrder(
                START, Category.LINEAR, "BTCUSDT", side, "Market", Decimal("0.01"), link_id=f"{number:05}-E1"
            )
            events += apply(state, market, place).events
        await journal.append(state, START, events)
        await journal.close()
        return state

    async def take_up() -> tuple[AccountState, float]:
        begun = time.perf_counter()
        journal = Journal(tmp_path, "market-1")
        loaded = journal.load()
        took = time.perf_counter() - begun
        await journal.close()
        assert loaded is not None
        return loaded[0], took

    state = asyncio.run(fill())
    again, took = asyncio.run(take_up())
    assert again == state
    assert took < 1.0


def run_to_end(*options: str) -> tuple[int, str]:
    """Exit code and last line of standard error of an exchange that should not start."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange.paper", *options], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_taken_port_or_directory_is_told_in_one_sentence(paper_exchange: Start, tmp_path: Path) -> None:
    exchange = paper_exchange(*MANUAL)
    code, told = run_to_end("--port", str(exchange.port), "--data-dir", str(tmp_path), *MANUAL)
    assert (code, told) == (
        1,
        f"paper exchange: port {exchange.port} on 127.0.0.1 is taken: choose another one with --port",
    )
    directory = exchange.process.spec.command[exchange.process.spec.command.index("--data-dir") + 1]
    code, told = run_to_end("--port", "0", "--data-dir", directory, *MANUAL)
    assert code == 1
    assert "in use by another paper exchange" in told


def test_a_directory_of_another_market_is_refused_in_one_sentence(paper_exchange: Start) -> None:
    exchange = paper_exchange(*MANUAL)
    directory = exchange.process.spec.command[exchange.process.spec.command.index("--data-dir") + 1]
    exchange.stop()
    code, told = run_to_end("--port", "0", "--data-dir", directory, "--manual", "--symbols", "ETHUSDT")
    assert code == 1
    assert "belongs to the market manual-" in told


def test_a_journal_of_another_format_or_no_journal_at_all_is_refused(tmp_path: Path) -> None:
    async def refusal(directory: Path) -> str:
        with pytest.raises(JournalRefused) as caught:
            Journal(directory, "market-1")
        return str(caught.value)

    newer, older, garbage = tmp_path / "newer", tmp_path / "older", tmp_path / "garbage"
    for directory, version in ((newer, 99), (older, 1), (garbage, 0)):
        directory.mkdir()
        with sqlite3.connect(directory / "account.sqlite") as database:
            database.execute(f"PRAGMA user_version = {version}")
    (garbage / "account.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert "has format 99" in asyncio.run(refusal(newer))
    assert "has format 1 and this exchange writes format 2" in asyncio.run(refusal(older))
    assert "is not an account journal" in asyncio.run(refusal(garbage))


async def test_a_disk_that_refuses_is_told_to_whoever_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "market-1")
    state, market = AccountState(id_seed="full"), FixedMarket()
    events = apply(state, market, Deposit(START, "USDT", Decimal(100))).events
    with sqlite3.connect(tmp_path / "account.sqlite") as database:
        database.execute("DROP TABLE log")
    told: list[str] = []
    with pytest.raises(JournalFailed):
        await journal.append(state, START, events, lambda: told.append("told"))
    with pytest.raises(JournalFailed):
        journal.failed.result()
    with pytest.raises(JournalFailed):
        await journal.settled()
    assert told == []
    await journal.close()
    again = Journal(tmp_path, "market-1")
    assert again.load() is None  # the account row of the refused commit is not there either
    await again.close()


@pytest.mark.parametrize(
    "options",
    [("--speed", "0"), ("--key", "alone"), ("--deposit", "USDT=-5"), ("--start", "soon"), ("--read-only-key", "x")],
)
def test_options_that_make_no_sense_are_refused(options: tuple[str, ...]) -> None:
    code, told = run_to_end("--port", "0", *options)
    assert code == 2
    assert "error:" in told

"""Step mode: market time stands still until it is told to go on, and what happens then is the same every time."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from exchange.paper.clock import AdvanceRefused, MarketClockKeeper
from tests.exchange.paper.account_client import session
from tests.exchange.paper.market_case import BEGIN, candle_file
from tests.exchange.paper.market_client import public_session, raw_socket, receive
from tests.support.paper import PaperExchange, paper_exchange_process

Start = Callable[..., PaperExchange]
START = datetime(2025, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
SYNTHETIC = ("--speed", "step", "--symbols", "BTCUSDT", "ETHUSDT", "--seed", "7")


def keeper(path: Path, *, until: datetime | None = None, start: datetime = START) -> MarketClockKeeper:
    return MarketClockKeeper(path / "clock.json", epoch="m", start=start, speed="step", until=until)


def advance(exchange: PaperExchange, to: datetime | None = None) -> dict[str, Any]:
    return exchange.control("POST", "clock/advance", json={} if to is None else {"to": to.isoformat()})


def refused(exchange: PaperExchange, body: str) -> tuple[int, str]:
    answer = httpx.post(f"{exchange.url}/paper/clock/advance", content=body, timeout=5)
    return answer.status_code, answer.json()["error"]


def now_of(exchange: PaperExchange) -> datetime:
    return datetime.fromisoformat(exchange.clock()["now"])


def test_a_stepped_clock_stands_still_and_jumps_exactly(tmp_path: Path) -> None:
    clock = keeper(tmp_path)
    assert (clock.now(), clock.speed, clock.step, clock.paused, clock.halted) == (START, 0.0, True, True, False)
    assert clock.advance() == clock.now() == START + QUARTER
    inside = START + QUARTER + timedelta(minutes=7, microseconds=3)
    assert clock.advance(inside) == inside
    assert clock.advance(inside) == inside, "where it stands is no step"
    assert clock.advance() == START + 2 * QUARTER
    reading = clock.read()
    assert (reading.step, reading.speed) == (True, 0.0)
    assert reading.at(reading.read_at + timedelta(hours=1)) == reading.now
    assert reading.wall_until(reading.now + QUARTER) == timedelta.max


def test_an_advance_is_on_disk_before_it_is_told(tmp_path: Path) -> None:
    clock = keeper(tmp_path)
    for _ in range(3):
        told = clock.advance()
        assert keeper(tmp_path).now() == told, "a killed clock stands where it was told, neither before nor after"


def test_a_directory_is_taken_up_in_either_mode(tmp_path: Path) -> None:
    keeper(tmp_path).advance()
    running = MarketClockKeeper(tmp_path / "clock.json", epoch="m", start=START, speed=1000.0)
    assert running.now() >= START + QUARTER
    with pytest.raises(AdvanceRefused, match="runs by itself at speed 1000"):
        running.advance()
    running.close()
    assert keeper(tmp_path).now() == running.now()


@pytest.mark.parametrize(
    ("to", "rule"),
    [
        (START - timedelta(microseconds=1), "has passed, the market is at 2025-01-01T00:00:00"),
        (START + QUARTER + timedelta(microseconds=1), "no further than the next quarter hour at once"),
    ],
)
def test_an_instant_out_of_reach_is_refused_and_nothing_moves(tmp_path: Path, to: datetime, rule: str) -> None:
    clock = keeper(tmp_path)
    with pytest.raises(AdvanceRefused, match=rule):
        clock.advance(to)
    assert clock.now() == START


def test_the_end_of_the_market_is_the_last_step(tmp_path: Path) -> None:
    end = START + timedelta(minutes=20)
    clock = keeper(tmp_path, until=end)
    assert [clock.advance(), clock.advance()] == [START + QUARTER, end]
    assert clock.halted
    assert clock.advance(end) == end
    with pytest.raises(AdvanceRefused, match="the market is over"):
        clock.advance()


def test_the_wire_tells_steps_and_refuses_by_rule(paper_exchange: Start) -> None:
    exchange = paper_exchange(*SYNTHETIC)
    clock = exchange.clock()
    assert (clock["step"], clock["speed"], clock["paused"]) == (True, 0.0, True)
    assert now_of(exchange) == START
    told = advance(exchange)
    assert told == {"epoch": clock["epoch"], "now": "2025-01-01T00:15:00+00:00", "step": True, "halted": False}
    for body, status, rule in (
        ('{"to": "2025-01-01T00:00:00Z"}', 400, "has passed"),
        ('{"to": "2025-01-01T00:30:01Z"}', 400, "next quarter hour"),
        ('{"to": "2025-01-01T00:20:00"}', 400, "to: "),
        ('{"until": "2025-01-01T00:20:00Z"}', 400, "until: "),
        ("[", 400, "JSON"),
    ):
        got, why = refused(exchange, body)
        assert (got, rule in why) == (status, True), why
    assert now_of(exchange) == START + QUARTER


def test_a_market_that_runs_by_itself_is_not_advanced(paper_exchange: Start) -> None:
    status, why = refused(paper_exchange("--manual", "--symbols", "BTCUSDT"), "")
    assert (status, "not in step mode" in why) == (409, True)


def test_a_replay_ends_with_a_clear_answer(tmp_path: Path, paper_exchange: Start) -> None:
    path = candle_file(tmp_path, 100)
    start = BEGIN + 98 * QUARTER
    exchange = paper_exchange("--speed", "step", "--replay", f"linear:{path}", "--start", start.isoformat())
    assert [advance(exchange)["halted"] for _ in range(2)] == [False, True]
    assert refused(exchange, "{}") == (
        409,
        f"the market is over: its data ended at {(BEGIN + 100 * QUARTER).isoformat()}",
    )


def test_a_step_tells_every_trade_closed_candle_and_the_last_ticker(paper_exchange: Start) -> None:
    exchange = paper_exchange(*SYNTHETIC)
    names = ["publicTrade.BTCUSDT", "tickers.BTCUSDT", "kline.1.BTCUSDT", "kline.15.BTCUSDT", "kline.60.BTCUSDT"]
    with raw_socket(exchange, "linear", names) as socket:
        first = receive(socket, lambda m: m["topic"] == "tickers.BTCUSDT")["data"]["lastPrice"]
        for step in (1, 2):
            advance(exchange)
            trades: list[str] = []
            confirmed: list[str] = []
            forming: str | None = None
            ticker = first
            while forming is None or ticker != trades[-1]:
                message = receive(socket)
                kind = message["topic"].partition(".")[0]
                rows = message["data"]
                if kind == "publicTrade":
                    trades += [row["p"] for row in rows]
                elif kind == "tickers":
                    ticker = rows.get("lastPrice", ticker)
                else:
                    confirmed += [row["interval"] for row in rows if row["confirm"]]
                    forming = next((row["close"] for row in rows if row["interval"] == "60"), forming)
            first = ticker
            assert len(trades) == 60
            assert sorted(confirmed) == sorted(["1"] * 15 + ["15"])
            assert forming == trades[-1]
            (told,) = public_session(exchange).get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"]
            assert told["lastPrice"] == trades[-1], f"step {step}"


def test_trades_pushed_while_a_manual_market_stands_happen_with_the_next_step(paper_exchange: Start) -> None:
    exchange = paper_exchange("--manual", "--speed", "step", "--symbols", "BTCUSDT=50000")
    pushed = exchange.push_ticks([{"category": "linear", "symbol": "BTCUSDT", "price": "50100"}])
    assert pushed["published_ns"] is None
    http = public_session(exchange)

    def last() -> str:
        return http.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["lastPrice"]

    assert last() == "50000"
    advance(exchange)
    assert last() == "50100"


def order(link: str, side: str = "Buy", category: str = "linear", **more: Any) -> dict[str, Any]:
    fields = {"category": category, "symbol": "BTCUSDT", "orderType": "Market", "qty": "0.05", "marketUnit": "baseCoin"}
    return {**fields, "side": side, "orderLinkId": link, **more}


def trade_in_steps(exchange: PaperExchange, *, kill_at: frozenset[int] = frozenset()) -> list[tuple[Any, ...]]:
    """Orders at fixed instants, stops among them; the fills without their ids."""
    for step in range(40):
        http = session(exchange)
        if step % 5 == 0:
            price = float(http.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["lastPrice"])
            side = "Sell" if step % 10 else "Buy"
            stop = round(price * (1.004 if side == "Sell" else 0.996), 1)
            http.place_order(**order(f"L{step}", side, stopLoss=str(stop)))
            http.place_order(**order(f"S{step}", "Buy", "spot"))
        if step in kill_at:
            exchange.kill(signal.SIGKILL)
            exchange.start()
        advance(exchange, START + (step + 1) * QUARTER)
    books = exchange.books()
    assert books["check"]["ok"], books["check"]
    wanted = (
        "category",
        "orderLinkId",
        "side",
        "execPrice",
        "execQty",
        "execFee",
        "feeCurrency",
        "execTime",
        "execPnl",
    )
    return [tuple(row[name] for name in wanted) for row in books["executions"]]


@pytest.mark.slow
def test_two_runs_with_the_same_orders_at_the_same_instants_fill_alike_killed_or_not(paper_exchange: Start) -> None:
    first = trade_in_steps(paper_exchange(*SYNTHETIC))
    assert any(link == "" for _, link, *_ in first), "a stop fired between two steps"
    assert len(first) > 16
    second = trade_in_steps(paper_exchange(*SYNTHETIC), kill_at=frozenset({0, 23}))
    assert second == first


@pytest.mark.slow
def test_kill_9_during_an_advance_leaves_the_market_before_or_after_it(tmp_path: Path) -> None:
    exchange = paper_exchange_process(tmp_path / "data", *SYNTHETIC).start()
    request = b"POST /paper/clock/advance HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    try:
        stands = START
        for number in range(4):
            with socket.create_connection(("127.0.0.1", exchange.port)) as connection:
                connection.sendall(request)
                if number % 2:
                    assert connection.recv(1), "told, so it must stand"
                exchange.kill(signal.SIGKILL)
            exchange.start()
            now = now_of(exchange)
            assert now in ((stands + QUARTER,) if number % 2 else (stands, stands + QUARTER))
            stands = now
        session(exchange).place_order(**order("after"))
        fills = exchange.books()["executions"]
        assert {fill["execTime"] for fill in fills} == {str(int(stands.timestamp() * 1000))}
    finally:
        exchange.stop()

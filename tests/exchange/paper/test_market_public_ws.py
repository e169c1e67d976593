"""The public sockets, heard by an unmodified pybit and by bare sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.clock import MarketClockKeeper
from exchange.paper.feed import Tick
from exchange.paper.feeds.manual import ManualFeed
from exchange.paper.public_ws import PublicHub
from tests.exchange.paper.market_case import candle_file
from tests.exchange.paper.market_client import public_session, public_stream, raw_socket, receive, send
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

Exchanges = Callable[..., PaperExchange]
MANUAL = ("--manual", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    """A manual market that the tests share; its prices are where the last test left them."""
    with scratch_folder() as folder:
        started = paper_exchange_process(folder / "data", *MANUAL).start()
        yield started
        started.stop()


def trade(price: str, *, category: str = "linear", symbol: str = "BTCUSDT", qty: str = "0.5") -> dict[str, str]:
    return {"category": category, "symbol": symbol, "price": price, "qty": qty}


def test_pybit_hears_trades_tickers_books_and_candles(paper_exchange: Exchanges) -> None:
    exchange = paper_exchange(*MANUAL)
    with public_stream(exchange, "linear") as stream:
        stream.socket.trade_stream("BTCUSDT", stream.keep)
        stream.socket.ticker_stream("BTCUSDT", stream.keep)
        stream.socket.orderbook_stream(1, "BTCUSDT", stream.keep)
        stream.socket.kline_stream(15, "BTCUSDT", stream.keep)
        stream.wait_for("tickers.BTCUSDT")
        stream.wait_for("orderbook.1.BTCUSDT")
        begun = time.time_ns()
        answer = exchange.push_ticks([trade("60100"), trade("60050")])
        (trades,) = stream.wait_for("publicTrade.BTCUSDT")
        ticker = stream.wait_for("tickers.BTCUSDT", 2)[-1]["data"]
        book = stream.wait_for("orderbook.1.BTCUSDT", 2)[-1]["data"]
        candle = stream.wait_for("kline.15.BTCUSDT")[-1]["data"][0]
    assert [(row["p"], row["v"], row["S"]) for row in trades["data"]] == [
        ("60100", "0.5", "Buy"),
        ("60050", "0.5", "Sell"),
    ]
    assert [row["T"] for row in trades["data"]] == [answer["at_ms"]] * 2
    assert trades["data"][0]["i"] < trades["data"][1]["i"]
    assert begun <= answer["published_ns"] <= time.time_ns()
    assert begun // 10**6 <= trades["ts"] <= time.time_ns() // 10**6
    assert (ticker["lastPrice"], ticker["highPrice24h"], ticker["symbol"]) == ("60050", "60100", "BTCUSDT")
    (queried,) = public_session(exchange).get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert ticker["markPrice"] == queried["markPrice"]
    assert Decimal(book["b"][0][0]) < 60_050 < Decimal(book["a"][0][0])
    assert [candle[k] for k in ("open", "high", "low", "close", "volume")] == ["60100", "60100", "60050", "60050", "1"]
    assert (candle["interval"], candle["confirm"], candle["timestamp"]) == ("15", False, answer["at_ms"])


def test_trades_are_told_before_tickers_books_and_candles(exchange: PaperExchange) -> None:
    names = [f"{kind}.BTCUSDT" for kind in ("kline.1", "orderbook.1", "tickers", "publicTrade")]
    with raw_socket(exchange, "linear", names) as socket:
        assert {receive(socket)["topic"] for _ in range(2)} == {"tickers.BTCUSDT", "orderbook.1.BTCUSDT"}
        exchange.push_ticks([trade("60100")])
        told = [receive(socket)["topic"] for _ in range(4)]
    assert told == ["publicTrade.BTCUSDT", "tickers.BTCUSDT", "orderbook.1.BTCUSDT", "kline.1.BTCUSDT"]


def test_linear_tickers_are_a_snapshot_then_what_changed(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear", ["tickers.BTCUSDT"]) as socket:
        snapshot = receive(socket)
        exchange.push_ticks([trade("60111")])
        delta = receive(socket)
        assert (snapshot["type"], delta["type"]) == ("snapshot", "delta")
        assert delta["data"]["lastPrice"] == "60111"
        assert "nextFundingTime" in snapshot["data"]
        assert "nextFundingTime" not in delta["data"]
        with raw_socket(exchange, "linear", ["tickers.BTCUSDT"]) as late:
            assert receive(late)["data"]["lastPrice"] == "60111"


def test_spot_tickers_are_snapshots_only(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "spot", ["tickers.BTCUSDT"]) as socket:
        assert receive(socket)["type"] == "snapshot"
        exchange.push_ticks([trade("60100", category="spot")])
        told = receive(socket)
        assert (told["type"], told["data"]["lastPrice"], "usdIndexPrice" in told["data"]) == ("snapshot", "60100", True)


def test_every_candle_is_confirmed_once_and_equals_the_queried_one(paper_exchange: Exchanges, tmp_path: Path) -> None:
    path = candle_file(tmp_path, 40 * 96)
    exchange = paper_exchange("--replay", str(path), "--speed", "1200")
    with raw_socket(
        exchange, "linear", ["kline.1.BTCUSDT", "kline.3.BTCUSDT", "kline.15.BTCUSDT", "publicTrade.BTCUSDT"]
    ) as socket:
        confirmed: dict[str, list[dict[str, Any]]] = {"1": [], "3": [], "15": []}
        trades: list[dict[str, Any]] = []
        while len(confirmed["15"]) < 4:
            message = receive(socket)
            if "publicTrade" in message["topic"]:
                trades += message["data"]
                continue
            for row in message["data"]:
                if row["confirm"]:
                    confirmed[row["interval"]].append(row)
    http = public_session(exchange)
    for interval, rows in confirmed.items():
        step = int(interval) * 60_000
        starts = [row["start"] for row in rows]
        assert starts == list(range(starts[0], starts[-1] + step, step))
        asked = http.get_kline(category="linear", symbol="BTCUSDT", interval=interval, start=starts[0], end=starts[-1])
        names = ("start", "open", "high", "low", "close", "volume", "turnover")
        assert [[str(row[name]) for name in names] for row in rows] == asked["result"]["list"][::-1]
        assert all(row["end"] == row["start"] + step - 1 for row in rows)
    for row in confirmed["15"][1:]:
        inside = [t for t in trades if row["start"] <= t["T"] <= row["end"]]
        assert Decimal(row["volume"]) == sum(Decimal(t["v"]) for t in inside)
        assert Decimal(row["turnover"]) == sum(Decimal(t["v"]) * Decimal(t["p"]) for t in inside)
    ids = [t["i"] for t in trades]
    assert ids == sorted(set(ids))


def test_pings_of_both_kinds_are_answered(exchange: PaperExchange) -> None:
    for category in ("spot", "linear"):
        with raw_socket(exchange, category) as socket:
            send(socket, op="ping", req_id="p7")
            pong = receive(socket)
            assert (pong["op"], pong["ret_msg"], pong["success"], pong["req_id"]) == ("ping", "pong", True, "p7")
            send(socket, op="ping")
            assert receive(socket).get("req_id") == (None if category == "spot" else "")
            assert socket.ping().wait(5)


def test_a_spot_subscription_names_ten_topics_at_most(exchange: PaperExchange) -> None:
    topics = [f"kline.{code}.BTCUSDT" for code in ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D")]
    with raw_socket(exchange, "spot") as socket:
        send(socket, op="subscribe", args=topics, req_id="s1")
        refused = receive(socket)
        assert (refused["success"], refused["ret_msg"], refused["req_id"]) == (False, "args size >10", "s1")
        send(socket, op="subscribe", args=topics[:10])
        assert receive(socket)["success"] is True
    with raw_socket(exchange, "linear") as socket:
        send(socket, op="subscribe", args=topics)
        assert receive(socket)["success"] is True


def test_the_topics_of_a_connection_have_a_length_in_all(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear") as socket:
        send(socket, op="subscribe", args=["tickers.BTCUSDT", *(f"tickers.{'X' * 2000}{n}" for n in range(11))])
        assert receive(socket)["ret_msg"] == "args length >21000"


def test_what_is_subscribed_and_left_at_once_stays_silent(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear") as socket:
        send(socket, op="subscribe", args=["publicTrade.BTCUSDT"])
        send(socket, op="unsubscribe", args=["publicTrade.BTCUSDT"])
        assert [receive(socket)["op"] for _ in range(2)] == ["subscribe", "unsubscribe"]
        send(socket, op="subscribe", args=["publicTrade.ETHUSDT"])
        assert receive(socket)["success"] is True
        exchange.push_ticks([trade("60100"), trade("3002", symbol="ETHUSDT")])
        assert receive(socket)["topic"] == "publicTrade.ETHUSDT"


def test_liquidations_are_a_topic_of_linear_alone(exchange: PaperExchange) -> None:
    topics = ["allLiquidation.BTCUSDT", "liquidation.BTCUSDT"]
    with raw_socket(exchange, "linear", topics):
        pass
    with raw_socket(exchange, "spot") as socket:
        send(socket, op="subscribe", args=topics)
        assert receive(socket)["success"] is False


def test_a_perpetuals_ticker_follows_its_index(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear", ["tickers.BTCUSDT"]) as socket:
        index = Decimal(receive(socket)["data"]["indexPrice"])
        exchange.push_ticks([trade(str(index + 7), category="spot")])
        told = receive(socket)
        assert told["type"] == "delta"
        assert Decimal(told["data"]["indexPrice"]) == index + 7


def test_the_acknowledgement_comes_late_enough_and_before_anything_else(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "spot") as socket:
        asked = time.monotonic()
        send(socket, op="subscribe", args=["tickers.BTCUSDT"], req_id="s1")
        acknowledged = receive(socket)
        assert time.monotonic() - asked >= 0.018
        assert (acknowledged["op"], acknowledged["success"], acknowledged["req_id"]) == ("subscribe", True, "s1")
        assert receive(socket)["topic"] == "tickers.BTCUSDT"


@pytest.mark.parametrize(
    "wrong", ["tickers.FOOUSDT", "kline.7.BTCUSDT", "orderbook.7.BTCUSDT", "orderbook.500", "weather", "tickers"]
)
def test_an_unknown_topic_refuses_the_whole_subscription(exchange: PaperExchange, wrong: str) -> None:
    with raw_socket(exchange, "linear") as socket:
        send(socket, op="subscribe", args=["tickers.BTCUSDT", wrong], req_id="s1")
        answer = receive(socket)
        assert (answer["success"], answer["ret_msg"]) == (False, f"error:handler not found,topic:{wrong}")
        send(socket, op="ping")
        assert receive(socket)["ret_msg"] == "pong"


def test_malformed_messages_are_answered_and_the_socket_lives(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear") as socket:
        for text in ("{", "[]", '{"op": "dance"}', '{"op": "subscribe"}', '{"op": "subscribe", "args": "tickers"}'):
            socket.send(text)
            assert receive(socket)["success"] is False
        send(socket, op="ping")
        assert receive(socket)["ret_msg"] == "pong"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["subscribe", "unsubscribe", "ping", "auth"]) | JSON,
        "args": st.lists(st.sampled_from(["tickers.BTCUSDT", "orderbook..BTCUSDT", "kline.M.", "..."]) | JSON) | JSON,
        "req_id": JSON,
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_whatever_is_sent_is_answered_and_the_socket_lives(exchange: PaperExchange, requests: list[Any]) -> None:
    with raw_socket(exchange, "linear") as socket:
        for request in requests:
            socket.send(json.dumps(request))
        answers = [receive(socket, lambda message: "success" in message) for _ in requests]
        assert all(isinstance(answer["ret_msg"], str) for answer in answers)
        send(socket, op="ping", req_id="alive")
        assert receive(socket, lambda message: message.get("req_id") == "alive")["ret_msg"] == "pong"


def test_unsubscribed_topics_fall_silent(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "linear", ["publicTrade.BTCUSDT", "publicTrade.ETHUSDT"]) as socket:
        send(socket, op="unsubscribe", args=["publicTrade.BTCUSDT"], req_id="u1")
        assert receive(socket)["op"] == "unsubscribe"
        exchange.push_ticks([trade("60100"), trade("3001", symbol="ETHUSDT")])
        assert receive(socket)["topic"] == "publicTrade.ETHUSDT"


def test_categories_do_not_hear_each_other(exchange: PaperExchange) -> None:
    with raw_socket(exchange, "spot", ["publicTrade.BTCUSDT"]) as spot:
        exchange.push_ticks([trade("60100"), trade("59000", category="spot")])
        assert [row["p"] for row in receive(spot)["data"]] == ["59000"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([{"category": "linear", "symbol": "BTCUSDT"}], "0.price"),
        ([trade("dear")], "0.price"),
        ([trade("-1")], "0.price"),
        ([trade("60000.05")], "price: 60000.05 is not a multiple of the tick size"),
        ([trade("1", symbol="FOOUSDT")], "symbol"),
        ([trade("1", category="option")], "0.category"),
        ([{**trade("1"), "colour": "red"}], "0.colour"),
        ([trade("1"), {}], "1.category"),
        ({}, "body"),
        ([], "body"),
    ],
)
def test_a_bad_push_names_the_field(exchange: PaperExchange, body: Any, named: str) -> None:
    asked = {"category": "linear", "symbol": "BTCUSDT"}
    before = public_session(exchange).get_public_trade_history(**asked)["result"]
    answer = httpx.post(f"{exchange.url}/paper/ticks", content=orjson.dumps(body))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(named)
    assert public_session(exchange).get_public_trade_history(**asked)["result"] == before


def test_pushed_trades_survive_a_kill(paper_exchange: Exchanges) -> None:
    exchange = paper_exchange(*MANUAL)
    exchange.push_ticks([trade("60100"), trade("60200")])
    exchange.kill()
    exchange.start()
    http = public_session(exchange)
    rows = http.get_public_trade_history(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert [row["price"] for row in rows] == ["60200", "60100"]
    exchange.push_ticks([trade("60300")])
    (ticker,) = http.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert ticker["lastPrice"] == "60300"


class StuckSocket:
    """A client that subscribes and then reads nothing."""

    def __init__(self) -> None:
        self.sent = 0
        self._asked = [{"op": "subscribe", "args": ["publicTrade.BTCUSDT"]}]

    async def accept(self) -> None: ...

    async def send(self, message: dict[str, Any]) -> None:
        self.sent += 1
        if self.sent > 1:  # it took the acknowledgement
            await asyncio.Event().wait()

    async def receive_text(self) -> str:
        if self._asked:
            return orjson.dumps(self._asked.pop()).decode()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_client_that_does_not_read_is_cut_off_and_holds_nobody_up(tmp_path: Path) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    feed = ManualFeed(tmp_path / "manual.db", {"BTCUSDT": Decimal(60_000)}, start)
    clock = MarketClockKeeper(tmp_path / "clock.json", epoch=feed.epoch, start=start, speed=1.0)
    hub = PublicHub(feed, clock)
    stuck = StuckSocket()
    serving = asyncio.create_task(hub.serve(stuck, Category.LINEAR))  # type: ignore[arg-type]
    while stuck.sent == 0:
        await asyncio.sleep(0.005)
    for number in range(21_000):
        hub.publish([Tick(Category.LINEAR, "BTCUSDT", start, Decimal(60_000), Decimal(1), Side.BUY, number)], start)
    assert not serving.done()  # nothing waited for it meanwhile
    await asyncio.wait_for(serving, 5)
    clock.close()
    feed.close()

"""Reading back the trades there were, and how dense they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.market import Category
from exchange.paper.__main__ import parse
from exchange.paper.feeds.build import build_feed
from tests.support.paper import PaperExchange

Start = Callable[..., PaperExchange]
START = datetime(2025, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ASKED = {"category": "linear", "symbol": "BTCUSDT"}


def trades(exchange: PaperExchange, **more: str) -> dict[str, Any]:
    return exchange.control("GET", "trades", params={**ASKED, **more})


def test_trades_are_those_of_the_market_page_by_page_and_never_later_than_now(paper_exchange: Start) -> None:
    options = ("--symbols", "BTCUSDT", "--speed", "step", "--ticks-per-minute", "1")
    exchange = paper_exchange(*options)
    for _ in range(4):
        exchange.control("POST", "clock/advance")
    feed = build_feed(parse(list(options)))
    happened = list(feed.trades(Category.LINEAR, "BTCUSDT", START, START + 4 * QUARTER))
    assert len(happened) == 60
    whole = trades(exchange, to=(START + timedelta(days=9)).isoformat())
    assert (whole["epoch"], whole["next"]) == (feed.epoch, None)
    assert [(datetime.fromisoformat(t["at"]), Decimal(t["price"]), Decimal(t["qty"])) for t in whole["trades"]] == [
        (t.at, t.price, t.qty) for t in happened
    ]
    page = trades(exchange, limit="7")
    paged = page["trades"]
    while page["next"] is not None:
        page = trades(exchange, **{"limit": "7", "from": page["next"]})
        paged += page["trades"]
    assert paged == whole["trades"]
    bounds = {"from": whole["trades"][3]["at"], "to": whole["trades"][9]["at"]}
    assert trades(exchange, **bounds)["trades"] == whole["trades"][4:10]
    before = {"from": (START - timedelta(days=9)).isoformat(), "to": START.isoformat()}
    assert trades(exchange, **before)["trades"] == []


def test_a_page_ends_with_the_last_trade_of_its_instant(paper_exchange: Start) -> None:
    exchange = paper_exchange("--manual", "--symbols", "BTCUSDT=60000")
    batch = [{"category": "linear", "symbol": "BTCUSDT", "price": str(60_000 + n)} for n in range(5)]
    for _ in range(2):
        exchange.push_ticks(batch)
    first = trades(exchange, limit="3")
    assert [t["price"] for t in first["trades"]] == [t["price"] for t in batch]
    second = trades(exchange, **{"from": first["next"]})
    assert (len(second["trades"]), second["next"]) == (5, None)
    for wrong, field in (
        ({"symbol": "FOOUSDT"}, "symbol"),
        ({"category": "option"}, "category"),
        ({"from": "soon"}, "from"),
        ({"limit": "0"}, "limit"),
        ({"until": "x"}, "until"),
    ):
        answer = httpx.get(f"{exchange.url}/paper/trades", params={**ASKED, **wrong})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(field)


def test_density_is_part_of_the_market_and_four_a_minute_is_the_market_of_old() -> None:
    usual, thin = build_feed(parse([])), build_feed(parse(["--ticks-per-minute", "1"]))
    assert usual.epoch == build_feed(parse(["--ticks-per-minute", "4"])).epoch == "synthetic-8216666402c5b1a9"
    assert thin.epoch != usual.epoch
    until = START + timedelta(hours=1)
    many, few = (list(feed.trades(Category.LINEAR, "BTCUSDT", START, until)) for feed in (usual, thin))
    assert (len(many), len(few)) == (240, 60)
    bars = [feed.bars(Category.LINEAR, "BTCUSDT", "15m", START, until - QUARTER, until) for feed in (usual, thin)]
    assert [(b.open, b.high, b.low, b.close, b.volume) for b in bars[0]] == [
        (b.open, b.high, b.low, b.close, b.volume) for b in bars[1]
    ]


@pytest.mark.parametrize("option", ["--speed", "--ticks-per-minute"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "1e9", "stop"])
def test_a_senseless_speed_or_density_is_refused(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse([option, value])

"""Rows as Bybit documents them, empty strings and all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Category, PositionSide, Side
from exchange.bybit import parsing
from exchange.bybit.rest import windows
from exchange.protocol import ExchangeOrderStatus

LINEAR_ORDER: dict[str, Any] = {
    "orderId": "fd4300ae-7847-404e-b947-b46980a4d140",
    "orderLinkId": "ABC-S1",
    "blockTradeId": "",
    "symbol": "ETHUSDT",
    "price": "",
    "qty": "0.10",
    "side": "Sell",
    "isLeverage": "",
    "positionIdx": 0,
    "orderStatus": "Untriggered",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "avgPrice": "",
    "leavesQty": "0.10",
    "leavesValue": "160",
    "cumExecQty": "0.00",
    "cumExecValue": "0",
    "cumExecFee": "0",
    "timeInForce": "IOC",
    "orderType": "Market",
    "stopOrderType": "StopLoss",
    "triggerPrice": "1600.00",
    "triggerDirection": 2,
    "triggerBy": "LastPrice",
    "reduceOnly": True,
    "closeOnTrigger": True,
    "createdTime": "1684738540559",
    "updatedTime": "1684738540561",
}


def test_a_waiting_stop() -> None:
    order = parsing.order(Category.LINEAR, LINEAR_ORDER)
    assert order.status is ExchangeOrderStatus.UNTRIGGERED
    assert (order.side, order.qty, order.trigger_price) == (Side.SELL, Decimal("0.10"), Decimal("1600.00"))
    assert (order.avg_price, order.cum_exec_qty, order.reject_reason) == (None, Decimal(0), "")
    assert (order.stop_order_type, order.reduce_only) == ("StopLoss", True)
    assert order.created_at == datetime(2023, 5, 22, 6, 55, 40, 559000, UTC)


def test_a_filled_spot_order_without_link_id_and_trigger() -> None:
    order = parsing.order(
        Category.SPOT,
        {
            **LINEAR_ORDER,
            "orderLinkId": "",
            "orderStatus": "PartiallyFilledCanceled",
            "avgPrice": "1600.5",
            "triggerPrice": "0.00",
            "stopOrderType": "UNKNOWN",
            "cumExecQty": "",
            "rejectReason": "EC_PostOnlyWillTakeLiquidity",
        },
    )
    assert order.status is ExchangeOrderStatus.PARTIALLY_FILLED_CANCELED
    assert (order.order_link_id, order.trigger_price, order.stop_order_type) == ("", None, "")
    assert (order.avg_price, order.cum_exec_qty) == (Decimal("1600.5"), Decimal(0))
    assert order.reject_reason == "EC_PostOnlyWillTakeLiquidity"


def test_a_status_nobody_knows_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError, match="Sleeping"):
        parsing.order(Category.LINEAR, {**LINEAR_ORDER, "orderStatus": "Sleeping"})


EXECUTION: dict[str, Any] = {
    "symbol": "ETHUSDT",
    "orderId": "o1",
    "orderLinkId": "",
    "side": "Buy",
    "orderPrice": "1970",
    "orderQty": "0.1",
    "execId": "8f2f5d3b",
    "execPrice": "1940.58",
    "execQty": "0.1",
    "execType": "Trade",
    "execValue": "194.058",
    "execFee": "0.11643",
    "feeCurrency": "",
    "execTime": "1672052955758",
    "isMaker": False,
    "closedSize": "",
    "stopOrderType": "UNKNOWN",
}


def test_a_linear_fill_pays_in_the_settle_coin() -> None:
    fill = parsing.execution(Category.LINEAR, EXECUTION)
    assert (fill.fee, fill.fee_coin, fill.closed_size) == (Decimal("0.11643"), "USDT", Decimal(0))
    assert (fill.price, fill.qty, fill.value) == (Decimal("1940.58"), Decimal("0.1"), Decimal("194.058"))
    assert (fill.stop_order_type, fill.order_link_id, fill.is_maker) == ("", "", False)


def test_a_spot_buy_pays_in_the_base_coin() -> None:
    fill = parsing.execution(Category.SPOT, {**EXECUTION, "feeCurrency": "ETH", "execValue": ""})
    assert (fill.fee_coin, fill.value) == ("ETH", Decimal("194.058"))


@pytest.mark.parametrize(("price_field", "side", "expected"), [("avgPrice", "Buy", 1), ("entryPrice", "Sell", -1)])
def test_a_position_from_query_and_push(price_field: str, side: str, expected: int) -> None:
    row = {"symbol": "BTCUSDT", "side": side, "size": "0.5", price_field: "100", "stopLoss": "", "leverage": "1"}
    position = parsing.position(Category.LINEAR, row)
    assert position.side is not None
    assert (position.side.sign, position.size, position.avg_price) == (expected, Decimal("0.5"), Decimal(100))
    assert (position.stop_loss, position.leverage, position.unrealised_pnl) == (None, Decimal(1), Decimal(0))


def test_a_flat_position_has_no_side() -> None:
    row = {"symbol": "BTCUSDT", "side": "", "size": "0", "avgPrice": "0", "stopLoss": "0.00"}
    position = parsing.position(Category.LINEAR, row)
    assert (position.side, position.size, position.avg_price, position.stop_loss) == (None, Decimal(0), None, None)
    short = parsing.position(Category.LINEAR, {**row, "side": "Sell", "size": "1"})
    assert short.side is PositionSide.SHORT


def test_a_wallet_with_empty_figures() -> None:
    wallet = parsing.wallet(
        {"totalEquity": "3.31", "coin": [{"coin": "BTC", "walletBalance": "0.1", "usdValue": "", "locked": ""}]}
    )
    assert wallet.total_equity == Decimal("3.31")
    [coin] = wallet.coins
    assert (coin.coin, coin.wallet_balance, coin.usd_value, coin.locked) == ("BTC", Decimal("0.1"), 0, 0)


def test_instruments_of_both_categories() -> None:
    spot = parsing.instrument(
        Category.SPOT,
        {
            "symbol": "BTCUSDT",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "status": "Trading",
            "lotSizeFilter": {
                "basePrecision": "0.000001",
                "quotePrecision": "0.0000001",
                "minOrderQty": "0.000011",
                "maxOrderQty": "83",
                "minOrderAmt": "5",
                "maxMarketOrderQty": "41.5",
            },
            "priceFilter": {"tickSize": "0.01"},
        },
    )
    assert (spot.qty_step, spot.min_order_amount, spot.max_market_qty) == (Decimal("0.000001"), 5, Decimal("41.5"))
    linear = parsing.instrument(
        Category.LINEAR,
        {
            "symbol": "BTCUSDT",
            "baseCoin": "BTC",
            "quoteCoin": "USDT",
            "status": "PreLaunch",
            "lotSizeFilter": {
                "qtyStep": "0.001",
                "minOrderQty": "0.001",
                "maxOrderQty": "1190",
                "maxMktOrderQty": "119",
                "minNotionalValue": "5",
            },
            "priceFilter": {"tickSize": "0.10"},
        },
    )
    assert (linear.qty_step, linear.max_market_qty, linear.tradable) == (Decimal("0.001"), 119, False)


def test_a_queried_candle_is_closed_when_its_end_has_passed() -> None:
    opened = datetime(2024, 1, 1, tzinfo=UTC)
    row = [str(parsing.milliseconds(opened)), "1", "3", "0.5", "2", "10", "20"]
    for late, closed in ((timedelta(hours=4), True), (timedelta(hours=4, microseconds=-1), False)):
        candle = parsing.queried_candle(Category.SPOT, "BTCUSDT", "4h", row, opened + late)
        assert candle.confirmed is closed
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.turnover) == (
        1,
        3,
        0.5,
        2,
        10,
        20,
    )


@given(st.decimals(min_value=0, max_value=10**9, places=8))
def test_a_number_survives_the_way_out_and_back(value: Decimal) -> None:
    told = parsing.plain(value)
    assert "E" not in told.upper()
    assert parsing.number(told) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_to_the_millisecond(at: datetime) -> None:
    back = parsing.moment(str(parsing.milliseconds(at)))
    assert timedelta(0) <= at - back < timedelta(milliseconds=1)


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.integers(1, 10**4))
def test_windows_cover_everything_once_and_none_is_too_wide(start: int, length: int, width: int) -> None:
    cut = list(windows(start, start + length, width))
    assert cut[0][0] == start
    assert cut[-1][1] >= start + length
    assert all(last - first + 1 == width for first, last in cut)
    assert all(following[0] == previous[1] + 1 for previous, following in pairwise(cut))


def key_row(**changes: Any) -> dict[str, Any]:
    permissions = {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": ["AccountTransfer"]}
    return {"readOnly": 0, "permissions": permissions, "ips": ["*"], "expiredAt": "2030-05-15T03:21:05Z", **changes}


def test_what_a_key_may_do_is_read_from_its_permissions() -> None:
    rights = parsing.key_rights(key_row())
    assert (rights.read_only, rights.trades_spot, rights.trades_linear, rights.withdraws) == (False, True, True, False)
    assert rights.expires_at == datetime(2030, 5, 15, 3, 21, 5, tzinfo=UTC)
    assert not rights.ip_bound


def test_a_key_that_withdraws_or_only_reads_or_is_bound_says_so() -> None:
    permissions = {"ContractTrade": ["Order"], "Spot": [], "Wallet": ["AccountTransfer", "Withdraw"]}
    rights = parsing.key_rights(key_row(readOnly=1, permissions=permissions, ips=["10.0.0.1"], expiredAt=""))
    assert (rights.read_only, rights.trades_spot, rights.trades_linear, rights.withdraws) == (True, False, False, True)
    assert rights.expires_at is None
    assert rights.ip_bound


PERPETUAL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "deliveryTime": "0",
    "isPreListing": False,
    "priceFilter": {"tickSize": "0.10"},
    "lotSizeFilter": {
        "qtyStep": "0.001",
        "minOrderQty": "0.001",
        "minNotionalValue": "5",
        "maxMktOrderQty": "100",
        "maxOrderQty": "1000",
    },
}


@pytest.mark.parametrize(
    ("changes", "tradable"),
    [
        ({}, True),
        ({"status": "Delivering"}, False),
        ({"status": "PreLaunch"}, False),
        ({"status": "Closed"}, False),
        ({"deliveryTime": "1800000000000"}, False),
        ({"isPreListing": True}, False),
    ],
)
def test_what_is_not_traded_or_being_delisted_takes_nothing_new(changes: dict[str, Any], tradable: bool) -> None:
    assert parsing.instrument(Category.LINEAR, {**PERPETUAL, **changes}).tradable is tradable


def test_a_limit_order_has_a_price_and_a_market_order_none() -> None:
    assert parsing.order(Category.LINEAR, LINEAR_ORDER).price is None
    assert parsing.order(Category.LINEAR, {**LINEAR_ORDER, "price": "1650.50"}).price == Decimal("1650.50")


_TICKER: dict[str, Any] = {"symbol": "BTCUSDT", "lastPrice": "60000", "markPrice": "60001"}


@pytest.mark.parametrize(
    ("told", "rate"),
    [
        ({"fundingRate": "-0.0001", "fundingIntervalHour": "8"}, "-0.0001"),
        ({"fundingRate": "-0.0002", "fundingIntervalHour": "1"}, "-0.0016"),
        ({"fundingRate": "0", "fundingIntervalHour": "4"}, "0"),
        ({"fundingRate": "-0.0001"}, None),
        ({"fundingRate": "", "fundingIntervalHour": "8"}, None),
        ({}, None),
    ],
)
def test_a_funding_rate_is_of_eight_hours_zero_is_one_and_an_untold_one_is_none(
    told: dict[str, str], rate: str | None
) -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    ticker = parsing.ticker(Category.LINEAR, {**_TICKER, "nextFundingTime": "1735718400000", **told}, at)
    assert ticker.funding_rate == (None if rate is None else Decimal(rate))
    assert ticker.next_funding_at == datetime(2025, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("told", ["", "0", None])
def test_an_instant_that_is_empty_or_0_is_none(told: str | None) -> None:
    assert parsing.moment_or_none(told) is None


def test_rows_of_stamped_series() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    ratio = parsing.long_short_ratio(
        "BTCUSDT", {"symbol": "BTCUSDT", "buyRatio": "0.5777", "sellRatio": "0.4223", "timestamp": "1735689600000"}
    )
    assert (ratio.at, ratio.long_share) == (at, 0.5777)
    funding = parsing.funding_rate(
        "BTCUSDT", {"symbol": "BTCUSDT", "fundingRate": "-0.00005", "fundingRateTimestamp": "1735689600000"}
    )
    assert (funding.at, funding.rate) == (at, -0.00005)

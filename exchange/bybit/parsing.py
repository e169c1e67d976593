"""Rows of Bybit's v5 answers and pushes as the protocol's values: ``Decimal``, aware UTC, no empty strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.market import Category, Instrument, PositionSide, Side
from exchange.protocol import (
    BookTop,
    Candle,
    CoinBalance,
    ExchangeOrderStatus,
    Execution,
    FundingRate,
    KeyRights,
    LongShortRatio,
    OpenInterest,
    OrderReport,
    PositionReport,
    Ticker,
    Trade,
    TransactionLogRow,
    Wallet,
)

Row = Mapping[str, Any]

INTERVALS = {"1m": "1", "15m": "15", "1h": "60", "4h": "240", "1d": "D", "1w": "W"}
STAMP_INTERVALS = {"15m": "15min", "1h": "1h", "4h": "4h", "1d": "1d"}
"""Of the series that are stamped per interval: open interest, long/short ratio."""
LENGTHS = {
    "1m": timedelta(minutes=1),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_POSITION_SIDES = {"Buy": PositionSide.LONG, "Sell": PositionSide.SHORT}
_ZERO = Decimal(0)


def moment(milliseconds: int | str) -> datetime:
    """Milliseconds since 1970 as aware UTC, exact."""
    return _EPOCH + timedelta(milliseconds=int(milliseconds))


def moment_or_none(milliseconds: int | str | None) -> datetime | None:
    """An instant the exchange leaves empty or 0 when there is none."""
    return moment(milliseconds) if milliseconds and int(milliseconds) else None


def milliseconds(at: datetime) -> int:
    """Aware time as whole milliseconds since 1970, rounded down."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def plain(number: Decimal) -> str:
    """A number as the exchange wants it: no exponent, no trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(text: Any) -> Decimal:
    """A number the exchange may leave empty: "" and None are 0."""
    return Decimal(str(text)) if text not in ("", None) else _ZERO


def number_or_none(text: Any) -> Decimal | None:
    """A price the exchange leaves empty or 0 when there is none."""
    return number(text) or None


def number_if_told(text: Any) -> Decimal | None:
    """A number that may well be 0, and is empty when there is none."""
    return Decimal(str(text)) if text not in ("", None) else None


def instrument(category: Category, row: Row) -> Instrument:
    """A row of ``market/instruments-info``. A perpetual with a delivery time is being delisted: nothing new on it."""
    lot: Row = row["lotSizeFilter"]
    spot = category is Category.SPOT
    max_market = lot.get("maxMarketOrderQty" if spot else "maxMktOrderQty") or lot["maxOrderQty"]
    return Instrument(
        category=category,
        symbol=row["symbol"],
        base_coin=row["baseCoin"],
        quote_coin=row["quoteCoin"],
        tick_size=Decimal(row["priceFilter"]["tickSize"]),
        qty_step=Decimal(lot["basePrecision" if spot else "qtyStep"]),
        min_order_qty=Decimal(lot["minOrderQty"]),
        min_order_amount=number(lot.get("minOrderAmt" if spot else "minNotionalValue")),
        max_market_qty=Decimal(max_market),
        tradable=row["status"] == "Trading" and not int(row.get("deliveryTime") or 0) and not row.get("isPreListing"),
        launched_at=moment_or_none(row.get("launchTime")),
    )


def open_interest(symbol: str, row: Row) -> OpenInterest:
    """A row of ``market/open-interest``."""
    return OpenInterest(symbol=symbol, at=moment(row["timestamp"]), value=float(row["openInterest"]))


def long_short_ratio(symbol: str, row: Row) -> LongShortRatio:
    """A row of ``market/account-ratio``."""
    return LongShortRatio(symbol=symbol, at=moment(row["timestamp"]), long_share=float(row["buyRatio"]))


def funding_rate(symbol: str, row: Row) -> FundingRate:
    """A row of ``market/funding/history``."""
    return FundingRate(symbol=symbol, at=moment(row["fundingRateTimestamp"]), rate=float(row["fundingRate"]))


def order(category: Category, row: Row) -> OrderReport:
    """A row of ``order/realtime``, ``order/history`` or the ``order`` topic."""
    reason = row.get("rejectReason") or ""
    return OrderReport(
        category=category,
        symbol=row["symbol"],
        order_id=row["orderId"],
        order_link_id=row.get("orderLinkId") or "",
        side=_SIDES[row["side"]],
        order_type=row["orderType"],
        status=ExchangeOrderStatus(row["orderStatus"]),
        qty=number(row["qty"]),
        cum_exec_qty=number(row.get("cumExecQty")),
        cum_exec_value=number(row.get("cumExecValue")),
        avg_price=number_or_none(row.get("avgPrice")),
        price=number_or_none(row.get("price")),
        trigger_price=number_or_none(row.get("triggerPrice")),
        stop_order_type=_kind(row.get("stopOrderType")),
        reduce_only=bool(row.get("reduceOnly")),
        reject_reason="" if reason == "EC_NoError" else reason,
        created_at=moment(row["createdTime"]),
        updated_at=moment(row["updatedTime"]),
    )


def execution(category: Category, row: Row) -> Execution:
    """A row of ``execution/list`` or the ``execution`` topic. Linear rows name no fee coin: it is the settle coin."""
    symbol: str = row["symbol"]
    qty, price = number(row["execQty"]), number(row["execPrice"])
    return Execution(
        exec_id=row["execId"],
        order_id=row["orderId"],
        order_link_id=row.get("orderLinkId") or "",
        category=category,
        symbol=symbol,
        side=_SIDES[row["side"]],
        qty=qty,
        price=price,
        value=number(row.get("execValue")) or qty * price,
        fee=number(row.get("execFee")),
        fee_coin=row.get("feeCurrency") or ("USDC" if symbol.endswith("PERP") else "USDT"),
        exec_type=row["execType"],
        stop_order_type=_kind(row.get("stopOrderType")),
        is_maker=bool(row.get("isMaker")),
        closed_size=number(row.get("closedSize")),
        executed_at=moment(row["execTime"]),
    )


def position(category: Category, row: Row) -> PositionReport:
    """A row of ``position/list`` or the ``position`` topic (which says ``entryPrice`` for the average price)."""
    size = number(row.get("size"))
    return PositionReport(
        category=category,
        symbol=row["symbol"],
        side=_POSITION_SIDES.get(row.get("side") or "") if size else None,
        size=size,
        avg_price=number_or_none(row.get("avgPrice") or row.get("entryPrice")),
        mark_price=number_or_none(row.get("markPrice")),
        unrealised_pnl=number(row.get("unrealisedPnl")),
        stop_loss=number_or_none(row.get("stopLoss")),
        leverage=number_or_none(row.get("leverage")),
    )


def wallet(row: Row) -> Wallet:
    """The unified account of ``account/wallet-balance`` or the ``wallet`` topic."""
    return Wallet(
        total_equity=number(row.get("totalEquity")),
        coins=tuple(
            CoinBalance(
                coin=coin["coin"],
                wallet_balance=number(coin.get("walletBalance")),
                equity=number(coin.get("equity")),
                locked=number(coin.get("locked")),
                usd_value=number(coin.get("usdValue")),
                unrealised_pnl=number(coin.get("unrealisedPnl")),
            )
            for coin in row.get("coin") or ()
        ),
    )


def transaction(row: Row) -> TransactionLogRow:
    """A row of ``account/transaction-log``."""
    return TransactionLogRow(
        transaction_id=row["id"],
        category=row.get("category") or "",
        symbol=row.get("symbol") or "",
        type=row["type"],
        coin=row["currency"],
        change=number(row.get("change")),
        fee=number(row.get("fee")),
        funding=number(row.get("funding")),
        cash_balance=number(row.get("cashBalance")),
        order_link_id=row.get("orderLinkId") or "",
        trade_id=row.get("tradeId") or "",
        at=moment(row["transactionTime"]),
        side=row.get("side") or "",
        qty=number(row.get("qty")),
        size=number(row.get("size")),
        fee_rate=number(row["feeRate"]) if row.get("feeRate") else None,
    )


def key_rights(row: Row) -> KeyRights:
    """``result`` of ``user/query-api``. A key bound to addresses never expires, its date is empty or the epoch's."""
    rights: Mapping[str, list[str]] = row["permissions"]
    linear = {"Order", "Position"} <= set(rights.get("ContractTrade") or ())
    expires = row.get("expiredAt") or ""
    at = datetime.fromisoformat(expires.replace("Z", "+00:00")) if expires else _EPOCH
    addresses = row.get("ips") or ["*"]
    return KeyRights(
        read_only=bool(row["readOnly"]),
        trades_spot="SpotTrade" in (rights.get("Spot") or ()),
        trades_linear=linear or "DerivativesTrade" in (rights.get("Derivatives") or ()),
        withdraws="Withdraw" in (rights.get("Wallet") or ()),
        expires_at=at if at.year > _EPOCH.year else None,
        ip_bound="*" not in addresses,
    )


def ticker(category: Category, row: Row, at: datetime) -> Ticker:
    """A row of ``market/tickers``, or the merged state of a ``tickers`` topic (spot pushes have no bid and ask)."""
    return Ticker(
        category=category,
        symbol=row["symbol"],
        last_price=Decimal(row["lastPrice"]),
        bid=number_or_none(row.get("bid1Price")),
        ask=number_or_none(row.get("ask1Price")),
        mark_price=number_or_none(row.get("markPrice")),
        funding_rate=_funding_per_eight_hours(row),
        next_funding_at=moment_or_none(row.get("nextFundingTime")),
        turnover=number_if_told(row.get("turnover24h")),
        at=at,
    )


def _funding_per_eight_hours(row: Row) -> Decimal | None:
    """What eight hours cost at the rate that is settled next: some settle every hour. None if it isn't told."""
    rate, interval = number_if_told(row.get("fundingRate")), number_if_told(row.get("fundingIntervalHour"))
    if rate is None or not interval:
        return None
    return rate * 8 / interval


def pushed_trade(category: Category, row: Row) -> Trade:
    """An element of a ``publicTrade`` push."""
    return Trade(
        category=category,
        symbol=row["s"],
        trade_id=row["i"],
        price=Decimal(row["p"]),
        qty=Decimal(row["v"]),
        side=_SIDES[row["S"]],
        at=moment(row["T"]),
    )


def queried_trade(category: Category, row: Row) -> Trade:
    """A row of ``market/recent-trade``."""
    return Trade(
        category=category,
        symbol=row["symbol"],
        trade_id=row["execId"],
        price=Decimal(row["price"]),
        qty=Decimal(row["size"]),
        side=_SIDES[row["side"]],
        at=moment(row["time"]),
    )


def pushed_candle(category: Category, symbol: str, timeframe: str, row: Row) -> Candle:
    """An element of a ``kline`` push."""
    return _candle(category, symbol, timeframe, row["start"], row, confirmed=bool(row["confirm"]))


def queried_candle(category: Category, symbol: str, timeframe: str, row: list[str], now: datetime) -> Candle:
    """A row of ``market/kline``. It doesn't say whether it is closed: it is when it ended by market time ``now``."""
    names: tuple[str, ...] = ("start", "open", "high", "low", "close", "volume", "turnover")
    named: Row = dict(zip(names, row, strict=False))
    ended = moment(named["start"]) + LENGTHS[timeframe] <= now
    return _candle(category, symbol, timeframe, named["start"], named, confirmed=ended)


def _candle(category: Category, symbol: str, timeframe: str, start: Any, row: Row, *, confirmed: bool) -> Candle:
    return Candle(
        category=category,
        symbol=symbol,
        timeframe=timeframe,
        open_time=moment(start),
        open=float(row["open"]),
        high=float(row["high"]),
        low=float(row["low"]),
        close=float(row["close"]),
        volume=float(row["volume"]),
        turnover=float(row["turnover"]),
        confirmed=confirmed,
    )


def book(category: Category, row: Row) -> BookTop:
    """``result`` of ``market/orderbook``."""
    return BookTop(
        category=category,
        symbol=row["s"],
        bids=tuple((Decimal(price), Decimal(qty)) for price, qty in row["b"]),
        asks=tuple((Decimal(price), Decimal(qty)) for price, qty in row["a"]),
        at=moment(row.get("cts") or row["ts"]),  # the matching engine's time, where it is told
    )


def _kind(text: Any) -> str:
    """Stop order types: the exchange says "UNKNOWN" or "" for an order that is none."""
    return "" if text in (None, "UNKNOWN") else str(text)

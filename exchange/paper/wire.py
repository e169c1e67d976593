"""Account values as Bybit v5 writes them: strings for numbers, milliseconds for times, "" for nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.market import Category
from exchange.paper.core.events import CoinView, WalletView
from exchange.paper.core.margin import initial_margin, maintenance_margin
from exchange.paper.core.model import ZERO, ClosedPnl, Execution, LogRow, Order, OrderStatus, Position
from exchange.paper.instruments import risk_tier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def number(value: Decimal | None) -> str:
    """Plain digits without exponent or trailing zeros; "" for None."""
    if value is None:
        return ""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def millis(at: datetime | None) -> str:
    """Milliseconds since 1970 as a string; "0" for None."""
    return "0" if at is None else str(to_millis(at))


def to_millis(at: datetime) -> int:
    delta = at - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000 + delta.microseconds // 1_000


def rounded(value: Decimal, digits: int = 8) -> str:
    """A derived figure (average, valuation) cut to ``digits`` places."""
    return number(value.quantize(Decimal(1).scaleb(-digits)))


def order_row(order: Order) -> Row:
    """An order of ``order/realtime`` and ``order/history``."""
    finished = not order.is_open
    leaves = ZERO if finished or order.in_quote else order.left
    row: Row = {
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "blockTradeId": "",
        "symbol": order.symbol,
        "price": "0" if order.price is None else number(order.price),
        "qty": number(order.qty),
        "side": order.side.value,
        "isLeverage": "0" if order.category is Category.SPOT else "",
        "positionIdx": 0,
        "orderStatus": order.status.value,
        "createType": order.create_type,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": rounded(order.filled_value / order.filled_qty) if order.filled_qty else "",
        "leavesQty": number(leaves),
        "leavesValue": number(_leaves_value(order, leaves)),
        "cumExecQty": number(order.filled_qty),
        "cumExecValue": number(order.filled_value),
        "cumExecFee": number(sum(order.fees.values(), ZERO)),
        "cumFeeDetail": {coin: number(fee) for coin, fee in order.fees.items()},
        "timeInForce": order.time_in_force,
        "orderType": order.order_type,
        "stopOrderType": order.stop_order_type,
        "orderIv": "",
        "marketUnit": order.market_unit,
        "triggerPrice": number(order.trigger_price),
        "takeProfit": number(order.take_profit.trigger_price if order.take_profit else None),
        "stopLoss": number(order.stop_loss.trigger_price if order.stop_loss else None),
        "tpTriggerBy": order.take_profit.trigger_by if order.take_profit else "",
        "slTriggerBy": order.stop_loss.trigger_by if order.stop_loss else "",
        "triggerDirection": 0 if order.trigger_rises is None else (1 if order.trigger_rises else 2),
        "triggerBy": order.trigger_by if order.trigger_price is not None else "",
        "lastPriceOnCreated": number(order.last_price_on_created),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_on_trigger,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "tpLimitPrice": number(order.take_profit.limit_price if order.take_profit else None),
        "slLimitPrice": number(order.stop_loss.limit_price if order.stop_loss else None),
        "createdTime": millis(order.created_at),
        "updatedTime": millis(order.updated_at),
    }
    if order.category is Category.LINEAR:
        row["tpslMode"] = order.tpsl_mode
    else:
        row["ocoTriggerBy"] = ""
    return row


def _leaves_value(order: Order, leaves: Decimal) -> Decimal:
    """The estimated value still to be filled, of an order whose price is known."""
    if order.in_quote:
        return order.qty - order.filled_value if order.is_open else ZERO
    return leaves * order.price if order.price is not None else ZERO


def order_message_row(order: Order) -> Row:
    """An order of the private ``order`` topic."""
    row = order_row(order)
    row["category"] = order.category.value
    row["feeCurrency"] = next(iter(order.fees), "")
    row["closedPnl"] = number(order.closed_pnl)
    if order.status is OrderStatus.FILLED:
        row["leavesQty"] = "0"
    return row


def execution_row(fill: Execution) -> Row:
    """An execution of ``execution/list`` and of the ``execution`` topic."""
    return {
        "category": fill.category.value,
        "symbol": fill.symbol,
        "orderId": fill.order_id,
        "orderLinkId": fill.link_id,
        "side": fill.side.value,
        "orderPrice": "0" if fill.order_price is None else number(fill.order_price),
        "orderQty": number(fill.order_qty),
        "leavesQty": number(fill.leaves_qty),
        "createType": fill.create_type,
        "orderType": fill.order_type,
        "stopOrderType": fill.stop_order_type or "UNKNOWN",
        "execId": fill.exec_id,
        "execPrice": number(fill.price),
        "execQty": number(fill.qty),
        "execType": fill.exec_type,
        "execValue": number(fill.value),
        "execFee": number(fill.fee),
        "feeCurrency": fill.fee_coin,
        "feeRate": number(fill.fee_rate),
        "execFeeV2": "",
        "execTime": millis(fill.at),
        "execPnl": number(fill.pnl),
        "isMaker": fill.is_maker,
        "isLeverage": "0",
        "closedSize": number(fill.closed_size),
        "markPrice": number(fill.mark_price),
        "indexPrice": "",
        "tradeIv": "",
        "markIv": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "marketUnit": fill.market_unit,
        "extraFees": "",
        "seq": fill.sequence,
    }


def position_row(position: Position, mark: Decimal, leverage: Decimal, liquidation: Decimal | None = None) -> Row:
    """A position of ``position/list``; flat: ``side`` "" and ``size`` "0"."""
    value = position.cost
    open_realised = position.realised - position.realised_before
    margin = rounded(initial_margin(value, leverage)) if position.size else ""
    maintenance = rounded(maintenance_margin(position, mark)) if position.size else ""
    tier = risk_tier(position.symbol)
    return {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": number(tier.limit),
        "symbol": position.symbol,
        "side": "" if position.side is None else position.side.value,
        "size": number(position.size),
        "avgPrice": rounded(position.avg_price) if position.size else "0",
        "positionValue": rounded(value) if position.size else "",
        "tradeMode": 0,
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "leverage": number(leverage),
        "markPrice": number(mark),
        "liqPrice": "" if liquidation is None else rounded(liquidation),
        "bustPrice": "",
        "positionIM": margin,
        "positionIMByMp": margin,
        "positionMM": maintenance,
        "positionMMByMp": maintenance,
        "positionBalance": margin or "0",
        "tpslMode": "Full",
        "takeProfit": number(position.take_profit.trigger_price if position.take_profit else None),
        "stopLoss": number(position.stop_loss.trigger_price if position.stop_loss else None),
        "trailingStop": number(position.trailing_stop or ZERO),
        "activePrice": number(position.active_price or ZERO),
        "sessionAvgPrice": "",
        "unrealisedPnl": rounded(position.unrealised(mark)) if position.size else "",
        "curRealisedPnl": rounded(open_realised) if position.size else "0",
        "cumRealisedPnl": rounded(position.realised),
        "adlRankIndicator": 2 if position.size else 0,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "seq": position.sequence,
        "createdTime": millis(position.created_at),
        "updatedTime": millis(position.updated_at),
    }


def position_message_row(
    position: Position, mark: Decimal, leverage: Decimal, liquidation: Decimal | None = None
) -> Row:
    """A position of the private ``position`` topic, which names the average ``entryPrice``."""
    row = position_row(position, mark, leverage, liquidation)
    row["entryPrice"] = row.pop("avgPrice")
    row["category"] = Category.LINEAR.value
    return row


def closed_pnl_row(closed: ClosedPnl) -> Row:
    """A row of ``position/closed-pnl``: ``closedPnl`` is net of both fees."""
    return {
        "symbol": closed.symbol,
        "orderId": closed.order_id,
        "side": closed.side.value,
        "qty": number(closed.qty),
        "orderPrice": number(closed.order_price or ZERO),
        "orderType": closed.order_type,
        "execType": closed.exec_type,
        "closedSize": number(closed.closed_size),
        "cumEntryValue": number(closed.entry_value),
        "avgEntryPrice": rounded(closed.entry_value / closed.closed_size),
        "cumExitValue": number(closed.exit_value),
        "avgExitPrice": rounded(closed.exit_value / closed.closed_size),
        "closedPnl": number(closed.pnl),
        "openFee": number(closed.open_fee),
        "closeFee": number(closed.close_fee),
        "fillCount": str(closed.fill_count),
        "leverage": number(closed.leverage),
        "createdTime": millis(closed.created_at),
        "updatedTime": millis(closed.updated_at),
    }


def _coin_row(coin: CoinView) -> Row:
    return {
        "coin": coin.coin,
        "equity": number(coin.equity),
        "usdValue": rounded(coin.usd_value),
        "walletBalance": number(coin.balance),
        "free": "",
        "locked": number(coin.locked),
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": rounded(coin.order_margin),
        "totalPositionIM": rounded(coin.position_margin),
        "totalPositionMM": rounded(coin.maintenance_margin),
        "unrealisedPnl": number(coin.unrealised),
        "cumRealisedPnl": number(coin.realised),
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "spotBorrow": "0",
    }


def wallet_row(wallet: WalletView, coins: frozenset[str] | None = None) -> Row:
    """The account of ``account/wallet-balance`` and of the ``wallet`` topic; ``coins`` limits the list."""
    margin_balance = wallet.balance + wallet.unrealised
    initial = wallet.position_margin + wallet.order_margin
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": _rate(initial, margin_balance),
        "accountIMRateByMp": _rate(initial, margin_balance),
        "accountMMRate": _rate(wallet.maintenance_margin, margin_balance),
        "accountMMRateByMp": _rate(wallet.maintenance_margin, margin_balance),
        "totalEquity": rounded(wallet.equity),
        "totalWalletBalance": rounded(wallet.balance),
        "totalMarginBalance": rounded(margin_balance),
        "totalAvailableBalance": rounded(wallet.available),
        "totalPerpUPL": rounded(wallet.unrealised),
        "totalInitialMargin": rounded(initial),
        "totalInitialMarginByMp": rounded(initial),
        "totalMaintenanceMargin": rounded(wallet.maintenance_margin),
        "totalMaintenanceMarginByMp": rounded(wallet.maintenance_margin),
        "coin": [_coin_row(c) for c in wallet.coins if coins is None or c.coin in coins],
    }


def _rate(margin: Decimal, balance: Decimal) -> str:
    return rounded(margin / balance, 4) if balance > 0 else "0"


def log_row(row: LogRow) -> Row:
    """A row of ``account/transaction-log``."""
    return {
        "id": row.row_id,
        "symbol": row.symbol,
        "category": row.category,
        "side": row.side,
        "transactionTime": millis(row.at),
        "type": row.type,
        "transSubType": "",
        "qty": number(row.qty),
        "size": number(row.size),
        "currency": row.coin,
        "tradePrice": number(row.price) if row.price else "",
        "funding": number(row.funding) if row.type == "SETTLEMENT" else "",
        "fee": number(row.fee),
        "cashFlow": number(row.cash_flow),
        "change": number(row.change),
        "cashBalance": number(row.cash_balance),
        "feeRate": number(row.fee_rate),
        "bonusChange": "",
        "tradeId": row.trade_id,
        "orderId": row.order_id,
        "orderLinkId": row.link_id,
        "extraFees": "",
    }

"""Orders as requests name them: the fields of ``order/create`` and ``order/amend``, read into commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.market import Category, Side
from exchange.paper.core.commands import AmendOrder, BookPrice, CancelOrder, PlaceOrder, Slippage
from exchange.paper.core.model import Exit, OrderFilter
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.params import Params

Make = Callable[[datetime], PlaceOrder | AmendOrder | CancelOrder]


def read_place(p: Params, category: Category, received_wall_ms: float) -> Make:
    """The command of ``order/create``. Refuses what would change the order's meaning and doesn't exist here."""
    one_way_only(p)
    _spot_without_loans(p, category)
    side = p.choice("side", Side)
    if side is None:
        raise params_error("side is required: Buy or Sell")
    linear = category is Category.LINEAR
    order_type = p.required("orderType")
    close_on_trigger = linear and p.flag("closeOnTrigger")
    # on spot these say nothing: there is no position to reduce, and the trigger's side tells its direction
    reduce_only = linear and p.flag("reduceOnly")
    fields: dict[str, Any] = {
        "category": category,
        "symbol": p.required("symbol"),
        "side": side,
        "order_type": order_type,
        "qty": p.not_negative("qty") if reduce_only and close_on_trigger else p.positive("qty"),
        "link_id": p.text("orderLinkId"),
        "price": p.positive("price") if order_type == "Limit" and not p.text("bboSideType") else None,
        "time_in_force": p.text("timeInForce"),
        "market_unit": p.text("marketUnit"),
        "order_filter": p.choice("orderFilter", OrderFilter) or OrderFilter.ORDER,
        "trigger_price": p.decimal("triggerPrice") or None,
        "trigger_direction": p.integer("triggerDirection", 0) if linear else 0,
        "trigger_by": p.text("triggerBy", "LastPrice"),
        "reduce_only": reduce_only,
        "close_on_trigger": close_on_trigger,
        "take_profit": _exit(p, "takeProfit", "tp"),
        "stop_loss": _exit(p, "stopLoss", "sl"),
        "tpsl_mode": p.text("tpslMode"),
        "slippage": _slippage(p),
        "book_price": _book_price(p, category),
        "received_wall_ms": received_wall_ms,
    }
    return lambda at: PlaceOrder(at=at, **fields)


def read_amend(p: Params, category: Category) -> Make:
    """The command of ``order/amend``: only what is given changes."""
    fields: dict[str, Any] = {
        "category": category,
        "symbol": p.required("symbol"),
        "order_id": p.text("orderId"),
        "link_id": p.text("orderLinkId"),
        "qty": _above_zero(p, "qty"),
        "price": _above_zero(p, "price"),
        "trigger_price": _above_zero(p, "triggerPrice"),
        "trigger_by": p.text("triggerBy") or None,
        "take_profit_price": p.decimal("takeProfit"),
        "stop_loss_price": p.decimal("stopLoss"),
        "tp_trigger_by": p.text("tpTriggerBy") or None,
        "sl_trigger_by": p.text("slTriggerBy") or None,
        "tp_limit_price": p.decimal("tpLimitPrice"),
        "sl_limit_price": p.decimal("slLimitPrice"),
        "tpsl_mode": p.text("tpslMode") or None,
    }
    return lambda at: AmendOrder(at=at, **fields)


def read_cancel(p: Params, category: Category) -> Make:
    symbol, order_id, link_id = p.required("symbol"), p.text("orderId"), p.text("orderLinkId")
    kind = cancelled_kind(p, category)
    return lambda at: CancelOrder(at, category, symbol, order_id=order_id, link_id=link_id, order_filter=kind)


def cancelled_kind(p: Params, category: Category) -> OrderFilter | None:
    """Kinds a cancel looks at: all on linear; on spot the kind named, plain orders by default."""
    kind = p.choice("orderFilter", OrderFilter)
    return kind or OrderFilter.ORDER if category is Category.SPOT else kind


def one_way_only(p: Params) -> None:
    if p.integer("positionIdx", 0) != 0:
        raise params_error("position idx not match position mode: one-way mode has positionIdx 0")


def _spot_without_loans(p: Params, category: Category) -> None:
    if category is Category.SPOT and p.integer("isLeverage", 0) != 0:
        raise Refusal(170037, "Cross Margin Trading not yet supported by the selected coin")


def _exit(p: Params, name: str, short: str) -> Exit | None:
    price = p.decimal(name)
    order_type, limit_price = p.text(f"{short}OrderType"), p.decimal(f"{short}LimitPrice") or None
    if order_type not in ("", "Market", "Limit"):
        raise params_error(f"{short}OrderType {order_type!r} invalid: Market or Limit")
    if order_type == "Limit" and limit_price is None:
        raise params_error(f"{short}LimitPrice is required with {short}OrderType Limit")
    if not price:
        return None
    trigger_by = p.text(f"{short}TriggerBy", "LastPrice")
    return Exit(price, trigger_by, None if order_type == "Market" else limit_price)


def _slippage(p: Params) -> Slippage | None:
    kind = p.text("slippageToleranceType")
    if not kind:
        return None
    if kind not in ("Percent", "TickSize"):
        raise params_error(f"slippageToleranceType {kind!r} invalid: Percent or TickSize")
    return Slippage(p.positive("slippageTolerance"), in_percent=kind == "Percent")


def _book_price(p: Params, category: Category) -> BookPrice | None:
    side = p.text("bboSideType")
    if not side:
        return None
    if side not in ("Queue", "Counterparty") or category is Category.SPOT:
        raise params_error(f"bboSideType {side!r} invalid: Queue or Counterparty, on linear")
    return BookPrice(p.integer("bboLevel", 1), counterparty=side == "Counterparty")


def _above_zero(p: Params, name: str) -> Decimal | None:
    return p.positive(name) if p.text(name) else None

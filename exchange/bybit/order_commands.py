"""What changes the account: orders, leverage, stops of positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.market import Category
from exchange.bybit.errors import (
    LEVERAGE_UNCHANGED,
    STOP_UNCHANGED,
    UNKNOWN_ORDER_CODES,
    says_unchanged,
    unreadable_is_unknown,
)
from exchange.bybit.order_entry import OrderEntry
from exchange.bybit.parsing import moment, plain
from exchange.protocol import OrderAck, OrderRequest, Refused


class OrderCommands:
    """The part of the gateway that writes. What protects or ends a position is urgent."""

    _entry: OrderEntry

    @unreadable_is_unknown
    async def place_order(self, request: OrderRequest) -> OrderAck:
        """Send it once. Raises DuplicateOrder, Refused, RetryLater (not sent or not looked at) or OutcomeUnknown."""
        answer = await self._entry.send(
            "place_order", urgent=request.urgent, not_after=request.not_after, **_order_params(request)
        )
        result = answer["result"]
        return OrderAck(
            order_id=result["orderId"],
            order_link_id=result.get("orderLinkId") or request.order_link_id,
            exchange_time=moment(answer["time"]),
        )

    async def amend_order(
        self,
        category: Category,
        symbol: str,
        order_link_id: str,
        *,
        qty: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Change a resting order. Already so is success; Refused with 110001 / 170213 when it is unknown or final."""
        params: dict[str, Any] = {"category": category.value, "symbol": symbol, "orderLinkId": order_link_id}
        if qty is not None:
            params["qty"] = plain(qty)
        if trigger_price is not None:
            params["triggerPrice"] = plain(trigger_price)
        try:
            await self._entry.send("amend_order", urgent=True, **params)
        except Refused as refusal:
            if not says_unchanged(refusal):
                raise

    async def cancel_order(self, category: Category, symbol: str, order_link_id: str) -> None:
        """Accepted, not final. Refused with 110001 / 170213 when the order is unknown or already final."""
        params: dict[str, Any] = {"category": category.value, "symbol": symbol, "orderLinkId": order_link_id}
        if category is Category.LINEAR:
            await self._entry.send("cancel_order", urgent=True, **params)
            return
        # Spot keeps conditional orders apart. What rests on spot is a stop: ask there first.
        try:
            await self._entry.send("cancel_order", urgent=True, **params, orderFilter="StopOrder")
        except Refused as refusal:
            if refusal.code not in UNKNOWN_ORDER_CODES:
                raise
            await self._entry.send("cancel_order", urgent=True, **params, orderFilter="Order")

    async def cancel_all(self, category: Category, symbol: str) -> None:
        """Cancel every open order of ``symbol``, conditional ones too."""
        kinds = (None,) if category is Category.LINEAR else ("Order", "StopOrder", "tpslOrder")
        for kind in kinds:
            await self._entry.send(
                "cancel_all_orders", urgent=True, category=category.value, symbol=symbol, orderFilter=kind
            )

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set it for both sides of a linear symbol. Already so (110043) is success."""
        value = plain(leverage)
        try:
            await self._entry.send(
                "set_leverage", category=Category.LINEAR.value, symbol=symbol, buyLeverage=value, sellLeverage=value
            )
        except Refused as refusal:
            if refusal.code != LEVERAGE_UNCHANGED:
                raise

    async def set_stop_loss(self, symbol: str, price: Decimal) -> None:
        """Move the stop loss of a whole linear position. Already there (34040) is success; Refused when it is flat."""
        try:
            await self._entry.send(
                "set_trading_stop",
                urgent=True,
                category=Category.LINEAR.value,
                symbol=symbol,
                tpslMode="Full",
                positionIdx=0,
                stopLoss=plain(price),
                slTriggerBy="LastPrice",
            )
        except Refused as refusal:
            if refusal.code != STOP_UNCHANGED:
                raise


def _order_params(request: OrderRequest) -> dict[str, Any]:
    params: dict[str, Any] = {
        "category": request.category.value,
        "symbol": request.symbol,
        "side": request.side.value,
        "orderType": "Market",
        "qty": plain(request.qty),
        "orderLinkId": request.order_link_id,
    }
    if request.category is Category.SPOT:
        params["marketUnit"] = "baseCoin"
        if request.trigger_price is not None:
            params |= {"orderFilter": "StopOrder", "triggerPrice": plain(request.trigger_price)}
        return params
    params["positionIdx"] = 0
    if request.reduce_only:
        params["reduceOnly"] = True
    if request.trigger_price is not None:
        if request.trigger_rises is None:
            raise Refused("trigger_rises: a linear conditional order needs its direction (not sent)")
        params |= {
            "triggerPrice": plain(request.trigger_price),
            "triggerDirection": 1 if request.trigger_rises else 2,
            "triggerBy": "LastPrice",
        }
    if request.stop_loss is not None:
        params |= {"stopLoss": plain(request.stop_loss), "tpslMode": "Full", "slTriggerBy": "LastPrice"}
    return params

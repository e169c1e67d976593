"""What an order row asks of the exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest

from activities.order_placing import request_of
from db.models import Order
from domain.ids import OrderRole


@pytest.mark.parametrize(("role", "urgent"), [(role, role is not OrderRole.ENTRY) for role in OrderRole])
def test_whatever_protects_or_ends_a_position_is_urgent(role: OrderRole, urgent: bool) -> None:
    order = Order(
        order_link_id=f"P-{role}", role=role, category="linear", symbol="BTCUSDT", side="Sell", qty=Decimal(1)
    )
    order.reduce_only = True
    assert request_of(order).urgent is urgent

"""A request the exchange refuses, with Bybit's code for it. A refused request changes nothing."""

from __future__ import annotations

from domain.market import Category


class Refusal(Exception):
    """``code`` is Bybit's retCode, ``message`` its retMsg."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def params_error(message: str) -> Refusal:
    return Refusal(10001, f"params error: {message}")


def by_category(category: Category, *, spot: tuple[int, str], linear: tuple[int, str]) -> Refusal:
    """The refusal whose code differs between spot and linear."""
    return Refusal(*(spot if category is Category.SPOT else linear))


def duplicate_link_id(category: Category) -> Refusal:
    return by_category(
        category, spot=(170141, "Duplicate clientOrderId."), linear=(110072, "OrderLinkedID is duplicate")
    )


def unknown_order(category: Category) -> Refusal:
    return by_category(
        category,
        spot=(170213, "Order does not exist."),
        linear=(110001, "order not exists or too late to cancel"),
    )


def insufficient_funds(category: Category) -> Refusal:
    return by_category(category, spot=(170131, "Insufficient balance."), linear=(110007, "ab not enough for new order"))

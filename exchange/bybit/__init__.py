"""Bybit v5: the only package that knows pybit. Public: ``BybitExchange``."""

from exchange.bybit.gateway import BybitExchange

__all__ = ["BybitExchange"]

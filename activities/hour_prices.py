"""Prices at a full hour: the close of the 15m candle that closed then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from activities.failures import NOT_YET, failure
from db.repositories.market import find_instrument
from db.repositories.snapshots import close_price
from db.session import Database
from domain.market import Category
from domain.portfolio import Prices
from exchange.protocol import Exchange, Refused

_CANDLE = timedelta(minutes=15)


class HourPrices:
    """Reads prices of one hour: from the stored candles, else from the exchange's, else the last one it knows."""

    def __init__(self, database: Database, exchange: Exchange, hour: datetime) -> None:
        self._database = database
        self._exchange = exchange
        self._open_time = hour - _CANDLE
        self._notes: list[str] = []

    async def read(self, coins: Sequence[str], linear: Sequence[str]) -> tuple[Prices, list[str]]:
        """Prices, and notes on those that are not the hour's own. Raises ``not_yet`` while a candle is forming."""
        of_coins = {coin: price for coin in coins if (price := await self._coin(coin)) is not None}
        of_linear = {symbol: await self._price(Category.LINEAR, symbol) for symbol in linear}
        return Prices(of_coins, of_linear), self._notes

    async def _coin(self, coin: str) -> Decimal | None:
        """Dollars a coin, by the first market that trades it for dollars."""
        for category in Category:
            for symbol in (f"{coin}USDT", f"{coin}USDC"):
                async with self._database.session() as session:
                    listed = await find_instrument(session, category, symbol)
                if listed is not None:
                    try:
                        return await self._price(category, symbol)
                    except Refused as refused:  # delisted since: the coin is still in the wallet
                        self._notes.append(f"{coin}: the exchange no longer prices it ({refused}), counted as nothing")
                        return None
        self._notes.append(f"{coin}: no market prices it, counted as nothing")
        return None

    async def _price(self, category: Category, symbol: str) -> Decimal:
        async with self._database.session() as session:
            stored = await close_price(session, category, symbol, self._open_time)
        if stored is not None:
            return stored
        candles = await self._exchange.candles(category, symbol, "15m", self._open_time, self._open_time)
        if candles and candles[0].confirmed:
            return Decimal(repr(candles[0].close))
        if candles:
            raise failure(NOT_YET, f"the candle of {category} {symbol} that closes at the hour is still forming")
        ticker = await self._exchange.ticker(category, symbol)
        self._notes.append(f"{category} {symbol}: no candle closed at the hour, priced at {ticker.last_price} of later")
        return ticker.last_price

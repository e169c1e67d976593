"""Which market the options ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from exchange.paper.feed import Feed
from exchange.paper.feeds.manual import ManualFeed
from exchange.paper.feeds.shadow import ShadowFeed
from exchange.paper.feeds.synthetic import synthetic_feed
from exchange.paper.instruments import split_symbol, typical_price
from exchange.paper.options import PaperOptions

DEFAULT_START = datetime(2025, 1, 1, tzinfo=UTC)


def build_feed(options: PaperOptions) -> Feed:
    """The market of ``options``: replay, manual, shadow or synthetic.

    Synthetic and manual markets begin at 2025-01-01T00:00Z unless ``start`` says otherwise, so that the same options
    are the same market on any day. Their symbols may carry an opening price (``BTCUSDT=60000``).
    Raises ValueError (CandleFileRefused and ReplayRefused among it) with a sentence for the operator.
    """
    start = (options.start or DEFAULT_START).astimezone(UTC)
    if sum(map(bool, (options.replay, options.manual, options.shadow))) > 1:
        raise ValueError("replay, manual and shadow exclude each other: give one")
    if options.replay:
        from exchange.paper.feeds.replay import replay_feed  # pandas: half of the start-up time, for files only

        return replay_feed(
            options.replay, seed=options.seed, start=options.start, ticks_per_minute=options.ticks_per_minute
        )
    if not options.symbols:
        raise ValueError("symbols: at least one is needed")
    if options.shadow:
        if options.speed != 1 or options.start is not None:
            raise ValueError("a shadow market has the time of the wall: neither speed nor start can be given")
        return ShadowFeed(options.data_dir / "shadow.db", options.shadow, [_plain(text) for text in options.symbols])
    opening = dict(_opening(text) for text in options.symbols)
    if options.manual:
        return ManualFeed(options.data_dir / "manual.db", opening, start)
    return synthetic_feed(opening, seed=options.seed, start=start, ticks_per_minute=options.ticks_per_minute)


def _plain(text: str) -> str:
    if "=" in text:
        raise ValueError(f"symbols: a shadow market has its own prices, give {text} without one")
    return text


def _opening(text: str) -> tuple[str, Decimal]:
    """``BTCUSDT=60000`` or, for a well-known symbol, ``BTCUSDT``."""
    symbol, equals, price = text.partition("=")
    split_symbol(symbol)
    if not equals:
        known = typical_price(symbol)
        if known is None:
            raise ValueError(f"symbols: {symbol} is not well known, give its opening price as {symbol}=PRICE")
        return symbol, known
    try:
        value = Decimal(price)
    except InvalidOperation:
        value = Decimal(0)
    if not (value.is_finite() and value > 0):
        raise ValueError(f"symbols: the opening price of {symbol} is not a number above 0: {price!r}")
    return symbol, value

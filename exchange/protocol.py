"""What ATS needs of an exchange: typed values, a closed set of errors, and the calls.

Numbers are ``Decimal``, times aware UTC in *market* time unless a name says wall. ``exchange/bybit.py`` implements it
over pybit for paper, demo, testnet and live alike; nothing else in the system knows pybit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain.clock import MarketClock
from domain.market import Category, Instrument, PositionSide, Side


class ExchangeError(Exception):
    """Base of the three outcomes of a call that did not succeed. ``code`` is the exchange's retCode, if it gave one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Refused(ExchangeError):
    """The exchange's own definite no: the request had no effect."""


class DuplicateOrder(Refused):
    """Refused because the orderLinkId was used before (110072 linear, 170141 spot): the order exists, query it."""


class InstrumentRefused(Refused):
    """Refused for the symbol's filters, or because it doesn't trade: what is known of the instrument is out of date."""


class RetryLater(ExchangeError):
    """The request definitely had no effect and may be sent again (rate limit, timestamp window)."""


class OutcomeUnknown(ExchangeError):
    """Timeout, broken connection, HTTP 5xx, 10000, 10016, unreadable answer: it may or may not have happened."""


class ExchangeOrderStatus(StrEnum):
    """Order statuses as Bybit reports them."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    PARTIALLY_FILLED_CANCELED = "PartiallyFilledCanceled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    DEACTIVATED = "Deactivated"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class OrderRequest(_Value):
    """A market order, or a conditional market order when ``trigger_price`` is set.

    ``qty`` is base coin always (spot market buys are sent with ``marketUnit=baseCoin``). ``stop_loss`` is the disaster
    stop attached to a linear entry (``tpslMode=Full``). A spot conditional is sent with ``orderFilter=StopOrder``.
    ``not_after`` (wall) is the last instant at which the request may be signed: a process that was frozen in between
    must not send it with a fresh timestamp, when its absence may have been proved already (RetryLater then).
    ``trigger_rises`` says whether the trigger is crossed from below (linear's triggerDirection 1). ``urgent`` orders
    (exits and stops) may use the part of the rate limit that entries leave them, and go before those that wait.
    """

    category: Category
    symbol: str
    side: Side
    qty: Decimal
    order_link_id: str
    trigger_price: Decimal | None = None
    trigger_rises: bool | None = None
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    urgent: bool = False
    not_after: AwareDatetime | None = None


class OrderAck(_Value):
    """Accepted, not final. ``exchange_time`` is the wall time of the exchange's answer (for clock offset)."""

    order_id: str
    order_link_id: str
    exchange_time: AwareDatetime


class OrderReport(_Value):
    """An order as the exchange tells it, from a query or the private stream. ``order_link_id`` is "" if it has none."""

    category: Category
    symbol: str
    order_id: str
    order_link_id: str
    side: Side
    order_type: str
    status: ExchangeOrderStatus
    qty: Decimal
    cum_exec_qty: Decimal
    cum_exec_value: Decimal
    avg_price: Decimal | None
    price: Decimal | None = None
    trigger_price: Decimal | None
    stop_order_type: str
    reduce_only: bool
    reject_reason: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class Execution(_Value):
    """One fill. ``fee`` is positive when paid, in ``fee_coin``. ``order_link_id`` is "" for exchange-made orders."""

    exec_id: str
    order_id: str
    order_link_id: str
    category: Category
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    value: Decimal
    fee: Decimal
    fee_coin: str
    exec_type: str
    stop_order_type: str
    is_maker: bool
    closed_size: Decimal
    executed_at: AwareDatetime


class PositionReport(_Value):
    """A linear position as the exchange tells it; ``side`` is None and ``size`` 0 when flat."""

    category: Category
    symbol: str
    side: PositionSide | None
    size: Decimal
    avg_price: Decimal | None
    mark_price: Decimal | None
    unrealised_pnl: Decimal
    stop_loss: Decimal | None
    leverage: Decimal | None


class CoinBalance(_Value):
    coin: str
    wallet_balance: Decimal
    equity: Decimal
    locked: Decimal
    usd_value: Decimal
    unrealised_pnl: Decimal


class Wallet(_Value):
    """Unified account: ``total_equity`` in USD and the coins behind it."""

    total_equity: Decimal
    coins: tuple[CoinBalance, ...]


class TransactionLogRow(_Value):
    """One change of the wallet; ``change`` is signed, in ``coin``; ``cash_balance`` the coin's balance after it.

    On linear ``size`` is the position's signed size after it; ``side`` and ``qty`` are what was traded (a settlement:
    the position's own). ``fee_rate`` of a settlement is the funding rate, its sign by ``side``.
    """

    transaction_id: str
    category: str
    symbol: str
    type: str
    coin: str
    change: Decimal
    fee: Decimal
    funding: Decimal
    cash_balance: Decimal
    order_link_id: str
    trade_id: str
    at: AwareDatetime
    side: str = ""
    qty: Decimal = Decimal(0)
    size: Decimal = Decimal(0)
    fee_rate: Decimal | None = None


class Ticker(_Value):
    """Prices now; of a perpetual also what it settles next, as a rate of 8 h (above 0: longs pay), and when.

    None where the exchange tells none, on spot always. ``turnover`` is of the last 24 hours in quote coin.
    """

    category: Category
    symbol: str
    last_price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    mark_price: Decimal | None
    funding_rate: Decimal | None = None
    next_funding_at: AwareDatetime | None = None
    turnover: Decimal | None = None
    at: AwareDatetime


class Trade(_Value):
    """A public trade; ``at`` is its time in the market, ``side`` the taker's."""

    category: Category
    symbol: str
    trade_id: str
    price: Decimal
    qty: Decimal
    side: Side
    at: AwareDatetime


class Candle(_Value):
    """A bar named by its open time; usable only when ``confirmed`` (closed). Volume in base, turnover in quote coin."""

    category: Category
    symbol: str
    timeframe: str
    open_time: AwareDatetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    confirmed: bool


class OpenInterest(_Value):
    """Open interest of a linear symbol in base coin, stamped by the exchange."""

    symbol: str
    at: AwareDatetime
    value: float


class LongShortRatio(_Value):
    """Share of the accounts with a position in a linear symbol that are long (0 to 1), stamped by the exchange."""

    symbol: str
    at: AwareDatetime
    long_share: float


class FundingRate(_Value):
    """A settlement of a perpetual's funding: ``rate`` is a fraction of the position, above 0 longs paid shorts."""

    symbol: str
    at: AwareDatetime
    rate: float


class BookTop(_Value):
    """Order book of a few levels: (price, qty) best first."""

    category: Category
    symbol: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    at: AwareDatetime


class StreamGap(_Value):
    """A stream was broken and is back: whatever happened between the wall times must be fetched by REST."""

    stream: str
    lost_at: AwareDatetime
    back_at: AwareDatetime


class StreamFreshness(_Value):
    """How a stream stands now; ages are wall time, None: not yet.

    ``age_seconds`` is since it was last known to be whole: its socket told anything, pongs included, while the exchange
    served it; for a ticker that normally speaks all the time, itself. ``last_message_age_seconds`` is since it told
    something of its own, which a quiet symbol may not do for long.
    """

    stream: str
    connected: bool
    age_seconds: float | None
    last_message_age_seconds: float | None = None
    reconnects: int


class KeyRights(_Value):
    """What the API key may do."""

    read_only: bool
    trades_spot: bool
    trades_linear: bool
    withdraws: bool
    expires_at: AwareDatetime | None = None
    ip_bound: bool = False


class ClockOffset(_Value):
    """The exchange's protocol clock against ours, from the middle of a round trip: above 0 when it is ahead."""

    offset_ms: float
    measured_at: AwareDatetime


class RateUsage(_Value):
    """One endpoint class of the gateway: requests a second, how many may go at once now, how many wait for their turn,
    and how often the exchange itself refused one for its limit (10006)."""

    name: str
    per_second: float
    available: float
    waiting: int
    refused: int


class Subscription(Protocol):
    """A live subscription. ``close`` ends it; the socket goes when its last subscription does."""

    def close(self) -> None: ...
    async def wait_live(self, timeout: float | None = None) -> bool:
        """Wait until the exchange acknowledged the subscription, so that nothing after it can be missed unnoticed.

        False when ``timeout`` (wall seconds) passes first. The first acknowledgement is no gap: catch up after it.
        """
        ...


class PrivateHandlers(BaseModel):
    """Callbacks of the private stream, all called on the event loop, in order, and never concurrently."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    on_orders: Callable[[Sequence[OrderReport]], None]
    on_executions: Callable[[Sequence[Execution]], None]
    on_positions: Callable[[Sequence[PositionReport]], None]
    on_wallet: Callable[[Wallet], None]
    on_gap: Callable[[StreamGap], None]


class Exchange(Protocol):
    """The calls. Every coroutine may raise Refused, RetryLater or OutcomeUnknown; queries return fresh values.

    Stream callbacks run on the event loop that made the subscription. After a reconnect ``on_gap`` is called once,
    before the first message that follows it, so that the subscriber can catch up by REST.
    """

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    # market
    async def market_clock(self) -> MarketClock: ...
    async def advance_clock(self, to: datetime | None = None) -> MarketClock:
        """Let a market that stands still in step mode come to ``to``: by default, and at most, the next quarter hour.

        The reading after it, when all up to there has happened. To where it stands already is no step: given ``to``,
        the call may be repeated. Refused where time passes by itself, for an instant it can't go to, and at the
        market's end.
        """
        ...

    async def server_time(self) -> datetime: ...
    async def instruments(self, category: Category, symbol: str | None = None) -> list[Instrument]: ...
    async def ticker(self, category: Category, symbol: str) -> Ticker: ...
    async def tickers(self, category: Category) -> list[Ticker]:
        """Of every symbol of the category, in one call."""
        ...

    async def order_book(self, category: Category, symbol: str, depth: int = 1) -> BookTop: ...
    async def recent_trades(self, category: Category, symbol: str) -> list[Trade]:
        """The newest public trades the exchange still tells (60 spot, 1000 linear), oldest first."""
        ...

    async def candles(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime
    ) -> list[Candle]:
        """Candles with open time in [start, end], oldest first, paged as needed. Timeframes 1m 15m 1h 4h 1d 1w."""
        ...

    async def open_interest(self, symbol: str, timeframe: str, start: datetime, end: datetime) -> list[OpenInterest]:
        """Open interest of a linear symbol stamped in [start, end], oldest first, paged as needed.

        Timeframes 15m 1h 4h 1d. Empty where the exchange has none.
        """
        ...

    async def long_short_ratio(
        self, symbol: str, timeframe: str, start: datetime, end: datetime
    ) -> list[LongShortRatio]:
        """Shares of accounts of a linear symbol stamped in [start, end], as ``open_interest``."""
        ...

    async def funding_rates(self, symbol: str, start: datetime, end: datetime) -> list[FundingRate]:
        """Settlements of a perpetual in [start, end], oldest first, paged as needed. How far apart they are varies."""
        ...

    # orders
    async def place_order(self, request: OrderRequest) -> OrderAck: ...
    async def amend_order(
        self,
        category: Category,
        symbol: str,
        order_link_id: str,
        *,
        qty: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Change a resting order. Refused with 110001 / 170213 when it is unknown or final; already so is success."""
        ...

    async def cancel_order(self, category: Category, symbol: str, order_link_id: str) -> None: ...
    async def cancel_all(self, category: Category, symbol: str) -> None: ...
    async def find_order(self, category: Category, symbol: str, order_link_id: str) -> OrderReport | None:
        """Realtime, then history. None means: not found in either (which alone proves nothing)."""
        ...

    async def open_orders(self, category: Category, symbol: str | None = None) -> list[OrderReport]: ...
    async def executions(
        self,
        category: Category,
        *,
        symbol: str | None = None,
        order_link_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Execution]:
        """All matching executions, oldest first, every page. Windows over seven days are split."""
        ...

    # account
    async def positions(
        self, category: Category = Category.LINEAR, symbol: str | None = None
    ) -> list[PositionReport]: ...
    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Idempotent: 110043 (unchanged) is success."""
        ...

    async def set_stop_loss(self, symbol: str, price: Decimal) -> None:
        """Move the stop loss of a whole linear position; already there (34040) is success. Refused when it is flat."""
        ...

    async def key_rights(self) -> KeyRights: ...
    async def wallet(self) -> Wallet: ...
    async def transaction_log(self, since: datetime | None = None) -> list[TransactionLogRow]: ...

    # streams
    def subscribe_trades(
        self,
        category: Category,
        symbol: str,
        on_trades: Callable[[Sequence[Trade]], None],
        on_gap: Callable[[StreamGap], None],
    ) -> Subscription: ...
    def subscribe_tickers(
        self,
        category: Category,
        symbol: str,
        on_ticker: Callable[[Ticker], None],
        on_gap: Callable[[StreamGap], None],
    ) -> Subscription: ...
    def subscribe_candles(
        self,
        category: Category,
        symbol: str,
        timeframe: str,
        on_candle: Callable[[Candle], None],
        on_gap: Callable[[StreamGap], None],
    ) -> Subscription: ...
    def subscribe_private(self, handlers: PrivateHandlers) -> Subscription: ...
    def freshness(self) -> list[StreamFreshness]: ...

    # how we stand with it
    @property
    def mode(self) -> Mode: ...
    def clock_offset(self) -> ClockOffset | None:
        """As last measured (about once a minute); None before the first measurement."""
        ...

    def rate_usage(self) -> list[RateUsage]: ...
    @property
    def order_entry(self) -> Literal["rest", "websocket"]:
        """How orders go out now."""
        ...


Mode = Literal["paper", "demo", "testnet", "live"]

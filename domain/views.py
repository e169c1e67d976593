"""Wire models of the API, shared by server and client.

Decimals travel as plain strings (never exponents), instants as aware UTC. Prices are in quote coin, quantities in base
coin, percentages in percent. Times named ``*_at`` are market time unless a name says wall; ages are wall seconds.
Unknown fields of an answer are ignored, so that an older client reads a newer server; of a request they are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide


def _utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before or after all that can be told in UTC") from None


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold the character NUL")
    return text


Plain = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json")]
Instant = Annotated[AwareDatetime, AfterValidator(_utc)]
Reason = Annotated[str, Field(min_length=3, max_length=500), AfterValidator(_storable)]
Item = TypeVar("Item")


class Answer(BaseModel):
    """Something the API tells."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(BaseModel):
    """Something the API is asked; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Page(Answer, Generic[Item]):
    """One page of a list, newest first. ``next_cursor`` goes into ``cursor`` for the next one; None: the end."""

    items: list[Item]
    next_cursor: str | None = None


class FieldFault(Answer):
    """One field of a request that broke one rule."""

    field: str
    rule: str


class Problem(Answer):
    """An error as ``application/problem+json`` (RFC 9457). ``type`` is stable and ``fields`` names what to mend."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    trace_id: str | None = None
    fields: list[FieldFault] = []


class PriceView(Answer):
    """A live price. ``at`` is its market time, ``age_seconds`` the wall seconds since the stream last wrote it."""

    category: Category
    symbol: str
    last_price: Plain
    bid: Plain | None
    ask: Plain | None
    at: Instant
    age_seconds: float


class ProtectionView(Answer):
    """Who watches over a position: a live guard, a stop resting at the exchange, or both.

    ``unprotected_seconds`` counts wall time with neither, ``unwatched_seconds`` wall time without a live guard; both
    are measured when the position ends (None until then).
    """

    guard_live: bool
    guard_age_seconds: float | None
    resting_stop: bool
    resting_stop_price: Plain | None
    unprotected_seconds: float | None
    unwatched_seconds: float | None


WatchState = Literal["watching", "stale", "none"]


class RatchetView(Answer):
    """How far the trailing exits have moved: best price seen since entry, the stop it gives, whether profit trails."""

    best_price: Plain
    stop_price: Plain | None
    armed: bool
    at: Instant


class PositionView(Answer):
    """One position. Money is in quote coin. ``qty`` is what it still holds, ``planned_qty`` what was reserved for it.

    ``net_pnl`` is what it brought so far: ``gross_pnl`` of what was closed, less all ``fees`` paid, plus ``funding``
    (below 0: paid). ``realised_pnl`` is net of the fees of what was closed, without funding; ``unrealised_pnl`` is what
    is held, at the live price against entry, before fees (None where unknown). ``take_profit_price`` and ``stop_price``
    are the prices at which the guard would exit now (None: no such target). ``age_seconds`` is wall time since entry,
    or since the request before it, until the close.

    ``watch``: whether its guard is ``watching``, knows that its prices are ``stale`` (then only the stop at the
    exchange protects), or there is ``none``. ``price_age_seconds`` is wall time since the guard's price stream was last
    whole.

    It and its orders were decided by ``config_version`` of its strategy (None: a trade by hand) and under
    ``settings_version`` of the system's settings.
    """

    id: str
    strategy: str
    category: Category
    symbol: str
    side: PositionSide
    state: str
    qty: Plain
    planned_qty: Plain
    reference_price: Plain
    entry_qty: Plain | None
    entry_price: Plain | None
    exit_price: Plain | None
    price: PriceView | None
    value: Plain | None
    unrealised_pnl: Plain | None
    unrealised_percent: Plain | None
    realised_pnl: Plain
    gross_pnl: Plain
    fees: Plain
    funding: Plain
    net_pnl: Plain
    targets_version: int
    acknowledged_version: int
    policy: ExitPolicy
    take_profit_price: Plain | None
    stop_price: Plain | None
    ratchet: RatchetView | None
    protection: ProtectionView | None
    watch: WatchState = "none"
    price_age_seconds: float | None = None
    exit_reason: str | None
    requested_by: str
    reason: str
    reserved_at: Instant
    opened_at: Instant | None
    closed_at: Instant | None
    age_seconds: float
    trace_id: str
    config_version: int | None
    settings_version: int


class TargetsView(Answer):
    """One version of a position's exit policy, and who wrote it why."""

    version: int
    policy: ExitPolicy
    reason: str
    set_by: str
    wall_at: Instant


class EvaluationView(Answer):
    """One step of a guard as it wrote it down. ``kind`` is start, ratchet, trigger or takeover."""

    kind: str
    at: Instant
    price: Plain
    best_price: Plain | None
    stop_price: Plain | None
    armed: bool
    reason: str | None
    guard_epoch: int
    targets_version: int


class OrderView(Answer):
    """One order of ours and where it stands by the exchange's evidence. Its times are wall times.

    ``role`` is entry, exit or stop; ``stop_loss`` the disaster stop attached to a linear entry. ``config_version`` is
    that of the strategy's configuration it was decided by (None: by hand), ``settings_version`` that of the settings.
    """

    order_link_id: str
    position_id: str
    role: str
    category: Category
    symbol: str
    side: str
    state: str
    qty: Plain
    filled_qty: Plain
    average_price: Plain | None
    trigger_price: Plain | None
    stop_loss: Plain | None
    exchange_order_id: str | None
    exit_reason: str | None
    config_version: int | None = None
    settings_version: int | None = None
    error: str | None
    created_at: Instant
    sent_at: Instant | None
    final_at: Instant | None
    trace_id: str


class ExecutionView(Answer):
    """One fill, ours or not. ``fee`` is positive when paid, in ``fee_coin``; ``position_id`` None: booked to none."""

    exec_id: str
    order_link_id: str
    position_id: str | None
    category: Category
    symbol: str
    side: str
    qty: Plain
    price: Plain
    value: Plain
    fee: Plain
    fee_coin: str
    is_maker: bool
    executed_at: Instant


class LotView(Answer):
    """What one entry execution put into a position and what is left of it."""

    exec_id: str
    qty: Plain
    qty_left: Plain
    price: Plain
    fee: Plain
    opened_at: Instant


class MatchView(Answer):
    """A piece of a lot closed by an execution, in quote coin; ``net`` = ``gross`` less the fees of both ends."""

    open_exec_id: str
    close_exec_id: str
    qty: Plain
    gross: Plain
    open_fee: Plain
    close_fee: Plain
    net: Plain
    matched_at: Instant


class FundingView(Answer):
    """Funding of one settlement, in quote coin: ``amount`` is the position's part of ``paid``, which is what the
    account got for all it held of the symbol (below 0: paid). ``rate`` a fraction, ``size`` signed."""

    at: Instant
    amount: Plain
    paid: Plain
    size: Plain
    rate: Plain | None


class PositionDetail(PositionView):
    """A position with everything that happened to it, each list oldest first."""

    targets: list[TargetsView]
    evaluations: list[EvaluationView]
    orders: list[OrderView]
    executions: list[ExecutionView]
    lots: list[LotView]
    matches: list[MatchView]
    funding_payments: list[FundingView] = []


class EventView(Answer):
    """One line of the audit log: who did what, why, under which trace."""

    id: int
    wall_at: Instant
    market_at: Instant | None
    kind: str
    severity: str
    subject: str
    who: str
    detail: dict[str, Any]
    trace_id: str


class BalanceView(Answer):
    """One coin of the unified account. ``usd_value`` is the exchange's own valuation."""

    coin: str
    wallet_balance: Plain
    equity: Plain
    locked: Plain
    usd_value: Plain
    unrealised_pnl: Plain


class AccountView(Answer):
    """The unified account as the exchange last told it, with our open positions at live prices (USD).

    ``equity`` is None until the exchange has told a balance. ``age_seconds`` is the age of the balances.
    """

    equity: Plain | None
    age_seconds: float | None
    balances: list[BalanceView]
    positions_value: Plain
    unrealised_pnl: Plain
    open_positions: int
    unpriced_symbols: list[str]
    oldest_price_age_seconds: float | None


class ComponentView(Answer):
    """One thing readiness depends on. ``detail`` says what is wrong and what to do, or how it stands."""

    name: str
    ok: bool
    detail: str
    age_seconds: float | None = None


class HealthView(Answer):
    status: Literal["ok"] = "ok"


class ReadinessView(Answer):
    ready: bool
    components: list[ComponentView]


class StreamView(Answer):
    """One stream from the exchange: wall seconds since it was last known to be whole, and since that was written."""

    name: str
    process: str
    connected: bool
    age_seconds: float | None
    reconnects: int
    updated_seconds: float


class LinkView(Answer):
    """How a process stands with the exchange: how its orders go out (``rest`` or ``websocket``), and the exchange's
    clock against its own (above 0: ahead), as measured so many wall seconds ago."""

    process: str
    order_entry: str
    clock_offset_ms: float | None
    clock_age_seconds: float | None


class RateView(Answer):
    """One class of requests of a process: how many a second, how many may go now, how many wait, and how often the
    exchange itself refused one for its limit."""

    name: str
    process: str
    per_second: float
    available: float
    waiting: int
    refused: int


class StatusView(Answer):
    """What runs and how fresh it is. ``workers`` are the processes polling the task queues now."""

    ready: bool
    mode: str
    links: list[LinkView] = []
    rates: list[RateView] = []
    components: list[ComponentView]
    streams: list[StreamView]
    workers: list[ComponentView]
    open_positions: int
    temporal_ui: str | None


class InstrumentView(Answer):
    """What can be traded, and the least of it: in base coin and as an amount in quote coin."""

    category: Category
    symbol: str
    base_coin: str
    quote_coin: str
    tick_size: Plain
    qty_step: Plain
    min_order_qty: Plain
    min_order_amount: Plain
    tradable: bool


class TradeDefaults(Answer):
    """What a trade by hand uses when it names none: the exit policy in force now."""

    exit_policy: ExitPolicy


class TradeRequest(Request):
    """A trade by hand. Buy opens a long position (spot unless told otherwise), sell a short one (linear).

    Exactly one of ``usd`` (quote amount) and ``qty`` (base coin). Without ``exit_policy`` the system's default is used.
    """

    side: Literal["buy", "sell"]
    category: Category | None = None
    symbol: str = Field(pattern=r"^[A-Z0-9]{2,30}$")
    usd: Plain | None = Field(default=None, gt=0, max_digits=24, decimal_places=8)
    qty: Plain | None = Field(default=None, gt=0, max_digits=36, decimal_places=18)
    exit_policy: ExitPolicy | None = None
    reason: Reason
    strategy: str = Field(default="manual", pattern=r"^[a-z0-9_]{1,40}$")

    @model_validator(mode="after")
    def _one_size(self) -> TradeRequest:
        if (self.usd is None) == (self.qty is None):
            raise ValueError("give exactly one of usd and qty")
        return self

    @property
    def market(self) -> Category:
        return self.category or (Category.SPOT if self.side == "buy" else Category.LINEAR)

    @property
    def position_side(self) -> PositionSide:
        return PositionSide.LONG if self.side == "buy" else PositionSide.SHORT


class TradeAccepted(Answer):
    """The trade is under way. ``state`` is the position's state when the answer was made, ``link`` where to look."""

    position_id: str
    state: str
    link: str


class CloseRequest(Request):
    """Close a position at market. With ``expected_qty`` it is refused (409) if the open quantity is another by now."""

    reason: Reason
    expected_qty: Plain | None = None


class CloseAccepted(Answer):
    position_id: str
    state: str
    order_link_id: str | None


class TargetsRequest(Request):
    """A new exit policy for a position, given the targets version it was decided on (409 if it moved)."""

    policy: ExitPolicy
    expected_version: int = Field(ge=0)
    reason: Reason


class TargetsAccepted(Answer):
    """``acknowledged``: the guard watches by the new version already, else it will within its next poll."""

    position_id: str
    version: int
    acknowledged: bool


def age_seconds(since: datetime | None, now: datetime) -> float | None:
    """Seconds from ``since`` to ``now``, never negative; None stays None."""
    return None if since is None else max((now - since).total_seconds(), 0.0)

"""What a system setting may be: one type a key. Values are JSON; amounts and percentages are strings in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, TypeAdapter, ValidationError

from domain.exit_policy import ExitPolicy
from domain.faults import BadValue

TRADING_HALTED: Final = "trading_halted"

_Usd = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=24, decimal_places=8)]
_Percent = Annotated[Decimal, Field(gt=0, lt=100, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
_Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,30}$")]


def _distinct(symbols: list[str]) -> list[str]:
    if len(set(symbols)) < len(symbols):
        raise ValueError("names a symbol twice")
    return symbols


_TYPES: Final[dict[str, TypeAdapter[Any]]] = {
    TRADING_HALTED: TypeAdapter(StrictBool),
    "max_open_positions": TypeAdapter(Annotated[int, Field(ge=0, le=10_000)]),
    "symbol_exposure_usd": TypeAdapter(_Usd),
    "daily_loss_limit_usd": TypeAdapter(_Usd),
    "max_clock_offset_ms": TypeAdapter(Annotated[float, Field(gt=0, le=60_000, allow_inf_nan=False)]),
    "stale_price_seconds": TypeAdapter(_Seconds),
    "scan_grace_seconds": TypeAdapter(Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]),
    "manual_exit_policy": TypeAdapter(ExitPolicy),
    "disaster_buffer_pct": TypeAdapter(_Percent),
    "entry_ttl_seconds": TypeAdapter(Annotated[int, Field(gt=0, le=3_600)]),
    "universe": TypeAdapter(Annotated[list[_Symbol], Field(max_length=1_000), AfterValidator(_distinct)]),
    "require_backtest": TypeAdapter(Literal["always", "live", "never"]),
    "watchlist_size": TypeAdapter(Annotated[int, Field(ge=1, le=200)]),
    "universe_exclude": TypeAdapter(Annotated[list[_Symbol], Field(max_length=1_000), AfterValidator(_distinct)]),
    "universe_include": TypeAdapter(Annotated[list[_Symbol], Field(max_length=1_000), AfterValidator(_distinct)]),
    "universe_size": TypeAdapter(Annotated[int, Field(ge=1, le=1_000)]),
    "universe_min_turnover_usd": TypeAdapter(Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]),
    "universe_min_age_days": TypeAdapter(Annotated[int, Field(ge=0, le=3_650)]),
    "universe_max_spread_bps": TypeAdapter(Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]),
    "linear_leverage": TypeAdapter(Annotated[Decimal, Field(ge=1, le=10, decimal_places=2)]),
}


def checked_setting(key: str, value: Any) -> Any:
    """``value`` as ``key`` stores it. Raises BadValue naming the field and the rule, also for a key nobody reads."""
    kind = _TYPES.get(key)
    if kind is None:
        raise BadValue("key", f"there is no setting {key}; there are {', '.join(sorted(_TYPES))}")
    if isinstance(value, bool) and key != TRADING_HALTED:
        raise BadValue("value", "is a number, a text or a document here, not true or false")
    try:
        return _json(kind.dump_python(kind.validate_python(value), mode="json", exclude_defaults=True))
    except ValidationError as error:
        raise BadValue.first_of(error, "value") from None


def _json(value: Any) -> Any:
    """Whole numbers without a decimal point, as people write them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

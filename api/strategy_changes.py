"""Changes of strategies' configurations: one or several in one transaction, made as a whole or refused and audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy.ext.asyncio import AsyncSession

from api.changes import audit_refusal, bad_value, moved
from api.keys import Caller
from api.presenting_strategies import strategy_view
from api.problems import not_found
from api.services import Services
from db.deciding import StrategyFigures, strategy_figures
from db.models import StrategyConfiguration
from db.repositories.audit import record_event
from db.repositories.strategies import ConfigMoved, change_config, find_config
from domain.config_change import changed_config
from domain.faults import BadValue
from domain.strategy_config import StrategyConfig
from domain.strategy_views import BulkRequest, StrategyFields, StrategyView

_CHANGEABLE = StrategyFields.model_fields.keys() | {"watchlist_gate", "buy_gate", "sell_gate"}
_NULLABLE = frozenset({"max_funding_cost_pct"})
"""Fields that null says something about; null for any other leaves it as it is."""
_BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Change:
    """New values of one strategy, decided on version ``seen`` (None: on whatever it is now)."""

    strategy: str
    seen: int | None
    fields: Mapping[str, Any]


def given(request: StrategyFields) -> dict[str, Any]:
    """The fields that the request names."""
    named = request.model_fields_set & _CHANGEABLE
    values = {field: getattr(request, field) for field in sorted(named)}
    return {field: value for field, value in values.items() if value is not None or field in _NULLABLE}


async def change_one(services: Services, caller: Caller, change: Change, reason: str) -> StrategyView:
    """Make the change, or refuse it; either leaves an audit event. What changes nothing makes no version."""
    try:
        async with services.database.session(actor=caller.who, reason=reason) as session:
            await _make(session, caller, change, reason)
            return await view_of(session, change.strategy)
    except ConfigMoved as error:
        refusal = moved("strategy", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    await audit_refusal(
        services,
        caller,
        "strategy_change_refused",
        change.strategy,
        refusal,
        change.fields,
        reason,
        change.seen,
    )
    raise refusal


async def change_all(services: Services, caller: Caller, request: BulkRequest) -> list[StrategyView]:
    """Make every change of the request in one transaction, or none of them."""
    changes = [Change(each.strategy, each.seen_version, given(each.fields)) for each in request.changes]
    try:
        async with services.database.session(actor=caller.who, reason=request.reason) as session:
            await _make_all(session, caller, changes, request.reason)
            return [await view_of(session, change.strategy) for change in changes]
    except ConfigMoved as error:
        refusal = moved("strategy", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    asked = {change.strategy: change.fields for change in changes}
    await audit_refusal(services, caller, "strategy_change_refused", _BULK, refusal, asked, request.reason, None)
    raise refusal


async def _make_all(session: AsyncSession, caller: Caller, changes: Sequence[Change], reason: str) -> None:
    """In the order of names, so that two bulk edits never wait for each other's rows."""
    for place, change in sorted(enumerate(changes), key=lambda each: each[1].strategy):
        try:
            await _make(session, caller, change, reason)
        except BadValue as error:
            raise BadValue(f"changes.{place}.fields.{error.field}", f"{change.strategy}: {error.rule}") from None


async def _make(session: AsyncSession, caller: Caller, change: Change, reason: str) -> None:
    before = await find_config(session, change.strategy, lock=True)
    if before is None:
        raise not_found("strategy", change.strategy)
    if change.seen is not None and change.seen != before.version:
        raise ConfigMoved(change.strategy, change.seen, before.version)
    if not change.fields:
        raise BadValue("(body)", "names no new value")
    wanted = changed_config(before, change.fields)
    new = {field: getattr(wanted, field) for field in change.fields if getattr(wanted, field) != getattr(before, field)}
    if new:
        await _store(session, caller, before, new, reason)


async def _store(
    session: AsyncSession, caller: Caller, before: StrategyConfig, new: dict[str, Any], reason: str
) -> None:
    after = await change_config(session, before.strategy, before.version, **new)
    old = {field: getattr(before, field) for field in new}
    versions = [before.version, after.version]
    detail = to_jsonable_python({"from": old, "to": new, "reason": reason, "versions": versions})
    record_event(session, "strategy_changed", before.strategy, who=caller.who, severity=_severity(new), detail=detail)


def _severity(new: dict[str, Any]) -> str:
    """A closed sell gate leaves open positions to their guards and stops: worth a look."""
    return "warning" if new.get("sell_gate") is False else "info"


async def view_of(session: AsyncSession, name: str) -> StrategyView:
    """The strategy as it is now. Raises ApiError 404."""
    row = await session.get(StrategyConfiguration, name, populate_existing=True)
    if row is None:
        raise not_found("strategy", name)
    figures = await strategy_figures(session)
    return strategy_view(row, figures.get(name, StrategyFigures()))

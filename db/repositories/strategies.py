"""Configurations of strategies: seeded once, read as they are or were at any instant, changed under optimistic lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import StrategyConfiguration, StrategyConfigurationHistory, SystemEvent
from db.repositories.audit import record_event
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig, check, default_config, seeded_active

UNREADABLE = "strategy_unreadable"
_AMOUNTS = ("trade_usd", "max_funding_cost_pct")
_FIELDS = tuple(name for name in StrategyConfig.model_fields if name != "version")


class ConfigMoved(Exception):
    """The configuration was changed since the version the caller saw. ``current`` is its version now."""

    def __init__(self, strategy: str, seen: int, current: int) -> None:
        super().__init__(f"{strategy} is at version {current}, not {seen}: read it again")
        self.current = current


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """One version of a configuration: the whole row (amounts as text) and when, by whom and why it was in force."""

    id: int
    strategy: str
    version: int
    row: dict[str, Any]
    valid_from: datetime
    valid_to: datetime | None
    changed_by: str
    reason: str


async def seed_strategies(session: AsyncSession, mode: str) -> list[str]:
    """Insert the default configuration of every strategy that has none, and name those; what is there stays.

    In paper mode some are active (``seeded_active``) and the others watch only; in every other mode all buy gates are
    off until somebody opens them.
    """
    defaults = [default_config(strategy, active=seeded_active(name, mode)) for name, strategy in STRATEGIES.items()]
    seeded = await session.scalars(
        insert(StrategyConfiguration)
        .values([_columns(config) for config in defaults])
        .on_conflict_do_nothing(index_elements=["strategy"])
        .returning(StrategyConfiguration.strategy)
    )
    return sorted(seeded.all())


async def current_configs(session: AsyncSession) -> list[StrategyConfig]:
    """Every configuration as it is now, by name; one that a hand made unreadable, or at odds with its strategy, is left
    out, told once a version."""
    rows = await session.scalars(
        select(StrategyConfiguration).order_by(StrategyConfiguration.strategy).execution_options(populate_existing=True)
    )
    configs = []
    for row in rows:
        try:
            configs.append(check(config_of(row)))
        except ValueError as error:
            await tell_unreadable(session, row.strategy, row.version, str(error))
    return configs


async def tell_unreadable(session: AsyncSession, strategy: str, version: int, error: str) -> None:
    """Page, once a version, that a strategy is left out because its configuration makes no sense."""
    subject = f"{strategy} v{version}"
    known = select(SystemEvent.id).where(SystemEvent.kind == UNREADABLE, SystemEvent.subject == subject)
    if await session.scalar(known.limit(1)) is None:
        record_event(session, UNREADABLE, subject, who="configuration", severity="page", detail={"error": error})


async def find_config(session: AsyncSession, strategy: str, *, lock: bool = False) -> StrategyConfig | None:
    """A strategy's configuration; ``lock``: nobody else changes it until the transaction ends."""
    row = await session.get(StrategyConfiguration, strategy, with_for_update=lock or None, populate_existing=True)
    return config_of(row) if row is not None else None


async def change_config(session: AsyncSession, strategy: str, seen_version: int, **fields: Any) -> StrategyConfig:
    """Set ``fields`` and return the configuration with its new version; the trigger writes the history.

    ``fields`` are StrategyConfig's own, checked (see ``domain.config_change``). Raises ConfigMoved unless the version
    is still ``seen_version``, LookupError for a strategy without a row.
    """
    columns = {name: value for name, value in _json(fields).items() if name in _FIELDS}
    if unknown := fields.keys() - columns.keys():
        raise TypeError(f"not fields of a configuration: {', '.join(sorted(unknown))}")
    row = await session.scalar(
        update(StrategyConfiguration)
        .where(StrategyConfiguration.strategy == strategy, StrategyConfiguration.version == seen_version)
        .values(columns)
        .returning(StrategyConfiguration)
        .execution_options(populate_existing=True)
    )
    if row is not None:
        return config_of(row)
    current = await session.scalar(
        select(StrategyConfiguration.version).where(StrategyConfiguration.strategy == strategy)
    )
    if current is None:
        raise LookupError(f"no strategy {strategy}")
    raise ConfigMoved(strategy, seen_version, current)


async def config_history(
    session: AsyncSession,
    strategy: str,
    as_of: datetime | None = None,
    *,
    before: int | None = None,
    after: int | None = None,
    version: int | None = None,
    limit: int = 1_000,
) -> list[ConfigVersion]:
    """Versions, newest first (rows with an id under ``before`` and over ``after``).

    With ``as_of`` (wall) the one in force then, with ``version`` those of that number.
    """
    history = StrategyConfigurationHistory
    query = (
        select(
            history.id,
            history.strategy,
            history.version,
            _exact(history.row).label("row"),
            history.valid_from,
            history.valid_to,
            history.changed_by,
            history.reason,
        )
        .where(history.strategy == strategy)
        .order_by(history.id.desc())
        .limit(limit)
    )
    if as_of is not None:
        query = query.where(history.valid_from <= as_of, or_(history.valid_to.is_(None), history.valid_to > as_of))
    if before is not None:
        query = query.where(history.id < before)
    if after is not None:
        query = query.where(history.id > after)
    if version is not None:
        query = query.where(history.version == version)
    return [ConfigVersion(*each) for each in await session.execute(query)]


def _exact(row: Any) -> Any:
    """The row with its amounts as text: jsonb holds them as numbers, which would be read as floats."""
    for name in _AMOUNTS:
        text = func.coalesce(func.to_jsonb(row[name].astext), literal_column("'null'::jsonb"))
        path = literal_column(f"'{{{name}}}'")
        row = func.jsonb_set(row, path, text, literal_column("false"), type_=StrategyConfigurationHistory.row.type)
    return row


def config_of(row: StrategyConfiguration) -> StrategyConfig:
    """A row as a value. Raises pydantic.ValidationError for a row made by hand that is none."""
    return StrategyConfig.model_validate({name: getattr(row, name) for name in (*_FIELDS, "version")})


def _columns(config: StrategyConfig) -> dict[str, Any]:
    return _json({name: getattr(config, name) for name in _FIELDS})


def _json(fields: dict[str, Any]) -> dict[str, Any]:
    """The values as the columns take them."""
    told = dict(fields)
    if (policy := fields.get("exit_policy")) is not None:
        told["exit_policy"] = policy.model_dump(mode="json")
    if (regimes := fields.get("regimes")) is not None:
        told["regimes"] = [str(regime) for regime in regimes]
    return told

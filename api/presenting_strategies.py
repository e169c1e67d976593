"""Strategies, what can be set of them and what changed, as the API tells them."""

from __future__ import annotations

from collections.abc import Sequence

from db.deciding import StrategyFigures
from db.models import StrategyConfiguration
from db.repositories.strategies import ConfigVersion, config_of
from domain.config_diff import differences
from domain.parameters import parameter_schema, parameters_of
from domain.stage import stage_of
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig
from domain.strategy_views import (
    FieldChange,
    ParametersView,
    ParameterView,
    StrategyDiffView,
    StrategyVersionView,
    StrategyView,
    VersionStep,
)


def strategy_view(row: StrategyConfiguration, figures: StrategyFigures) -> StrategyView:
    config = config_of(row)
    known = STRATEGIES.get(config.strategy)
    return StrategyView(
        **{name: getattr(config, name) for name in StrategyConfig.model_fields},
        title=known.title if known is not None else config.strategy,
        stage=stage_of(watchlist_gate=config.watchlist_gate, buy_gate=config.buy_gate, sell_gate=config.sell_gate),
        updated_at=row.updated_at,
        open_positions=figures.open_positions,
        signals_24h=figures.signals_24h,
        realised_pnl=figures.realised_pnl,
    )


def strategy_version_view(version: ConfigVersion) -> StrategyVersionView:
    return StrategyVersionView.model_validate(version, from_attributes=True)


def parameters_view(config: StrategyConfig) -> ParametersView:
    """Raises UnknownStrategy for a configuration whose strategy is gone."""
    known = parameters_of(config.strategy)
    return ParametersView(
        strategy=config.strategy,
        version=config.version,
        parameters=[
            ParameterView(
                name=each.name,
                value=config.parameters.get(each.name, each.default),
                default=each.default,
                bounds=each.bounds,
            )
            for each in known
        ],
        json_schema=parameter_schema(config.strategy),
    )


def diff_view(earlier: ConfigVersion, later: ConfigVersion, between: Sequence[ConfigVersion]) -> StrategyDiffView:
    """``between`` are the versions that came after the one and up to the other, oldest first."""
    return StrategyDiffView(
        strategy=later.strategy,
        from_version=earlier.version,
        to_version=later.version,
        changes=[
            FieldChange(field=each.field, was=each.was, now=each.now) for each in differences(earlier.row, later.row)
        ],
        steps=[
            VersionStep(version=each.version, changed_by=each.changed_by, reason=each.reason, at=each.valid_from)
            for each in between
        ],
    )

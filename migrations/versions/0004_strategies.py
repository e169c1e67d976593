"""strategies: regime, watchlist history, inputs of decisions, microstructure, universe, funding payments

Revision 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SETTINGS = [
    {
        "key": "require_backtest",
        "value": "live",
        "description": "entries need a completed backtest of the strategy's version: always, live (mode) or never",
    },
    {"key": "watchlist_size", "value": 20, "description": "places on the watchlist of each side"},
    {"key": "universe_exclude", "value": [], "description": "symbols that are never traded, whatever else says so"},
    {"key": "universe_include", "value": [], "description": "symbols that are traded without being chosen"},
    {"key": "universe_size", "value": 200, "description": "most symbols of each market, largest turnover first"},
    {
        "key": "universe_min_turnover_usd",
        "value": "0",
        "description": "least turnover of 24 hours for a symbol to be chosen",
    },
    {"key": "universe_min_age_days", "value": 0, "description": "least days since listing for a symbol to be chosen"},
    {"key": "universe_max_spread_bps", "value": 100, "description": "widest spread for a symbol to be chosen"},
]

_APPEND_ONLY = ("btc_market_state_history", "strategy_scans", "watchlist_history", "funding_payments")

_RISING = '["neutral", "bull", "strong_bull"]'
_FALLING = '["neutral", "bear", "strong_bear"]'


def _json(name: str, default: str | None = None) -> sa.Column:
    return sa.Column(
        name,
        postgresql.JSONB(astext_type=sa.Text()),
        server_default=None if default is None else sa.text(f"'{default}'"),
        nullable=False,
    )


def _time(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        server_default=None if default is None else sa.text(default),
        nullable=nullable,
    )


def _wall(name: str) -> sa.Column:
    return _time(name, default="clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "btc_market_state_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        _time("valid_from"),
        _wall("recorded_at"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective", sa.Text(), nullable=True),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        _json("components"),
        _json("inputs"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_btc_market_state_history")),
        sa.UniqueConstraint("epoch", "valid_from", name=op.f("uq_btc_market_state_history_epoch_valid_from")),
    )
    op.create_table(
        "btc_market_state",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("history_id", sa.BigInteger(), nullable=False),
        _time("valid_from"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective", sa.Text(), nullable=True),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        _wall("updated_at"),
        sa.ForeignKeyConstraint(
            ["history_id"],
            ["btc_market_state_history.id"],
            name=op.f("fk_btc_market_state_history_id"),
        ),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_btc_market_state")),
    )
    op.create_table(
        "strategy_scans",
        sa.Column("epoch", sa.Text(), nullable=False),
        _time("close_at"),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("regime_id", sa.BigInteger(), nullable=True),
        _json("windows"),
        _json("symbols"),
        _json("observed"),
        _json("digests"),
        _json("missing"),
        sa.Column("candidates", sa.Integer(), nullable=False),
        _wall("recorded_wall"),
        sa.ForeignKeyConstraint(
            ["regime_id"], ["btc_market_state_history.id"], name=op.f("fk_strategy_scans_regime_id")
        ),
        sa.PrimaryKeyConstraint("epoch", "close_at", "strategy", name=op.f("pk_strategy_scans")),
    )
    op.create_table(
        "watchlist_history",
        sa.Column("epoch", sa.Text(), nullable=False),
        _time("close_at"),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("composite", sa.Double(), nullable=False),
        _json("scores"),
        _wall("recorded_wall"),
        sa.PrimaryKeyConstraint("epoch", "close_at", "side", "symbol", name=op.f("pk_watchlist_history")),
    )
    op.create_index("ix_watchlist_history_symbol", "watchlist_history", ["epoch", "symbol", "close_at"])
    op.create_table(
        "backtest_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _wall("started_wall"),
        _time("completed_wall", nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_backtest_runs")),
    )
    op.create_index("ix_backtest_runs_strategy", "backtest_runs", ["strategy", "config_version"])
    op.create_table(
        "long_short_ratio",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        _time("at"),
        sa.Column("long_share", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "interval", "at", name=op.f("pk_long_short_ratio")),
    )
    op.create_table(
        "funding_rates",
        sa.Column("symbol", sa.Text(), nullable=False),
        _time("at"),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "at", name=op.f("pk_funding_rates")),
    )
    op.create_table(
        "universe_members",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("turnover_usd", sa.Numeric(), nullable=True),
        sa.Column("spread_bps", sa.Double(), nullable=True),
        sa.Column("age_days", sa.Double(), nullable=True),
        sa.Column("rank", sa.Integer(), nullable=True),
        _time("chosen_at"),
        _time("since"),
        sa.PrimaryKeyConstraint("category", "symbol", name=op.f("pk_universe_members")),
    )
    op.create_table(
        "funding_payments",
        sa.Column("log_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=True),
        sa.Column("coin", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("attributed", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("size", sa.Numeric(), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=True),
        _time("at"),
        _wall("recorded_wall"),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.position_id"], name=op.f("fk_funding_payments_position_id")
        ),
        sa.PrimaryKeyConstraint("log_id", "epoch", name=op.f("pk_funding_payments")),
    )
    op.create_index("ix_funding_payments_position_id", "funding_payments", ["position_id"])
    op.create_index("ix_funding_payments_at", "funding_payments", ["at"])
    op.add_column("instruments", _time("launched_at", nullable=True))
    op.add_column("signals", _json("facts", "{}"))
    op.add_column("signals", sa.Column("regime_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_signals_regime_id"), "signals", "btc_market_state_history", ["regime_id"], ["id"])
    op.add_column("strategy_configurations", _json("regimes", "[]"))
    op.add_column(
        "strategy_configurations",
        sa.Column("regime_exit", sa.Text(), server_default=sa.text("'hold'"), nullable=False),
    )
    op.add_column("strategy_configurations", sa.Column("max_funding_cost_pct", sa.Numeric(), nullable=True))
    # what was configured before there were regimes gets those of its side (an empty list would never enter again), and
    # on perpetuals the limit that new ones have
    op.execute("SELECT set_config('ats.actor', 'migration', true), set_config('ats.reason', 'regimes came in', true)")
    op.execute(
        f"""
        UPDATE strategy_configurations
        SET regimes = CASE side WHEN 'long' THEN '{_RISING}'::jsonb ELSE '{_FALLING}'::jsonb END,
            max_funding_cost_pct = CASE category WHEN 'linear' THEN 0.5 END
        """
    )
    op.alter_column("strategy_configurations", "regimes", server_default=None)
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    settings = sa.table(
        "system_settings",
        sa.column("key", sa.Text()),
        sa.column("value", postgresql.JSONB()),
        sa.column("description", sa.Text()),
    )
    op.bulk_insert(settings, _SETTINGS)


def downgrade() -> None:
    keys = ", ".join(f"'{setting['key']}'" for setting in _SETTINGS)
    op.execute(f"DELETE FROM system_settings WHERE key IN ({keys})")
    for column in ("max_funding_cost_pct", "regime_exit", "regimes"):
        op.drop_column("strategy_configurations", column)
    op.drop_constraint(op.f("fk_signals_regime_id"), "signals", type_="foreignkey")
    op.drop_column("signals", "regime_id")
    op.drop_column("signals", "facts")
    op.drop_column("instruments", "launched_at")
    for table in (
        "funding_payments",
        "universe_members",
        "funding_rates",
        "long_short_ratio",
        "backtest_runs",
        "watchlist_history",
        "strategy_scans",
        "btc_market_state",
        "btc_market_state_history",
    ):
        op.drop_table(table)

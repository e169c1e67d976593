"""decisions: configuration, market clock, scans, signals, snapshots, backfills

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SETTINGS = [
    {"key": "trading_halted", "value": False, "description": "true: no entries; exits and stops go on"},
    {
        "key": "max_open_positions",
        "value": 25,
        "description": "positions held or being entered at once",
    },
    {"key": "symbol_exposure_usd", "value": "25000", "description": "most that open positions of one symbol may cost"},
    {"key": "daily_loss_limit_usd", "value": "2000", "description": "no entries after losing this since 00:00 UTC"},
    {"key": "max_clock_offset_ms", "value": 500, "description": "no entries while our clock is this far off"},
    {"key": "stale_price_seconds", "value": 15, "description": "no entries on a price older than this (wall seconds)"},
    {"key": "scan_grace_seconds", "value": 5, "description": "wait for candles of the stream before asking by REST"},
]

_APPEND_ONLY = (
    "strategy_configurations_history",
    "signals",
    "blocked_signals",
    "portfolio_hourly_snapshots",
    "reconciliations",
)

_STATEMENTS = [
    """
    CREATE FUNCTION strategy_configurations_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        changed_at timestamptz := clock_timestamp();
        who text := coalesce(nullif(current_setting('ats.actor', true), ''), 'sql:' || session_user);
        why text := coalesce(nullif(current_setting('ats.reason', true), ''), '(no reason given)');
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            UPDATE strategy_configurations_history SET valid_to = changed_at
            WHERE strategy = OLD.strategy AND valid_to IS NULL;
        END IF;
        IF TG_OP = 'DELETE' THEN
            INSERT INTO strategy_configurations_history
                (strategy, row, version, valid_from, valid_to, changed_by, reason)
            VALUES (OLD.strategy, to_jsonb(OLD), OLD.version, changed_at, changed_at, who, 'deleted: ' || why);
        ELSE
            INSERT INTO strategy_configurations_history
                (strategy, row, version, valid_from, valid_to, changed_by, reason)
            VALUES (NEW.strategy, to_jsonb(NEW), NEW.version, changed_at, NULL, who, why);
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER next_version BEFORE UPDATE ON strategy_configurations FOR EACH ROW EXECUTE FUNCTION next_version()",
    """
    CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON strategy_configurations
    FOR EACH ROW EXECUTE FUNCTION strategy_configurations_keep_history()
    """,
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        for table in _APPEND_ONLY
    ),
    *(
        f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in _APPEND_ONLY
    ),
    # A day's figures are its last snapshot: net_pnl_daily is a running sum and must not be summed.
    """
    CREATE VIEW portfolio_daily AS
    SELECT DISTINCT ON (epoch, day) epoch, day, hour, equity, invested, unrealised_pnl, net_pnl_daily
    FROM portfolio_hourly_snapshots ORDER BY epoch, day, hour DESC
    """,
]


def upgrade() -> None:
    op.create_table(
        "backfills",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("categories", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cursor", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("candles", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "started_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("symbol", "timeframe", name=op.f("pk_backfills")),
    )
    op.create_table(
        "market_clock",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scanned_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snapshot_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_market_clock")),
    )
    op.create_table(
        "open_interest",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "interval", "at", name=op.f("pk_open_interest")),
    )
    op.create_table(
        "portfolio_hourly_snapshots",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("equity", sa.Numeric(), nullable=False),
        sa.Column("unified_balance", sa.Numeric(), nullable=False),
        sa.Column("funding_balance", sa.Numeric(), nullable=True),
        sa.Column("invested", sa.Numeric(), nullable=False),
        sa.Column("unrealised_pnl", sa.Numeric(), nullable=False),
        sa.Column("realised_pnl", sa.Numeric(), nullable=False),
        sa.Column("fees", sa.Numeric(), nullable=False),
        sa.Column("funding", sa.Numeric(), nullable=False),
        sa.Column("transfers", sa.Numeric(), nullable=False),
        sa.Column("bought", sa.Numeric(), nullable=False),
        sa.Column("sold", sa.Numeric(), nullable=False),
        sa.Column("net_pnl_daily", sa.Numeric(), nullable=False),
        sa.Column("unexplained", sa.Numeric(), nullable=False),
        sa.Column("open_positions", sa.Integer(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "taken_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "hour", name=op.f("pk_portfolio_hourly_snapshots")),
    )
    op.create_index(
        "ix_portfolio_hourly_snapshots_day", "portfolio_hourly_snapshots", ["epoch", "day", "hour"], unique=False
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "finished_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("workflows_started", sa.Integer(), nullable=False),
        sa.Column("executions_fetched", sa.Integer(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_table(
        "scans",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("close_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timeframes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("symbols", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("incomplete", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("candidates", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("accepted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("exits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column(
            "started_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_wall", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "close_at", name=op.f("pk_scans")),
    )
    op.create_index("ix_scans_close_at", "scans", ["close_at"], unique=False)
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("close_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("inputs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("verdicts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("blocked_by", sa.Text(), nullable=True),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "decided_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_signals")),
    )
    op.create_index("ix_signals_close_at", "signals", ["close_at", "signal_id"], unique=False)
    op.create_index("ix_signals_strategy_symbol", "signals", ["strategy", "symbol"], unique=False)
    op.create_table(
        "strategy_configurations",
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("watchlist_gate", sa.Boolean(), nullable=False),
        sa.Column("buy_gate", sa.Boolean(), nullable=False),
        sa.Column("sell_gate", sa.Boolean(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("trade_usd", sa.Numeric(), nullable=False),
        sa.Column("max_positions", sa.Integer(), nullable=False),
        sa.Column("max_trades_per_day", sa.Integer(), nullable=False),
        sa.Column("cooldown_seconds", sa.Integer(), nullable=False),
        sa.Column("signal_ttl_seconds", sa.Integer(), nullable=False),
        sa.Column("exit_policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("strategy", name=op.f("pk_strategy_configurations")),
    )
    op.create_table(
        "strategy_configurations_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("row", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategy_configurations_history")),
    )
    op.create_index(
        "ix_strategy_configurations_history_strategy",
        "strategy_configurations_history",
        ["strategy", "valid_from"],
        unique=False,
    )
    op.create_table(
        "taker_volume",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bought", sa.Double(), nullable=False),
        sa.Column("sold", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("category", "symbol", "open_time", name=op.f("pk_taker_volume")),
    )
    op.create_table(
        "watchlist",
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("close_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("strategy", "category", "symbol", name=op.f("pk_watchlist")),
    )
    op.create_table(
        "blocked_signals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["signal_id"], ["signals.signal_id"], name=op.f("fk_blocked_signals_signal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocked_signals")),
    )
    op.create_index("ix_blocked_signals_gate", "blocked_signals", ["gate", "id"], unique=False)
    op.create_index("ix_blocked_signals_signal_id", "blocked_signals", ["signal_id"], unique=False)
    op.add_column("positions", sa.Column("signal_id", sa.Text(), nullable=True))
    op.add_column("positions", sa.Column("config_version", sa.Integer(), nullable=True))
    for statement in _STATEMENTS:
        op.execute(statement)
    settings = sa.table(
        "system_settings", sa.column("key"), sa.column("value", postgresql.JSONB), sa.column("description")
    )
    op.bulk_insert(settings, _SETTINGS)


def downgrade() -> None:
    keys = ", ".join(f"'{setting['key']}'" for setting in _SETTINGS)
    op.execute(f"DELETE FROM system_settings WHERE key IN ({keys})")
    op.execute("DROP VIEW portfolio_daily")
    op.drop_column("positions", "config_version")
    op.drop_column("positions", "signal_id")
    op.drop_index("ix_blocked_signals_signal_id", table_name="blocked_signals")
    op.drop_index("ix_blocked_signals_gate", table_name="blocked_signals")
    op.drop_table("blocked_signals")
    op.drop_table("watchlist")
    op.drop_table("taker_volume")
    op.drop_index("ix_strategy_configurations_history_strategy", table_name="strategy_configurations_history")
    op.drop_table("strategy_configurations_history")
    op.drop_table("strategy_configurations")
    op.drop_index("ix_signals_strategy_symbol", table_name="signals")
    op.drop_index("ix_signals_close_at", table_name="signals")
    op.drop_table("signals")
    op.drop_index("ix_scans_close_at", table_name="scans")
    op.drop_table("scans")
    op.drop_table("reconciliations")
    op.drop_index("ix_portfolio_hourly_snapshots_day", table_name="portfolio_hourly_snapshots")
    op.drop_table("portfolio_hourly_snapshots")
    op.drop_table("open_interest")
    op.drop_table("market_clock")
    op.drop_table("backfills")
    op.execute("DROP FUNCTION strategy_configurations_keep_history")

"""first tables

Revision 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Every number a decision uses is a row; these are the values a new installation starts with.
_SETTINGS = [
    {
        "key": "manual_exit_policy",
        "value": {
            "take_profit_pct": "6",
            "stop_loss_pct": "3",
            "trailing_activation_pct": "2",
            "trailing_distance_pct": "1",
        },
        "description": "exit policy of a manual trade that names none",
    },
    {"key": "disaster_buffer_pct", "value": "1", "description": "how far beyond the guard's stop the resting stop is"},
    {"key": "entry_ttl_seconds", "value": 30, "description": "an entry not placed by then is given up (wall seconds)"},
    {"key": "universe", "value": [], "description": "symbols whose market data is kept; empty: all the exchange lists"},
    {"key": "linear_leverage", "value": "1", "description": "leverage set on a linear symbol before its first entry"},
]

_APPEND_ONLY = (
    "system_events",
    "system_settings_history",
    "position_targets",
    "position_evaluations",
    "order_transitions",
    "order_executions",
    "execution_applications",
    "lot_matches",
    "dust",
)

_TRIGGERS = [
    # A history row's valid_to is closed by the history trigger itself (depth > 1); everything else is refused.
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND pg_trigger_depth() > 1 THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION next_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.version := OLD.version + 1;
        NEW.updated_at := clock_timestamp();
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION system_settings_keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        changed_at timestamptz := clock_timestamp();
        who text := coalesce(nullif(current_setting('ats.actor', true), ''), 'sql:' || session_user);
        why text := coalesce(nullif(current_setting('ats.reason', true), ''), '(no reason given)');
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            UPDATE system_settings_history SET valid_to = changed_at WHERE key = OLD.key AND valid_to IS NULL;
        END IF;
        IF TG_OP = 'DELETE' THEN
            INSERT INTO system_settings_history (key, row, version, valid_from, valid_to, changed_by, reason)
            VALUES (OLD.key, to_jsonb(OLD), OLD.version, changed_at, changed_at, who, 'deleted: ' || why);
        ELSE
            INSERT INTO system_settings_history (key, row, version, valid_from, valid_to, changed_by, reason)
            VALUES (NEW.key, to_jsonb(NEW), NEW.version, changed_at, NULL, who, why);
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER next_version BEFORE UPDATE ON system_settings FOR EACH ROW EXECUTE FUNCTION next_version()",
    """
    CREATE TRIGGER keep_history AFTER INSERT OR UPDATE OR DELETE ON system_settings
    FOR EACH ROW EXECUTE FUNCTION system_settings_keep_history()
    """,
    *(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        for table in _APPEND_ONLY
    ),
    *(
        f"CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in _APPEND_ONLY
    ),
]


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "candles",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False),
        sa.Column("turnover", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("category", "symbol", "timeframe", "open_time", name=op.f("pk_candles")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("response_body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", "endpoint", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "instruments",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base_coin", sa.Text(), nullable=False),
        sa.Column("quote_coin", sa.Text(), nullable=False),
        sa.Column("tick_size", sa.Numeric(), nullable=False),
        sa.Column("qty_step", sa.Numeric(), nullable=False),
        sa.Column("min_order_qty", sa.Numeric(), nullable=False),
        sa.Column("min_order_amount", sa.Numeric(), nullable=False),
        sa.Column("max_market_qty", sa.Numeric(), nullable=False),
        sa.Column("tradable", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("category", "symbol", name=op.f("pk_instruments")),
    )
    op.create_table(
        "live_prices",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("bid", sa.Numeric(), nullable=True),
        sa.Column("ask", sa.Numeric(), nullable=True),
        sa.Column("market_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("category", "symbol", name=op.f("pk_live_prices")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "order_executions",
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("exchange_order_id", sa.Text(), nullable=False),
        sa.Column("order_link_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("fee", sa.Numeric(), nullable=False),
        sa.Column("fee_coin", sa.Text(), nullable=False),
        sa.Column("exec_type", sa.Text(), nullable=False),
        sa.Column("stop_order_type", sa.Text(), nullable=False),
        sa.Column("is_maker", sa.Boolean(), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("exec_id", name=op.f("pk_order_executions")),
    )
    op.create_index("ix_order_executions_order_link_id", "order_executions", ["order_link_id"], unique=False)
    op.create_index(
        "ix_order_executions_symbol", "order_executions", ["category", "symbol", "executed_at"], unique=False
    )
    op.create_table(
        "positions",
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("market_epoch", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("disaster_buffer_pct", sa.Numeric(), nullable=False),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("planned_qty", sa.Numeric(), nullable=False),
        sa.Column("reference_price", sa.Numeric(), nullable=False),
        sa.Column("entry_qty", sa.Numeric(), nullable=True),
        sa.Column("entry_price", sa.Numeric(), nullable=True),
        sa.Column("qty", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("realised_pnl", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("guard_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("target_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("acknowledged_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_wall", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("opened_wall", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_wall", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unprotected_seconds", sa.Double(), nullable=True),
        sa.Column("unwatched_seconds", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_positions")),
    )
    op.create_index("ix_positions_state_created_wall", "positions", ["state", "created_wall"], unique=False)
    op.create_index(
        "uq_positions_active_linear",
        "positions",
        ["symbol"],
        unique=True,
        postgresql_where=sa.text("category = 'linear' AND state IN ('reserved', 'entering', 'open', 'exiting')"),
    )
    op.create_index(
        "uq_positions_active_spot",
        "positions",
        ["strategy", "symbol"],
        unique=True,
        postgresql_where=sa.text("category = 'spot' AND state IN ('reserved', 'entering', 'open', 'exiting')"),
    )
    op.create_table(
        "stream_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("complete_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stream_cursors")),
    )
    op.create_table(
        "stream_status",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("last_message_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconnects", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "process", name=op.f("pk_stream_status")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "system_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("market_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), server_default=sa.text("'info'"), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_events")),
    )
    op.create_index(op.f("ix_system_events_kind"), "system_events", ["kind"], unique=False)
    op.create_index("ix_system_events_subject", "system_events", ["subject", "id"], unique=False)
    op.create_table(
        "system_settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_system_settings")),
    )
    op.create_table(
        "system_settings_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("row", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_settings_history")),
    )
    op.create_index(
        "ix_system_settings_history_key_valid_from", "system_settings_history", ["key", "valid_from"], unique=False
    )
    op.create_table(
        "wallet_accounts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("total_equity", sa.Numeric(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_wallet_accounts")),
    )
    op.create_table(
        "wallet_balances",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("coin", sa.Text(), nullable=False),
        sa.Column("wallet_balance", sa.Numeric(), nullable=False),
        sa.Column("equity", sa.Numeric(), nullable=False),
        sa.Column("locked", sa.Numeric(), nullable=False),
        sa.Column("usd_value", sa.Numeric(), nullable=False),
        sa.Column("unrealised_pnl", sa.Numeric(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "coin", name=op.f("pk_wallet_balances")),
    )
    op.create_table(
        "dust",
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("coin", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("cost", sa.Numeric(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["positions.position_id"], name=op.f("fk_dust_position_id")),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_dust")),
    )
    op.create_table(
        "execution_applications",
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("unmatched_qty", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "applied_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["exec_id"], ["order_executions.exec_id"], name=op.f("fk_execution_applications_exec_id")
        ),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.position_id"], name=op.f("fk_execution_applications_position_id")
        ),
        sa.PrimaryKeyConstraint("exec_id", name=op.f("pk_execution_applications")),
    )
    op.create_index("ix_execution_applications_position_id", "execution_applications", ["position_id"], unique=False)
    op.create_table(
        "guard_leases",
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("guard_epoch", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("watching_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["position_id"], ["positions.position_id"], name=op.f("fk_guard_leases_position_id")),
        sa.PrimaryKeyConstraint("position_id", "guard_epoch", "segment", name=op.f("pk_guard_leases")),
    )
    op.create_table(
        "lots",
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("qty_left", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("fee", sa.Numeric(), nullable=False),
        sa.Column("fee_left", sa.Numeric(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["exec_id"], ["order_executions.exec_id"], name=op.f("fk_lots_exec_id")),
        sa.ForeignKeyConstraint(["position_id"], ["positions.position_id"], name=op.f("fk_lots_position_id")),
        sa.PrimaryKeyConstraint("exec_id", name=op.f("pk_lots")),
    )
    op.create_index("ix_lots_position_id", "lots", ["position_id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("order_link_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("trigger_price", sa.Numeric(), nullable=True),
        sa.Column("trigger_rises", sa.Boolean(), nullable=True),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("stop_loss", sa.Numeric(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("exchange_order_id", sa.Text(), nullable=True),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("fired_epoch", sa.Integer(), nullable=True),
        sa.Column("fired_target_version", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cum_exec_qty", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("avg_price", sa.Numeric(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resting_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("final_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["position_id"], ["positions.position_id"], name=op.f("fk_orders_position_id")),
        sa.PrimaryKeyConstraint("order_link_id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_created_at", "orders", ["created_at"], unique=False)
    op.create_index("ix_orders_position_id", "orders", ["position_id"], unique=False)
    op.create_index("ix_orders_state", "orders", ["state"], unique=False)
    op.create_table(
        "position_evaluations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("guard_epoch", sa.Integer(), nullable=False),
        sa.Column("target_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("market_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("stop_price", sa.Double(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.position_id"], name=op.f("fk_position_evaluations_position_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_position_evaluations")),
    )
    op.create_index("ix_position_evaluations_position_id", "position_evaluations", ["position_id", "id"], unique=False)
    op.create_table(
        "position_targets",
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["position_id"], ["positions.position_id"], name=op.f("fk_position_targets_position_id")
        ),
        sa.PrimaryKeyConstraint("position_id", "version", name=op.f("pk_position_targets")),
    )
    op.create_table(
        "lot_matches",
        sa.Column("open_exec_id", sa.Text(), nullable=False),
        sa.Column("close_exec_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("gross", sa.Numeric(), nullable=False),
        sa.Column("open_fee", sa.Numeric(), nullable=False),
        sa.Column("close_fee", sa.Numeric(), nullable=False),
        sa.Column("net", sa.Numeric(), nullable=False),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["close_exec_id"], ["order_executions.exec_id"], name=op.f("fk_lot_matches_close_exec_id")
        ),
        sa.ForeignKeyConstraint(["open_exec_id"], ["lots.exec_id"], name=op.f("fk_lot_matches_open_exec_id")),
        sa.ForeignKeyConstraint(["position_id"], ["positions.position_id"], name=op.f("fk_lot_matches_position_id")),
        sa.PrimaryKeyConstraint("open_exec_id", "close_exec_id", name=op.f("pk_lot_matches")),
    )
    op.create_index("ix_lot_matches_position_id", "lot_matches", ["position_id"], unique=False)
    op.create_table(
        "order_transitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_link_id", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_link_id"], ["orders.order_link_id"], name=op.f("fk_order_transitions_order_link_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_transitions")),
    )
    op.create_index("ix_order_transitions_order_link_id", "order_transitions", ["order_link_id", "id"], unique=False)
    for statement in _TRIGGERS:
        op.execute(statement)
    settings = sa.table(
        "system_settings", sa.column("key"), sa.column("value", postgresql.JSONB), sa.column("description")
    )
    op.bulk_insert(settings, _SETTINGS)


def downgrade() -> None:
    op.drop_index("ix_order_transitions_order_link_id", table_name="order_transitions")
    op.drop_table("order_transitions")
    op.drop_index("ix_lot_matches_position_id", table_name="lot_matches")
    op.drop_table("lot_matches")
    op.drop_table("position_targets")
    op.drop_index("ix_position_evaluations_position_id", table_name="position_evaluations")
    op.drop_table("position_evaluations")
    op.drop_index("ix_orders_state", table_name="orders")
    op.drop_index("ix_orders_position_id", table_name="orders")
    op.drop_index("ix_orders_created_at", table_name="orders")
    op.drop_table("orders")
    op.drop_index("ix_lots_position_id", table_name="lots")
    op.drop_table("lots")
    op.drop_table("guard_leases")
    op.drop_index("ix_execution_applications_position_id", table_name="execution_applications")
    op.drop_table("execution_applications")
    op.drop_table("dust")
    op.drop_table("wallet_balances")
    op.drop_table("wallet_accounts")
    op.drop_index("ix_system_settings_history_key_valid_from", table_name="system_settings_history")
    op.drop_table("system_settings_history")
    op.drop_table("system_settings")
    op.drop_index("ix_system_events_subject", table_name="system_events")
    op.drop_index(op.f("ix_system_events_kind"), table_name="system_events")
    op.drop_table("system_events")
    op.drop_table("stream_status")
    op.drop_table("stream_cursors")
    op.drop_index(
        "uq_positions_active_spot",
        table_name="positions",
        postgresql_where=sa.text("category = 'spot' AND state IN ('reserved', 'entering', 'open', 'exiting')"),
    )
    op.drop_index(
        "uq_positions_active_linear",
        table_name="positions",
        postgresql_where=sa.text("category = 'linear' AND state IN ('reserved', 'entering', 'open', 'exiting')"),
    )
    op.drop_index("ix_positions_state_created_wall", table_name="positions")
    op.drop_table("positions")
    op.drop_index("ix_order_executions_symbol", table_name="order_executions")
    op.drop_index("ix_order_executions_order_link_id", table_name="order_executions")
    op.drop_table("order_executions")
    op.drop_table("live_prices")
    op.drop_table("instruments")
    op.drop_table("idempotency_keys")
    op.drop_table("candles")
    op.drop_table("api_keys")
    for function in ("system_settings_keep_history", "next_version", "refuse_change"):
        op.execute(f"DROP FUNCTION {function}")

"""exchange: evidence, foreign orders and positions, balance checks, limits, the resting stop of a position

Revision 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = (
    "orders_compared",
    "positions_compared",
    "balances_compared",
    "foreign_orders",
    "foreign_positions",
    "stops_repaired",
)


def _now() -> sa.TextClause:
    return sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "order_evidence",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_link_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_link_id"], ["orders.order_link_id"], name=op.f("fk_order_evidence_order_link_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_evidence")),
    )
    op.create_index("ix_order_evidence_order_link_id", "order_evidence", ["order_link_id", "id"], unique=False)
    op.create_table(
        "foreign_orders",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("order_link_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("qty", sa.Numeric(), nullable=False),
        sa.Column("cum_exec_qty", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("trigger_price", sa.Numeric(), nullable=True),
        sa.Column("stop_order_type", sa.Text(), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("category", "order_id", name=op.f("pk_foreign_orders")),
    )
    op.create_table(
        "foreign_positions",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("size", sa.Numeric(), nullable=False),
        sa.Column("avg_price", sa.Numeric(), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("category", "symbol", name=op.f("pk_foreign_positions")),
    )
    op.create_table(
        "balance_checks",
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("coin", sa.Text(), nullable=False),
        sa.Column("balance", sa.Numeric(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=_now(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "coin", name=op.f("pk_balance_checks")),
    )
    op.create_table(
        "rate_limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("per_second", sa.Double(), nullable=False),
        sa.Column("available", sa.Double(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "process", name=op.f("pk_rate_limits")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "exchange_links",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("order_entry", sa.Text(), nullable=False),
        sa.Column("clock_offset_ms", sa.Double(), nullable=True),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_exchange_links")),
        prefixes=["UNLOGGED"],
    )
    for name in _COUNTS:
        column = sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
        op.add_column("reconciliations", column)
    drift = sa.Column("drift", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False)
    op.add_column("reconciliations", drift)
    halted = sa.Column("halted", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("reconciliations", halted)
    op.add_column("positions", sa.Column("disaster_stop", sa.Numeric(), nullable=True))
    for name, moment in (
        ("append_only", "UPDATE OR DELETE ON order_evidence FOR EACH ROW"),
        ("no_truncate", "TRUNCATE ON order_evidence FOR EACH STATEMENT"),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {moment} EXECUTE FUNCTION refuse_change()")


def downgrade() -> None:
    op.drop_column("positions", "disaster_stop")
    for name in ("halted", "drift", *reversed(_COUNTS)):
        op.drop_column("reconciliations", name)
    for table in ("exchange_links", "rate_limits", "balance_checks", "foreign_positions", "foreign_orders"):
        op.drop_table(table)
    op.drop_index("ix_order_evidence_order_link_id", table_name="order_evidence")
    op.drop_table("order_evidence")

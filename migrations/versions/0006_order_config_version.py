"""order config version: which version of the configuration and of the settings an order was decided by

Revision 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("config_version", sa.Integer(), nullable=True))
    op.add_column("orders", sa.Column("settings_version", sa.Integer(), nullable=True))
    # of orders that were there before, the entries' versions are known: their positions'
    op.execute(
        """
        UPDATE orders SET config_version = positions.config_version, settings_version = positions.settings_version
        FROM positions WHERE positions.position_id = orders.position_id AND orders.role = 'E'
        """
    )


def downgrade() -> None:
    op.drop_column("orders", "settings_version")
    op.drop_column("orders", "config_version")

"""Migrations from code: ``upgrade(dsn)`` brings a database to the newest version and is safe to repeat."""

from __future__ import annotations

import argparse
from pathlib import Path

from alembic import command
from alembic.config import Config

from db.session import sqlalchemy_url

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


def alembic_config(dsn: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    # ConfigParser interpolation: a percent sign in a password must be doubled
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(dsn).replace("%", "%%"))
    return config


def upgrade(dsn: str, revision: str = "head") -> None:
    """Upgrade the database at ``dsn``. Must not be called from a running event loop (it runs its own)."""
    command.upgrade(alembic_config(dsn), revision)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Bring a database to the newest version.")
    parser.add_argument("--dsn", required=True)
    upgrade(parser.parse_args().dsn)

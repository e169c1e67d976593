"""``python -m workers.stack.migrate``: brings the database of these settings to the newest version.

A process of its own, so that the launcher needs neither SQLAlchemy nor the seconds to import it.
"""

from __future__ import annotations

from config.credentials import postgres_dsn
from config.settings import Settings
from db.migrate import upgrade

if __name__ == "__main__":
    upgrade(postgres_dsn(Settings()))

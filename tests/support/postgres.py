"""A real PostgreSQL for a test run, and a fresh migrated database for each test."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from db.migrate import upgrade
from tests.support.servers import Server
from tests.support.waiting import run
from workers.stack.ports import free_port
from workers.stack.postgres import EmbeddedPostgres, answers, embedded_postgres

_TEMPLATE = "ats_template"
# A test's data needs no durability: a third of the time goes.
_UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class PostgresServer:
    """A running server. ``new_database`` gives the DSN of a copy of the migrated template (about 50 ms)."""

    server: EmbeddedPostgres
    process: Server
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _migrated: bool = False

    def dsn(self, database: str = "postgres") -> str:
        return self.server.dsn(database)

    def new_database(self, *, migrated: bool = True) -> str:
        name = f"test_{next(self._numbers)}"
        template = f' TEMPLATE "{self._template()}"' if migrated else ""
        self._execute(f'CREATE DATABASE "{name}"{template}')
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        self._execute(f'DROP DATABASE "{dsn.rsplit("/", 1)[-1]}" WITH (FORCE)')

    def _template(self) -> str:
        if not self._migrated:
            self._execute(f'CREATE DATABASE "{_TEMPLATE}"')
            upgrade(self.dsn(_TEMPLATE))
            self._migrated = True
        return _TEMPLATE

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.dsn())
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run(execute())


@contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL with its data in ``folder`` (see ``scratch_folder``), ended at the end."""
    server = embedded_postgres(folder / "postgres", free_port(), "test", folder / "postgres.out", _UNSAFE)
    process = Server(server.child(), lambda: run(answers(server)))
    process.start()
    try:
        yield PostgresServer(server, process)
    finally:
        process.stop(signal.SIGQUIT)  # immediate: nobody needs the data

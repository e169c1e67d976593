"""A database for the length of a module, for tests that sabotage one running system after another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[str]:
    dsn = postgres_server.new_database()  # migrations run a loop of their own: not from an async fixture
    yield dsn
    postgres_server.drop_database(dsn)

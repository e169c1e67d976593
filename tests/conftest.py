"""Real servers for every test that asks: each started once a session (and xdist worker) on ports of its own."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  # its plugin would import it at the very end, too deep in the stack for Python 3.11's parser
import pytest
from temporalio.testing import WorkflowEnvironment

from tests.support.folders import scratch_folder
from tests.support.lanes import OneWholeSystemAtATime, long_ones_first
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.temporal import running_temporal, time_skipping_environment
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """Data and logs of the session's servers."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary folder of this test that unprivileged servers can reach (``tmp_path`` they can't)."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server(session_folder: Path) -> Iterator[PostgresServer]:
    """The session's PostgreSQL. Use ``database`` unless you need several databases."""
    with running_postgres(session_folder) as server:
        yield server


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """DSN of a fresh database, migrated to the newest version, dropped after the test."""
    dsn = postgres_server.new_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture(scope="session")
def temporal_server(session_folder: Path) -> Iterator[EmbeddedTemporal]:
    """The session's dev server (``.address``, ``.namespace``), in memory, tuned as the stack's. Ids are shared by all
    tests of the session: make workflow ids and task queues unique to the test."""
    with running_temporal(session_folder) as server:
        yield server


@pytest.fixture
def paper_exchange(scratch: Path) -> Iterator[Callable[..., PaperExchange]]:
    """Factory: ``paper_exchange("--manual")`` starts a paper exchange with these options; each call another one."""
    started: list[PaperExchange] = []

    def start(*options: str) -> PaperExchange:
        folder = scratch / f"exchange-{len(started)}" / "data"
        folder.mkdir(parents=True)
        started.append(paper_exchange_process(folder, *options).start())
        return started[-1]

    yield start
    for exchange in started:
        exchange.stop()


@pytest.fixture
async def time_skipping() -> AsyncIterator[Callable[..., Awaitable[WorkflowEnvironment]]]:
    """Factory: ``await time_skipping(plugins=[...])`` starts a time-skipping server (0.1 s) and its client."""
    async with AsyncExitStack() as opened:

        async def start(**options: Any) -> WorkflowEnvironment:
            return await opened.enter_async_context(await time_skipping_environment(**options))

        yield start


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long_ones_first(items, config.rootpath)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWholeSystemAtATime | None:
    """In place of ``--dist loadfile``."""
    return OneWholeSystemAtATime(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What is loaded by now stays: a full collection need not look at it again."""
    gc.collect()
    gc.freeze()

"""The durable side of the account: every event and the account as it stands, in SQLite, committed before it is told.

One writer thread commits whatever has gathered since its last commit (group commit), in WAL mode with
``synchronous=FULL``: a commit is fsynced, so an acknowledged order survives the machine's power as well as ``kill -9``.
The market instant up to which ticks were processed is in the same transaction as what they caused.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from domain.market import Category
from exchange.paper.core.events import Event
from exchange.paper.core.state import AccountState
from exchange.paper.journal_rows import (
    ACCOUNT,
    FORMAT,
    ORDERS,
    SCHEMA,
    TRANSFER_IDS,
    Statement,
    account_statement,
    event_statement,
)

log = logging.getLogger(__name__)


class JournalRefused(Exception):
    """The data directory can't be used for this market; the message says what to do."""


class JournalFailed(Exception):
    """The disk would not take a commit: what is in memory is ahead of it, so the exchange must stop."""


@dataclass
class _Batch:
    statements: list[Statement]
    then: Callable[[], None] | None
    durable: asyncio.Future[None]


class Journal:
    """Opened on ``directory`` for one market ``epoch``; must be made on the event loop that uses it.

    Raises JournalRefused when the directory is in use, belongs to another market, or holds another format.
    """

    def __init__(self, directory: Path, epoch: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "account.sqlite"
        self._lock = _lock(directory)
        self._write = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(self._write, self.path, epoch)
        except BaseException:
            self._write.close()
            os.close(self._lock)
            raise
        self.read = sqlite3.connect(self.path, isolation_level=None)
        self.read.execute("PRAGMA query_only = ON")
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self.pending = 0
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="paper-journal", daemon=True)
        self._thread.start()

    def load(self) -> tuple[AccountState, datetime] | None:
        """The account and the market instant it stands at; None in a new directory."""
        row = self.read.execute("SELECT position, body FROM account").fetchone()
        if row is None:
            return None
        body = ACCOUNT.validate_json(row[1])
        state = AccountState(
            id_seed=body.id_seed,
            counter=body.counter,
            balances=body.balances,
            realised=body.realised,
            positions=body.positions,
            leverages=body.leverages,
            funding_balances=body.funding_balances,
        )
        links = self.read.execute("SELECT category, link_id FROM orders WHERE link_id <> ''")
        state.used_links = {(Category(category), link) for category, link in links}
        state.transfers = {transfer for (transfer,) in self.read.execute(TRANSFER_IDS)}
        for (order,) in self.read.execute("SELECT body FROM orders WHERE is_open = 1 ORDER BY sequence"):
            state.add_open(ORDERS.validate_json(order))
        return state, datetime.fromisoformat(row[0])

    def append(
        self,
        state: AccountState,
        position: datetime,
        events: Sequence[Event] = (),
        then: Callable[[], None] | None = None,
    ) -> asyncio.Future[None]:
        """Store ``events`` and the account as it now stands; ``then`` is called, in order, when that is on disk.

        The future is done after ``then``; it raises JournalFailed when the disk refuses.
        """
        statements = [s for event in events if (s := event_statement(event)) is not None]
        statements.append(account_statement(state, position))
        return self._enqueue(statements, then)

    def settled(self) -> asyncio.Future[None]:
        """Done when everything appended so far is on disk, so that reading tells nothing a crash could take back."""
        if self.pending or self.failed.done():
            return self._enqueue([], None)
        future: asyncio.Future[None] = self._loop.create_future()
        future.set_result(None)
        return future

    def _enqueue(self, statements: list[Statement], then: Callable[[], None] | None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        if self.failed.done():
            future.set_exception(JournalFailed(f"{self.path}: an earlier commit failed"))
            return future
        self.pending += 1
        self._queue.put(_Batch(statements, then, future))
        return future

    async def close(self) -> None:
        """Commit what is waiting and let go of the directory."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self.read.close()
        self._write.close()
        os.close(self._lock)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batches, ended = self._gather(first)
            try:
                self._commit(batches)
            except sqlite3.Error as error:
                self._loop.call_soon_threadsafe(self._fail, batches, JournalFailed(f"{self.path}: {error}"))
                return
            self._loop.call_soon_threadsafe(self._resolve, batches)
            if ended:
                return

    def _gather(self, first: _Batch) -> tuple[list[_Batch], bool]:
        batches = [first]
        while not self._queue.empty():
            batch = self._queue.get()
            if batch is None:
                return batches, True
            batches.append(batch)
        return batches, False

    def _commit(self, batches: Sequence[_Batch]) -> None:
        if not any(batch.statements for batch in batches):
            return
        self._write.execute("BEGIN IMMEDIATE")
        try:
            for batch in batches:
                for sql, values in batch.statements:
                    self._write.execute(sql, values)
            self._write.execute("COMMIT")
        except sqlite3.Error:
            self._write.execute("ROLLBACK")
            raise

    def _fail(self, batches: Sequence[_Batch], error: JournalFailed) -> None:
        waiting = list(batches)
        while not self._queue.empty():
            batch = self._queue.get()
            if batch is not None:
                waiting.append(batch)
        for batch in waiting:
            if not batch.durable.done():
                batch.durable.set_exception(error)
                batch.durable.exception()  # the pump doesn't wait for its commits: ``failed`` tells it
        self.pending = 0
        if not self.failed.done():
            self.failed.set_exception(error)

    def _resolve(self, batches: Sequence[_Batch]) -> None:
        for batch in batches:
            self.pending -= 1
            if batch.then is not None:
                try:
                    batch.then()
                except Exception:  # it is on disk all the same, and who waits for that must hear it
                    log.exception("telling what was committed failed")
            if not batch.durable.done():
                batch.durable.set_result(None)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalRefused(
            f"data directory {directory} is in use by another paper exchange: stop it, or give another --data-dir"
        ) from None
    return descriptor


def _prepare(connection: sqlite3.Connection, path: Path, epoch: str) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise JournalRefused(f"{path} is not an account journal ({error}): give another --data-dir") from None
    if version == 0 and tables == 0:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
        connection.execute("INSERT INTO meta VALUES ('epoch', ?)", (epoch,))
        return
    if version != FORMAT:
        raise JournalRefused(
            f"{path} has format {version} and this exchange writes format {FORMAT}: give another --data-dir"
        )
    known = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if known is None:  # killed between making the tables and naming the market: nothing is in it yet
        connection.execute("INSERT INTO meta VALUES ('epoch', ?)", (epoch,))
    elif known[0] != epoch:
        raise JournalRefused(
            f"{path} belongs to the market {known[0]}, not {epoch}: start that market again, or give another --data-dir"
        )

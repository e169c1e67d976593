"""The embedded PostgreSQL is made once, found again, and never blocked by what a killed launcher left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.support.servers import Server
from tests.support.waiting import run, wait_until
from workers.stack.binaries import unprivileged_user
from workers.stack.ports import free_port
from workers.stack.postgres import (
    EmbeddedPostgres,
    PostgresUnusable,
    answers,
    clear_leftovers,
    embedded_postgres,
    ensure_database,
    servers_on,
)


@pytest.fixture
def cluster(scratch: Path) -> EmbeddedPostgres:
    return embedded_postgres(scratch / "ats" / "postgres", free_port(), "secret/%@", scratch / "postgres.out")


@contextmanager
def _running(cluster: EmbeddedPostgres) -> Iterator[Server]:
    server = Server(cluster.child(), lambda: run(answers(cluster)))
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGINT)


def _postmaster_of(cluster: EmbeddedPostgres) -> int:
    return int((cluster.data / "postmaster.pid").read_text().splitlines()[0])


async def _value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_data_is_found_again_after_kill_9(scratch: Path) -> None:
    where, port, log = scratch / "ats" / "postgres", free_port(), scratch / "postgres.out"
    first = embedded_postgres(where, port, "secret", log)
    with _running(first) as server:
        run(ensure_database(first))
        run(ensure_database(first))  # safe to repeat
        run(_value(first.dsn(), "CREATE TABLE kept AS SELECT 42 AS x"))
        server.kill()
    again = embedded_postgres(where, port, "secret", log)
    clear_leftovers(again.data)
    with _running(again):
        assert run(_value(again.dsn(), "SELECT x FROM kept")) == 42


def test_it_listens_on_loopback_asks_for_the_password_and_keeps_utc(scratch: Path) -> None:
    cluster = embedded_postgres(scratch / "ats" / "postgres", free_port(), "secret", scratch / "postgres.out")
    with _running(cluster) as server:
        told = {c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN}
        assert told == {"127.0.0.1"}
        assert run(_value(cluster.dsn("postgres"), "SHOW timezone")) == "UTC"
        assert run(_value(cluster.dsn("postgres"), "SHOW password_encryption")) == "scram-sha-256"
        with pytest.raises(PostgresUnusable, match=r"password in the credentials file isn't the one of the data"):
            run(answers(replace(cluster, password="wrong")))
        if user := unprivileged_user():
            assert psutil.Process(server.pid).uids().real == user.uid
            assert (cluster.data.stat().st_uid, cluster.data.stat().st_mode & 0o777) == (user.uid, 0o700)


def test_a_server_that_outlived_its_launcher_is_ended_first(scratch: Path) -> None:
    cluster = embedded_postgres(scratch / "ats" / "postgres", free_port(), "secret", scratch / "postgres.out")
    with _running(cluster) as orphan:
        assert orphan.pid in {process.pid for process in servers_on(cluster.data)}
        clear_leftovers(cluster.data)
        wait_until(lambda: not orphan.running, "the orphan to end")
        assert servers_on(cluster.data) == []
        with _running(cluster) as server:
            assert _postmaster_of(cluster) == server.pid


def test_a_frozen_server_is_killed_after_the_patience(scratch: Path) -> None:
    cluster = embedded_postgres(scratch / "ats" / "postgres", free_port(), "secret", scratch / "postgres.out")
    with _running(cluster) as frozen:
        frozen.kill(signal.SIGSTOP)
        clear_leftovers(cluster.data, patience_seconds=0.3)
        wait_until(lambda: not frozen.running, "the frozen server to end")
        assert servers_on(cluster.data) == []


def test_a_pid_file_whose_number_another_process_has_is_removed(cluster: EmbeddedPostgres) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        (cluster.data / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster.data}\n")
        clear_leftovers(cluster.data)
        assert not (cluster.data / "postmaster.pid").exists()
        assert stranger.poll() is None, "a stranger must not be touched"
    finally:
        stranger.kill()
        stranger.wait()


def test_half_made_clusters_of_a_killed_launcher_go(scratch: Path) -> None:
    half = scratch / "ats" / "postgres.making-1"
    half.mkdir(parents=True)
    cluster = embedded_postgres(scratch / "ats" / "postgres", free_port(), "secret", scratch / "postgres.out")
    assert not half.exists()
    assert (cluster.data / "PG_VERSION").exists()
    assert [path.name for path in (scratch / "ats").iterdir()] == ["postgres"]


def test_data_of_another_version_is_refused_with_what_to_do(cluster: EmbeddedPostgres) -> None:
    (cluster.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(PostgresUnusable, match=r"made by PostgreSQL 14, installed is 18: dump it"):
        embedded_postgres(cluster.data, cluster.port, cluster.password, cluster.log)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_in_a_folder_closed_to_others_the_data_is_elsewhere_and_found_again(scratch: Path) -> None:
    closed = scratch / "closed"
    closed.mkdir(mode=0o700)
    where = closed / "ats" / "postgres"
    first = embedded_postgres(where, free_port(), "secret", scratch / "postgres.out")
    assert where.is_symlink()
    assert where.resolve() == first.data
    again = embedded_postgres(where, first.port, "secret", scratch / "postgres.out")
    assert again.data == first.data
    with _running(again):
        assert run(answers(again))
    subprocess.run(["/bin/rm", "-r", str(first.data)], check=True)

"""The embedded PostgreSQL: a cluster in ``.ats/postgres``, made on first use, run by the packaged binaries."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from workers.stack.binaries import postgres_programs, reachable_by_others, unprivileged_user
from workers.stack.process import ChildSpec, OsUser

DATABASE = "ats"
ROLE = "ats"
_CLOSED_HOME = Path("/var/lib/ats")
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


class PostgresUnusable(RuntimeError):
    """The cluster can't be used as it is. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One cluster: where its data is, its port, the password of role ``ats`` and extra server parameters."""

    data: Path
    port: int
    password: str
    log: Path
    parameters: Mapping[str, str]
    programs: Path
    user: OsUser | None

    def dsn(self, database: str = DATABASE) -> str:
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    def child(self) -> ChildSpec:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "200",
            **self.parameters,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return ChildSpec(
            command=(str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings),
            log=self.log,
            cwd=self.data,
            environment=_ENVIRONMENT,
            user=self.user,
            death_signal=signal.SIGINT,  # its "fast shutdown": clean, without waiting for clients
        )


def embedded_postgres(
    data: Path, port: int, password: str, log: Path, parameters: Mapping[str, str] | None = None
) -> EmbeddedPostgres:
    """The cluster at ``data``, made on first use (0.5 s). Raises PostgresUnusable, MissingBinary, OSError."""
    user = unprivileged_user()
    programs = postgres_programs(user)
    place = _place_for(data, user)
    if not (place / "PG_VERSION").exists():
        _create_cluster(place, programs, password, user)
    _check_version(place, programs)
    return EmbeddedPostgres(place, port, password, log, parameters or {}, programs, user)


def _place_for(data: Path, user: OsUser | None) -> Path:
    """Where the cluster really is. Usually ``data``; for root in a closed folder a symbolic link leads to /var/lib."""
    if data.is_symlink() or (data / "PG_VERSION").exists():
        return data.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    if user is None:
        return data.resolve()
    data.parent.chmod(data.parent.stat().st_mode | 0o011)  # pass through, not list: what is inside has its own mode
    if reachable_by_others(data):
        return data.resolve()
    home = Path(tempfile.gettempdir()) if data.resolve().is_relative_to(tempfile.gettempdir()) else _CLOSED_HOME
    home.mkdir(parents=True, exist_ok=True)
    place = home / f"ats-postgres-{secrets.token_hex(6)}"
    data.symlink_to(place)
    return place


def _create_cluster(place: Path, programs: Path, password: str, user: OsUser | None) -> None:
    """initdb beside ``place``, renamed when whole: a killed launcher leaves no half-made cluster."""
    for abandoned in place.parent.glob(f"{place.name}.making-*"):
        shutil.rmtree(abandoned)
    making = place.with_name(f"{place.name}.making-{os.getpid()}")
    making.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=place.parent, prefix=".initdb-") as secret:
        secret.write(password)
        secret.flush()
        if user is not None:
            os.chown(making, user.uid, user.gid)
            os.chown(secret.name, user.uid, user.gid)
        options = ["-U", ROLE, "--pwfile", secret.name, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            [str(programs / "initdb"), "-D", str(making), "--no-instructions", *options],
            cwd=making,
            env=_ENVIRONMENT,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise PostgresUnusable(f"initdb failed in {making}: {done.stderr.strip() or done.stdout.strip()}")
    making.rename(place)


def _check_version(place: Path, programs: Path) -> None:
    made_by = (place / "PG_VERSION").read_text().strip()
    told = subprocess.run([str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    ours = told.rsplit(maxsplit=1)[-1].split(".")[0]
    if made_by != ours:
        raise PostgresUnusable(
            f"{place} was made by PostgreSQL {made_by}, installed is {ours}: dump it with the old version and restore, "
            f"or move the folder away to start empty"
        )


def servers_on(data: Path) -> list[psutil.Process]:
    """Every live PostgreSQL process (postmaster and backends) that works in ``data``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == data:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def clear_leftovers(data: Path, patience_seconds: float = 10.0) -> None:
    """End servers that outlived a killed launcher and remove a stale ``postmaster.pid``. Blocks meanwhile.

    A postmaster gets a fast shutdown, backends without one end by themselves; whatever is left is killed. The pid file
    must go because another process may have got its number, which PostgreSQL would take for a running server.
    """
    deadline = time.monotonic() + patience_seconds
    asked: set[int] = set()
    while running := servers_on(data):
        late = time.monotonic() > deadline
        for process in running:
            try:
                if late:
                    process.kill()
                elif process.pid == _recorded_pid(data) and process.pid not in asked:
                    asked.add(process.pid)
                    process.send_signal(signal.SIGINT)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _recorded_pid(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


async def answers(server: EmbeddedPostgres) -> bool:
    """Whether the server takes connections. Raises PostgresUnusable when it refuses the password."""
    import asyncpg

    try:
        connection = await asyncpg.connect(server.dsn("postgres"), timeout=2)
    except asyncpg.InvalidPasswordError as error:
        raise PostgresUnusable(
            f"the password in the credentials file isn't the one of the data in {server.data}: restore the file that "
            f"was there, or move the data away to start empty"
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True


async def ensure_database(server: EmbeddedPostgres, name: str = DATABASE) -> None:
    """Create the database ``name`` unless it is there."""
    import asyncpg

    connection = await asyncpg.connect(server.dsn("postgres"), timeout=5)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()

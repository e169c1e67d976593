"""``make`` finds a Python or says in one sentence what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without .venv, and a PATH with nothing but the shell's own programs."""
    folder = tmp_path / "checkout"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(PROJECT / "Makefile", folder)
    for program in ("bash", "env", "rm", "touch"):
        found = shutil.which(program)
        assert found is not None
        (folder / "bin" / program).symlink_to(found)
    return folder


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def _make(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    assert make is not None
    return subprocess.run(
        [make, "--no-print-directory", *targets],
        cwd=folder,
        env={**os.environ, "PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_any_python_it_says_what_to_install(checkout: Path) -> None:
    done = _make(checkout, ".venv/bin/python")
    assert done.returncode != 0
    assert "ats needs Python 3.11 or newer and there is none on PATH: install one" in done.stderr


def test_an_old_python_is_passed_over_for_a_newer_one(checkout: Path) -> None:
    _program(checkout, "python3", 'echo "3.9 was used" >&2; exit 1')
    _program(checkout, "python3.12", f'exec {sys.executable} "$@"')
    done = _make(checkout, ".venv/bin/python")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("making .venv with Python 3.")
    assert subprocess.run([checkout / ".venv/bin/python", "-m", "pip", "--version"], check=False).returncode == 0


def test_a_python_that_cannot_make_environments_is_named_with_the_package_to_install(checkout: Path) -> None:
    _program(checkout, "python3", f'[[ "$*" == *ensurepip* ]] && exit 1; exec {sys.executable} "$@"')
    done = _make(checkout, ".venv/bin/python")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.returncode != 0
    assert f"apt-get install python{version}-venv" in done.stderr


def test_down_without_an_installation_has_nothing_to_do(checkout: Path) -> None:
    done = _make(checkout, "down")
    assert (done.returncode, done.stdout) == (0, "nothing to end: not installed\n")

"""Compiled kernels are kept between runs, also where the source tree can't be written."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import domain

STEP = """
from domain.exits import warm_up
from domain import exit_kernel
warm_up()
print(sum(exit_kernel.step.stats.cache_hits.values()), exit_kernel.step.stats.cache_path)
"""


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A copy of the package beside which, and in whose user's home, nothing can be written (not even by root)."""
    package = Path(domain.__file__).parent
    shutil.copytree(package, tmp_path / "tree" / "domain", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tree" / "domain" / "__pycache__").write_text("a file where the folder would be")
    (tmp_path / "home").write_text("a file where the folder would be")
    (tmp_path / "temporary").mkdir()
    return tmp_path


def run(folder: Path) -> list[str]:
    """Warm up in a process of its own: [cache hits, where compiled code is kept]."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    home = str(folder / "home")
    places = {"HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": str(folder / "temporary")}
    environment = {**inherited, **places, "PYTHONPATH": str(folder / "tree"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", STEP]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_without_a_writable_source_tree_kernels_are_kept_in_a_private_temporary_folder(unwritable):
    assert run(unwritable)[0] == "0"
    (kept,) = (unwritable / "temporary").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    hits, where = run(unwritable)
    assert int(hits) > 0
    assert Path(where).is_relative_to(kept)


def test_a_folder_that_others_can_write_is_not_trusted_with_code(unwritable):
    run(unwritable)
    (kept,) = (unwritable / "temporary").iterdir()
    kept.chmod(0o777)
    assert run(unwritable) == ["0", "None"]

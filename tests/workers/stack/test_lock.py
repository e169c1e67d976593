"""One launcher a data folder, and a killed one leaves nothing to clear."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.stack.lock import AlreadyRunning, StackLock, lock_holder, lock_is_held

_HOLD = """
import sys, time
from pathlib import Path
from workers.stack.lock import StackLock
StackLock(Path(sys.argv[1])).acquire({"PostgreSQL": 5433})
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_launcher_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    first = StackLock(path).acquire({"PostgreSQL": 5433})
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()} since .* UTC.*`ats down`"):
        StackLock(path).acquire({})
    holder = lock_holder(path)
    assert holder is not None
    assert (holder.pid, holder.ports) == (os.getpid(), {"PostgreSQL": 5433})
    first.release()
    assert not lock_is_held(path)
    StackLock(path).acquire({}).release()


def test_a_killed_launcher_leaves_no_stale_lock(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    launcher = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "held\n"
    holder = lock_holder(path)
    assert holder is not None
    assert holder.pid == launcher.pid
    launcher.kill()
    launcher.wait()
    assert lock_holder(path) is None
    StackLock(path).acquire({}).release()


def test_a_folder_that_never_had_a_stack_is_not_held(tmp_path: Path) -> None:
    assert not lock_is_held(tmp_path / "stack.lock")
    assert lock_holder(tmp_path / "stack.lock") is None

"""A child of the stack dies with its launcher, whatever user it runs as."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until
from workers.stack.process import ChildSpec, OsUser, child_arguments, kill_group, spawn

_LAUNCH = """
import os, sys, time
from pathlib import Path
from workers.stack.process import ChildSpec, OsUser, spawn
user = OsUser("nobody", 65534, 65534) if sys.argv[2] == "nobody" else None
child = spawn(ChildSpec(tuple(sys.argv[3:]), Path(sys.argv[1]), Path("/"), {"PATH": "/usr/bin:/bin"}, user))
print(child.pid, flush=True)
time.sleep(60)
"""


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("user", ["same", "nobody"])
def test_kill_9_of_the_launcher_ends_its_child(tmp_path: Path, user: str) -> None:
    if user == "nobody" and os.geteuid() != 0:
        pytest.skip("only root can start a child as another user")
    log = tmp_path / "child.out"
    launcher = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, str(log), user, "/bin/sh", "-c", "echo up; sleep 60 & wait"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    wait_until(lambda: log.exists() and "up" in log.read_text(), "the child to have its own program")
    if user == "nobody":
        assert psutil.Process(child).uids().real == 65534
    grandchildren = psutil.Process(child).children()
    launcher.kill()
    launcher.wait()
    wait_until(lambda: _gone(child), "the child to die with its launcher", timeout=5)
    for grandchild in grandchildren:  # the shell's own child was not promised anything: end it here
        grandchild.kill()


def test_a_child_whose_launcher_is_already_gone_never_starts(tmp_path: Path) -> None:
    spec = ChildSpec((sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"), tmp_path / "log", tmp_path)
    arguments = child_arguments(spec)
    arguments[arguments.index(str(os.getpid()))] = "1"  # a launcher that is not the parent
    assert subprocess.run(arguments, check=False).returncode == 1
    assert not (tmp_path / "ran").exists()


def test_a_child_leads_a_group_of_its_own_and_the_group_ends_with_it(tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", "sleep 60 & echo $!; wait")
    log = tmp_path / "log"
    process = spawn(ChildSpec(command, log, tmp_path))
    wait_until(lambda: log.read_text().strip(), "the shell to start its own child")
    grandchild = int(log.read_text())
    assert os.getpgid(grandchild) == process.pid != os.getpgid(0)
    kill_group(process.pid)
    assert process.wait(timeout=5) == -signal.SIGKILL
    wait_until(lambda: _gone(grandchild), "the grandchild to be gone", timeout=5)


def test_a_full_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "child.out"
    log.write_bytes(b"x" * 10_000_001)
    process = spawn(ChildSpec((sys.executable, "-I", "-c", "print('new')"), log, tmp_path))
    assert process.wait(timeout=10) == 0
    assert log.read_text() == "new\n"
    assert (tmp_path / "child.out.1").stat().st_size == 10_000_001


def test_another_user_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a child as another user")
    monkeypatch.setenv("ATS_EXCHANGE__API_SECRET", "very secret")
    log = tmp_path / "log"
    nobody = OsUser("nobody", 65534, 65534)
    process = spawn(ChildSpec(("/usr/bin/env",), log, Path("/"), {"PATH": "/usr/bin"}, nobody))
    assert process.wait(timeout=10) == 0
    assert "PATH=/usr/bin" in log.read_text()
    assert "secret" not in log.read_text()

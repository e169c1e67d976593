"""Runs a command so that it can't outlive its launcher: ``python child.py SIGNAL UID:GID LAUNCHER_PID -- COMMAND...``.

A program of its own, standard library only, started with ``-I -S`` (15 ms): between fork and exec of a launcher that
has threads, Python code may deadlock; here there are none. It ends by exec, so the process id stays.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def _drop_privileges(user: str) -> None:
    if user == "-":
        return
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _die_with(launcher_pid: int, death_signal: int) -> None:
    """Ask for ``death_signal`` when the launcher's forking thread ends. After setuid, which would clear it."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != launcher_pid:  # it died before the request was in force
        sys.exit(1)


def main(arguments: list[str]) -> None:
    death_signal, user, launcher_pid, separator, *command = arguments
    if separator != "--" or not command:
        sys.exit("usage: child.py SIGNAL UID:GID LAUNCHER_PID -- COMMAND...")
    os.setsid()
    _drop_privileges(user)
    _die_with(int(launcher_pid), int(death_signal))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

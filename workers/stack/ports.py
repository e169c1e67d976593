"""Which ports are free, and who has one that is not."""

from __future__ import annotations

import random
import socket

import psutil

# Below the range Linux takes for outgoing connections (32768-60999): a port there may be lost between two starts of
# the same service.
_SPARE_RANGE = range(15_000, 32_000)


class PortTaken(RuntimeError):
    """A port of the stack is in use by something else. The message says what to do."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what servers do: ignore TIME_WAIT
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(taken: set[int] | None = None) -> int:
    """A random free port outside ``taken``, added to it."""
    chosen = taken if taken is not None else set()
    for _ in range(500):
        port = random.choice(_SPARE_RANGE)
        if port not in chosen and is_free(port):
            chosen.add(port)
            return port
    raise PortTaken(f"no free port between {_SPARE_RANGE.start} and {_SPARE_RANGE.stop}")


def free_ports(count: int) -> list[int]:
    """``count`` different free ports."""
    taken: set[int] = set()
    return [free_port(taken) for _ in range(count)]


def holder_of(port: int) -> str:
    """Who listens on ``port``: ``postgres (pid 4711)``, or ``another process`` where the system doesn't tell."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return "another process"


def accepts_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something answers on ``port`` (a TCP connect, 0.5 s at most)."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False

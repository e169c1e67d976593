"""The paper exchange as a process of its own, with the controls a test needs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.servers import Server
from workers.stack.ports import free_port
from workers.stack.process import ChildSpec

KEY = "testkey0000000000"
SECRET = "testsecret00000000000000000000000000"


@dataclass
class PaperExchange:
    """A running paper exchange. Kill it and ``start`` it again: same port, same data."""

    url: str
    port: int
    key: str
    secret: str
    process: Server

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> Self:
        self.process.start()
        return self

    def kill(self, signal_number: signal.Signals = signal.SIGKILL) -> None:
        self.process.kill(signal_number)

    def stop(self) -> None:
        self.process.stop()

    def control(self, method: str, path: str, **options: Any) -> Any:
        """Call ``/paper/<path>`` and return its JSON (None when it has none). Raises httpx.HTTPStatusError."""
        answer = httpx.request(method, f"{self.url}/paper/{path}", timeout=10, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def clock(self) -> dict[str, Any]:
        return self.control("GET", "clock")

    def push_ticks(self, ticks: Sequence[Mapping[str, Any]]) -> Any:
        """Make trades ({category, symbol, price, qty?, side?}) happen now, in order; ``--manual`` markets only."""
        return self.control("POST", "ticks", json=list(ticks))

    def add_fault(self, **fault: Any) -> Any:
        """Ask for a fault, as ``POST /paper/faults`` takes it."""
        return self.control("POST", "faults", json=fault)

    def clear_faults(self) -> Any:
        return self.control("DELETE", "faults")

    def books(self) -> dict[str, Any]:
        """The exchange's own accounts, to hold ours against."""
        return self.control("GET", "books")


def paper_exchange_process(data_dir: Path, *options: str, key: str = KEY, secret: str = SECRET) -> PaperExchange:
    """A paper exchange that isn't started yet; ``options`` are further ones of ``python -m exchange.paper``."""
    port = free_port()
    command = (sys.executable, "-m", "exchange.paper", "--port", str(port), "--data-dir", str(data_dir))
    if "--rate-limits" not in options:  # tests ask in bursts that no account sends; those of the limits say their own
        options = (*options, "--rate-limits", "20")
    spec = ChildSpec((*command, "--key", key, "--secret", secret, *options), data_dir.parent / "paper.out", Path.cwd())
    url = f"http://127.0.0.1:{port}"
    return PaperExchange(url, port, key, secret, Server(spec, lambda: _answers(url)))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v5/market/time", timeout=2, verify=False).is_success
    except httpx.HTTPError:
        return False

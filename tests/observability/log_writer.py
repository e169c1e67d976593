"""What each of several processes does to one log file; on its own so that a new process imports little."""

from __future__ import annotations

import logging
from pathlib import Path

from observability.rotation import SharedRotatingFileHandler


def write_lines(path: Path, writer: int, count: int) -> None:
    handler = SharedRotatingFileHandler(path, max_bytes=20_000, backups=50)
    for number in range(count):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f"{writer}:{number} " + "." * 80, None, None))
    handler.close()

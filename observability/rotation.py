"""A rotating log file that several processes of one service may write at once."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: one writer per file, no lock needed
    fcntl = None

MAX_BYTES = 10_000_000
BACKUPS = 30


class SharedRotatingFileHandler(RotatingFileHandler):
    """Rotates at ``max_bytes`` and keeps ``backups`` old files.

    Two processes of one service append to one file. Without care the second would keep writing into the file that the
    first renamed, and would rotate again. So each looks whether its file is still the one of that name, and rotation
    happens under a lock file after a second look.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        self._follow_rename()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802 (the standard library's name)
        if fcntl is None:
            super().doRollover()
            return
        with Path(f"{self.baseFilename}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rotated_by_another = self._follow_rename()
            if not rotated_by_another:
                super().doRollover()

    def _follow_rename(self) -> bool:
        """Open the file of our name if what we hold is no longer it; whether that was so."""
        if self.stream is None:
            return False
        try:
            named = Path(self.baseFilename).stat()
            held = os.fstat(self.stream.fileno())
        except OSError:
            named = held = None
        if named is not None and held is not None and (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev):
            return False
        self.stream.close()
        self.stream = self._open()
        return True

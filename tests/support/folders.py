"""Temporary folders that an unprivileged server process can reach too (pytest's ``tmp_path`` is closed to others)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder under the system's temporary one, removed with all it holds at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ats-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

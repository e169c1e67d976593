"""Where compiled kernels are kept between runs.

numba keeps compiled code beside the source, or in the user's cache directory. When neither can be written (an installed
package run by another user without a home), a private temporary directory is used; without that, nothing is kept and
each start compiles again.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])


def _private_directory(path: Path) -> Path | None:
    """``path``, if it is ours alone. Cached kernels are code: a directory that others can write is not used."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return path if ours else None


def _fallback_cache_directory() -> Path | None:
    return _private_directory(Path(tempfile.gettempdir()) / f"ats-kernels-{os.getuid()}")


def compiled(function: F) -> F:
    """``function`` compiled on first use, kept on disk where possible. Raises nothing for want of a cache."""
    try:
        return cast(F, numba.njit(function, cache=True))
    except RuntimeError:  # numba found no place it can write
        directory = _fallback_cache_directory()
        if directory is None:
            return cast(F, numba.njit(function))
        os.environ["NUMBA_CACHE_DIR"] = str(directory)
        config.reload_config()
        return cast(F, numba.njit(function, cache=True))

"""Property tests of the pure core: kernels compiled before they start, examples not judged by the clock."""

from __future__ import annotations

import pytest
from hypothesis import settings

from domain.exits import warm_up

# How long an example takes says more about the machine than about the code; a run as a whole has its own timeout.
settings.register_profile("domain", deadline=None)
settings.load_profile("domain")


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    warm_up()

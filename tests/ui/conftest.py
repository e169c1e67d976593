"""An API over the test's own database, and pages that speak to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running

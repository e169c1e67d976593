"""A child reads exactly the settings its launcher was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import Settings
from workers.stack.environment import settings_environment, spare_settings


def _read_back(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_settings_survive_the_way_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = spare_settings(
        tmp_path,
        log_level="DEBUG",
        temporal={"namespace": "ats", "tls": True},
        exchange={
            "api_key": "k",
            "api_secret": "s/%=x",
            "paper": {"speed": 900.5, "replay": ["linear:a b.csv"], "deposit": {"USDT": "5", "BTC": "0.1"}},
        },
    )
    assert _read_back(settings_environment(given), monkeypatch).model_dump() == given.model_dump()


def test_what_is_unset_stays_unset_whatever_a_dotenv_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ATS_POSTGRES__DSN=postgresql://real/money\nATS_EXCHANGE__MODE=testnet\n")
    given = spare_settings(tmp_path)
    read = _read_back(settings_environment(given), monkeypatch)
    assert read.postgres.dsn is None
    assert read.exchange.mode == "paper"


def test_a_spare_stack_looks_at_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATS_POSTGRES__DSN", "postgresql://real/money")
    monkeypatch.setenv("ATS_DATA_DIR", "/precious")
    spare = spare_settings(tmp_path)
    assert spare.postgres.dsn is None
    assert spare.data_dir == tmp_path / "ats"


def test_spare_ports_differ_from_each_other_and_can_be_overridden(tmp_path: Path) -> None:
    spare = spare_settings(tmp_path, exchange={"paper": {"speed": 60}})
    t = spare.temporal
    ports = [spare.postgres.port, t.port, t.ui_port, t.metrics_port, spare.exchange.paper.port, spare.api.port]
    assert len({*ports, spare.ui.port}) == 7
    assert spare.exchange.paper.speed == 60

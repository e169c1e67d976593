"""Which exchange a process may reach, and how: what is unsafe is refused at once, by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.settings import Settings
from exchange.bybit import BybitExchange

KEYS = {"api_key": "key", "api_secret": "secret"}


def settings(monkeypatch: pytest.MonkeyPatch, **exchange: Any) -> Settings:
    for name, value in exchange.items():
        monkeypatch.setenv(f"ATS_EXCHANGE__{name.upper()}", str(value))
    return Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("exchange", "words"),
    [
        ({"mode": "live", **KEYS}, "ATS_EXCHANGE__CONFIRM_LIVE=yes"),
        ({"mode": "live", "confirm_live": "true", **KEYS}, "ATS_EXCHANGE__CONFIRM_LIVE=yes"),
        ({"mode": "live", "confirm_live": "yes"}, "ATS_EXCHANGE__API_KEY"),
        ({"mode": "demo"}, "ATS_EXCHANGE__API_KEY"),
        ({"mode": "testnet", "api_key": "key"}, "ATS_EXCHANGE__API_SECRET"),
        ({"mode": "demo", "order_entry": "websocket", **KEYS}, "no trade socket"),
        ({"mode": "real"}, "paper"),
        ({"order_entry": "fax"}, "rest"),
        ({"rate_share": 0}, "greater than 0"),
        ({"rate_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_an_unsafe_exchange_is_refused(monkeypatch: pytest.MonkeyPatch, exchange: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(monkeypatch, **exchange)


@pytest.mark.parametrize(
    ("exchange", "endpoint"),
    [
        ({"mode": "live", "confirm_live": "yes"}, "https://api.bybit.com"),
        ({"mode": "demo"}, "https://api-demo.bybit.com"),
        ({"mode": "testnet"}, "https://api-testnet.bybit.com"),
    ],
)
async def test_each_mode_has_its_own_address(
    monkeypatch: pytest.MonkeyPatch, exchange: dict[str, Any], endpoint: str
) -> None:
    chosen = settings(monkeypatch, **exchange, **KEYS).exchange
    gateway = BybitExchange(chosen.mode, "key", "secret")
    assert gateway._rest._new_client().endpoint == endpoint
    await gateway.close()


def test_demo_accounts_have_no_trade_socket() -> None:
    with pytest.raises(ValueError, match="trade socket"):
        BybitExchange("demo", "key", "secret", order_entry="websocket")

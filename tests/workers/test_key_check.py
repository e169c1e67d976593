"""A process doesn't work with a key that may do too much, or too little."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.settings import ExchangeSettings, Settings
from db.models import SystemEvent
from db.session import Database
from exchange.bybit import BybitExchange
from exchange.protocol import KeyRights, RetryLater
from tests.exchange.gateway.raw_http import RawHttpServer, body, ret
from workers.key_check import KEY_EXPIRES_EVENT, KEY_REFUSED_EVENT, UnsafeKey, check_key, expiry_warning, objection
from workers.stack.doctor import _key
from workers.stack.environment import settings_environment

GOOD = KeyRights(read_only=False, trades_spot=True, trades_linear=True, withdraws=False)
PROJECT = Path(__file__).resolve().parents[2]


def row(**changes: Any) -> dict[str, Any]:
    permissions = {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": []}
    return {"readOnly": 0, "permissions": permissions, "ips": ["*"], "expiredAt": "", **changes}


WITHDRAWS = row(permissions={"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": ["Withdraw"]})


@pytest.mark.parametrize(
    ("changes", "trading", "words"),
    [
        ({}, True, None),
        ({"withdraws": True}, True, "may withdraw"),
        ({"withdraws": True}, False, "may withdraw"),
        ({"read_only": True}, True, "read-only"),
        ({"read_only": True}, False, None),
        ({"trades_spot": False}, True, "may not trade spot:"),
        ({"trades_spot": False, "trades_linear": False}, True, "spot and contracts"),
        ({"trades_linear": False}, False, None),
    ],
)
def test_what_is_said_of_a_key(changes: dict[str, Any], trading: bool, words: str | None) -> None:
    sentence = objection(GOOD.model_copy(update=changes), trading)
    assert sentence is None if words is None else sentence is not None and words in sentence


def test_a_key_that_expires_within_a_week_is_said() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert expiry_warning(GOOD, now) is None
    assert expiry_warning(GOOD.model_copy(update={"expires_at": now + timedelta(days=8)}), now) is None
    said = expiry_warning(GOOD.model_copy(update={"expires_at": now + timedelta(days=6)}), now)
    assert said is not None
    assert "2026-01-07" in said


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def checked(db: Database, answer: Any, mode: str = "testnet") -> list[SystemEvent]:
    """The events of a check of a trading worker's key, which must pass."""
    server = RawHttpServer(answer)
    exchange = BybitExchange(mode, "key", "secret", server.url)  # type: ignore[arg-type]
    settings = ExchangeSettings.model_validate({"mode": mode, "url": server.url})
    try:
        await check_key(settings, exchange, db, trading=True)
    finally:
        await exchange.close()
        server.close()
    return await events(db)


async def events(db: Database) -> list[SystemEvent]:
    async with db.session() as session:
        return list(await session.scalars(select(SystemEvent).order_by(SystemEvent.id)))


async def test_a_good_key_passes_without_a_word(db: Database) -> None:
    assert await checked(db, ret(0, **row())) == []


async def test_a_key_that_withdraws_is_refused_and_pages(db: Database) -> None:
    with pytest.raises(UnsafeKey, match="may withdraw"):
        await checked(db, ret(0, **WITHDRAWS))
    [event] = await events(db)
    assert (event.kind, event.severity, event.subject) == (KEY_REFUSED_EVENT, "page", "testnet")


async def test_a_key_the_exchange_refuses_is_refused_except_where_it_does_not_tell(db: Database) -> None:
    with pytest.raises(UnsafeKey, match="refuses the API key"):
        await checked(db, ret(10003, "API key is invalid."))
    assert len(await checked(db, ret(10032, "Demo trading are not supported."), mode="demo")) == 1


async def test_a_key_that_expires_soon_is_an_event_and_no_reason_to_stay_away(db: Database) -> None:
    soon = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    [event] = await checked(db, ret(0, **row(expiredAt=soon)))
    assert (event.kind, event.severity) == (KEY_EXPIRES_EVENT, "warning")


async def test_an_exchange_that_can_not_be_asked_is_asked_again(db: Database) -> None:
    with pytest.raises(RetryLater):
        await checked(db, body(b"", "429 Too Many Requests"))


def test_a_trading_worker_ends_with_a_sentence_and_its_own_exit_code(database: str, tmp_path: Path) -> None:
    server = RawHttpServer(ret(0, timeNano="1700000000000000000", **WITHDRAWS))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    settings = Settings.model_validate(
        {
            "postgres": {"dsn": database},
            "temporal": {"address": f"127.0.0.1:{nobody}"},
            "exchange": {"url": server.url, "api_key": "key", "api_secret": "secret"},
            "log_dir": tmp_path / "logs",
            "data_dir": tmp_path,
        }
    )
    environment = {**os.environ, **settings_environment(settings), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "workers.trading"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    server.close()
    assert done.returncode == 3, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("the exchange's API key may withdraw")


def test_doctor_says_the_same() -> None:
    server = RawHttpServer(ret(0, **WITHDRAWS))
    exchange = {"mode": "testnet", "url": server.url, "api_key": "key", "api_secret": "secret"}
    [bad] = _key(Settings.model_validate({"exchange": exchange}))
    server.answers = [ret(0, **row())]
    [good] = _key(Settings.model_validate({"exchange": exchange}))
    server.close()
    assert (bad.name, bad.ok) == ("exchange key", False)
    assert "may withdraw" in bad.detail
    assert good.ok
    assert "can't withdraw" in good.detail

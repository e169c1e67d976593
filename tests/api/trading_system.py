"""The trading system as processes: exchange, Temporal, trading worker, and the API in front of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from client import AtsClient
from client.models import PositionDetail
from tests.api.running import RunningApi, api_settings, running_api
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.servers import Server
from tests.support.temporal import running_temporal
from tests.support.waiting import wait_until
from workers.stack.process import ChildSpec


@dataclass
class TradingSystem:
    """A running system whose market is pushed by hand."""

    api: RunningApi
    exchange: PaperExchange
    worker: Server

    def push(self, category: str, symbol: str, *prices: str) -> None:
        """Make trades at these prices happen now, in order."""
        self.exchange.push_ticks([{"category": category, "symbol": symbol, "price": price} for price in prices])

    def until(self, client: AtsClient, position_id: str, state: str) -> PositionDetail:
        """The position once it is in ``state``."""
        wait_until(lambda: _in_state(client, position_id, state), f"{position_id} to be {state}")
        return client.position(position_id)

    def until_protected(self, client: AtsClient, position_id: str) -> PositionDetail:
        """The position once a guard watches it and its stop rests at the exchange."""
        wait_until(lambda: _is_protected(client, position_id), f"{position_id} to be guarded with a resting stop", 90)
        return client.position(position_id)


def _in_state(client: AtsClient, position_id: str, state: str) -> bool:
    return any(each.id == position_id for each in client.positions(state=state).items)


def _is_protected(client: AtsClient, position_id: str) -> bool:
    if not _in_state(client, position_id, "open"):
        return False
    protection = client.position(position_id).protection
    return protection is not None and protection.guard_live and protection.resting_stop


@contextmanager
def running_system(folder: Path, dsn: str) -> Iterator[TradingSystem]:
    """The whole of it over the database at ``dsn``, ready to trade; ended at the end."""
    with ExitStack() as opened:
        temporal = opened.enter_context(running_temporal(folder))
        (folder / "exchange").mkdir()
        exchange = paper_exchange_process(folder / "exchange", "--manual").start()
        opened.callback(exchange.stop)
        api = opened.enter_context(running_api(api_settings(folder, dsn, temporal.address)))
        worker = _trading_worker(folder, dsn, temporal.address, exchange, api)
        opened.enter_context(worker)
        yield TradingSystem(api, exchange, worker)


def _trading_worker(folder: Path, dsn: str, temporal_address: str, exchange: PaperExchange, api: RunningApi) -> Server:
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "ATS_DATA_DIR": str(folder / "data"),
        "ATS_LOG_DIR": str(folder / "logs"),
        "ATS_POSTGRES__DSN": dsn,
        "ATS_TEMPORAL__ADDRESS": temporal_address,
        "ATS_EXCHANGE__URL": exchange.url,
        "ATS_EXCHANGE__API_KEY": exchange.key,
        "ATS_EXCHANGE__API_SECRET": exchange.secret,
    }
    command = (sys.executable, "-m", "workers.trading")
    spec = ChildSpec(command, folder / "trading.out", Path.cwd(), environment)
    return Server(spec, lambda: _can_trade(api), ready_timeout=150)


def _can_trade(api: RunningApi) -> bool:
    """Workers poll, the account is known, the instruments are stored."""
    with api.client() as client:
        polled = {worker.name: worker.ok for worker in client.status().workers}
        known = client.account().equity is not None and bool(client.instruments())
    return polled["trading"] and polled["market"] and known

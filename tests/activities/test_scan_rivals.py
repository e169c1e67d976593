"""Two strategies that want one symbol at a time: what the rules allow is opened, the other is a block that says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.deciding import Accepted
from activities.entering import EntryActivities, Reservation, ReserveRequest
from db.models import BlockedSignal
from domain.candle import Timeframe
from domain.market import Category, PositionSide
from domain.position import PositionState
from domain.regime import Regime
from domain.strategies.contract import Strategy
from tests.activities.scan_desk import ScanDesk, know_regime, scan_desk
from tests.workflows.scanning import LEVEL, blocks, configure, positions, reconfigure, set_setting, signals

RIVALS: Mapping[str, Strategy] = dict.fromkeys(("alpha", "beta"), LEVEL["level"])
WANTED, UNWANTED = {"enter_over": 10_000.0}, {"enter_over": 1e9}
"""BTCUSDT stands at 60,000, ETHUSDT at 3,000."""
Market = tuple[Category, PositionSide]
SPOT: Market = (Category.SPOT, PositionSide.LONG)
LONG: Market = (Category.LINEAR, PositionSide.LONG)
SHORT: Market = (Category.LINEAR, PositionSide.SHORT)
MARKETS = [
    pytest.param(SPOT, SPOT, True, id="spot beside spot"),
    pytest.param(SPOT, SHORT, True, id="a short beside spot"),
    pytest.param(SHORT, SPOT, True, id="spot beside a short"),
    pytest.param(SPOT, LONG, True, id="a linear long beside spot"),
    pytest.param(SHORT, SHORT, False, id="a short beside a short"),
    pytest.param(LONG, SHORT, False, id="a short against a long"),
]


@pytest.fixture
async def desk(database: str, scratch: Path) -> AsyncIterator[ScanDesk]:
    async with scan_desk(database, scratch, RIVALS) as made:
        yield made


async def rival(desk: ScanDesk, name: str, market: Market = SPOT, **changes: Any) -> None:
    """A strategy that wants BTCUSDT at every close, on this market."""
    category, side = market
    asked = {"parameters": WANTED, "signal_ttl_seconds": 7200, **changes}
    await configure(desk.database, asked.pop("parameters"), strategy=name, category=category, side=side, **asked)


async def decided(desk: ScanDesk) -> list[Accepted]:
    await desk.complete()
    return (await desk.decide()).accepted


async def next_close(desk: ScanDesk, at_least: datetime | None = None) -> ScanDesk:
    clock = await desk.gateway.advance_clock()
    while at_least is not None and clock.now < at_least:
        clock = await desk.gateway.advance_clock()
    return replace(desk, request=desk.request.model_copy(update={"close_at": clock.now}))


async def reserve_at_once(desk: ScanDesk, accepted: Sequence[Accepted]) -> list[Reservation]:
    """Each by a worker process of its own: nothing but the database keeps them apart."""
    return await asyncio.gather(*(_reserve(desk, each) for each in accepted))


async def _reserve(desk: ScanDesk, accepted: Accepted) -> Reservation:
    request = ReserveRequest(
        **accepted.model_dump(),
        signal_id=accepted.position_id,
        requested_by="scan",
        reason="signal",
        requested_at=datetime.now(UTC),
    )
    activities = EntryActivities(desk.database, desk.gateway)
    return await ActivityEnvironment().run(activities.reserve_position, request)


async def both_decided(desk: ScanDesk, first: str, second: str) -> list[Accepted]:
    """Signals of two closes, one after the other, of which none has been reserved yet: workers were late."""
    await reconfigure(desk.database, first, parameters=WANTED)
    early = await decided(desk)
    await reconfigure(desk.database, first, parameters=UNWANTED)
    await reconfigure(desk.database, second, parameters=WANTED)
    late = await decided(await next_close(desk))
    assert [each.strategy for each in (*early, *late)] == [first, second], "each was free when it was decided"
    return [*early, *late]


def told(rows: Sequence[BlockedSignal]) -> list[tuple[str, int, str, str, str]]:
    return [(row.stage, row.place, row.gate, row.value, row.threshold) for row in rows]


@pytest.mark.parametrize(("first", "second", "beside"), MARKETS)
async def test_of_two_that_want_a_symbol_at_one_close_both_enter_or_the_second_is_blocked(
    desk: ScanDesk, first: Market, second: Market, beside: bool
) -> None:
    await rival(desk, "alpha", first)
    await rival(desk, "beta", second)
    accepted = await decided(desk)
    assert [each.strategy for each in accepted] == (["alpha", "beta"] if beside else ["alpha"])
    assert [each.accepted for each in await reserve_at_once(desk, accepted)] == [True] * len(accepted)
    held = await positions(desk.database)
    assert sorted((each.strategy, each.category, each.side) for each in held) == sorted(
        (each.strategy, each.category, each.side) for each in accepted
    )
    by_strategy = {each.strategy: each for each in await signals(desk.database)}
    assert by_strategy["alpha"].blocked_by is None
    assert by_strategy["beta"].blocked_by == (None if beside else "position_exists")
    block = ("decision", 0, "position_exists", by_strategy["alpha"].signal_id, "nobody")
    assert told(await blocks(desk.database)) == ([] if beside else [block])


@pytest.mark.parametrize(("first", "second", "beside"), MARKETS)
async def test_two_reservations_at_once_keep_to_the_rules_though_both_were_accepted(
    desk: ScanDesk, first: Market, second: Market, beside: bool
) -> None:
    await rival(desk, "alpha", first, parameters=UNWANTED)
    await rival(desk, "beta", second, parameters=UNWANTED)
    accepted = await both_decided(desk, "alpha", "beta")
    verdicts = await reserve_at_once(desk, accepted)
    assert sorted(each.accepted for each in verdicts) == [beside, True]
    held = await positions(desk.database)
    assert len(held) == 1 + beside
    block = ("reservation", 0, "position_exists", held[0].position_id, "nobody")
    assert told(await blocks(desk.database)) == ([] if beside else [block])


@pytest.mark.parametrize("market", [SPOT, SHORT], ids=["spot", "linear"])
async def test_a_strategy_that_wants_a_symbol_twice_gets_it_once(desk: ScanDesk, market: Market) -> None:
    await rival(desk, "alpha", market)
    early = await decided(desk)
    late = await decided(await next_close(desk))
    verdicts = await reserve_at_once(desk, [*early, *late])
    assert sorted(each.accepted for each in verdicts) == [False, True]
    (held,) = await positions(desk.database)
    assert told(await blocks(desk.database)) == [("reservation", 0, "position_exists", held.position_id, "nobody")]
    await decided(await next_close(desk))
    assert told(await blocks(desk.database))[1:] == [("decision", 0, "position_exists", held.position_id, "nobody")]


async def test_exposure_of_one_symbol_is_shared_by_spot_and_linear_also_at_once(desk: ScanDesk) -> None:
    await rival(desk, "alpha", SPOT, parameters=UNWANTED)
    await rival(desk, "beta", SHORT, parameters=UNWANTED)
    await set_setting(desk.database, "symbol_exposure_usd", "1900")
    verdicts = await reserve_at_once(desk, await both_decided(desk, "alpha", "beta"))
    assert sorted(each.accepted for each in verdicts) == [False, True]
    ((stage, place, gate, value, threshold),) = told(await blocks(desk.database))
    assert (stage, place, gate, threshold) == ("reservation", 0, "symbol_exposure_cap", "1900")
    assert Decimal(1900) < Decimal(value) <= Decimal(2000)


async def test_a_refused_reservation_tells_every_gate_in_the_order_of_the_chain(desk: ScanDesk) -> None:
    await rival(desk, "alpha", SHORT, parameters=UNWANTED)
    await rival(desk, "beta", LONG, parameters=UNWANTED)
    accepted = await both_decided(desk, "alpha", "beta")
    await set_setting(desk.database, "symbol_exposure_usd", "1900")
    await set_setting(desk.database, "max_open_positions", 1)
    (refused,) = (each for each in await reserve_at_once(desk, accepted) if not each.accepted)
    (held,) = await positions(desk.database)
    assert (refused.code, refused.field) == ("position_exists", "symbol")
    assert refused.rule == f"position {held.position_id} holds the symbol"
    rows = await blocks(desk.database)
    assert [(row.place, row.gate) for row in rows] == [
        (0, "position_exists"),
        (1, "portfolio_position_cap"),
        (2, "symbol_exposure_cap"),
    ]
    again = await reserve_at_once(desk, accepted)
    assert sorted(each.accepted for each in again) == [False, True]
    assert len(await blocks(desk.database)) == len(rows), "told once"


async def test_a_symbol_rests_for_the_strategy_that_closed_it_also_when_the_signal_was_there_before(
    desk: ScanDesk,
) -> None:
    await rival(desk, "alpha", cooldown_seconds=3600)
    await rival(desk, "beta", cooldown_seconds=3600, parameters=UNWANTED)
    (early,) = await decided(desk)
    later = await next_close(desk)
    (late,) = await decided(later)
    assert (await _reserve(desk, early)).accepted
    closed_at = later.request.close_at - timedelta(seconds=60)
    await desk.sql("UPDATE positions SET state = 'closed', closed_at = :at", at=closed_at)
    refused = await _reserve(desk, late)
    assert (refused.accepted, refused.code) == (False, "cooldown_active")
    assert told(await blocks(desk.database)) == [("reservation", 0, "cooldown_active", "60 s", "3600 s")]
    await reconfigure(desk.database, "beta", parameters=WANTED)
    latest = await next_close(desk)
    (other,) = await decided(latest)
    assert (other.strategy, (await _reserve(desk, other)).accepted) == ("beta", True), "it is not cooled by another's"
    assert [each.state for each in await positions(desk.database)] == [PositionState.CLOSED, PositionState.RESERVED]


async def test_after_a_bad_day_nobody_enters_until_the_market_has_another(desk: ScanDesk) -> None:
    await rival(desk, "alpha")
    await rival(desk, "beta", SHORT)
    await set_setting(desk.database, "daily_loss_limit_usd", "50")
    (early, other) = await decided(desk)
    assert (await _reserve(desk, early)).accepted
    await desk.sql(
        "INSERT INTO funding_payments (log_id, epoch, symbol, position_id, coin, amount, attributed, size, at) "
        "VALUES ('1', :epoch, 'BTCUSDT', :position, 'USDT', -50, -50, 1, :at)",
        epoch=desk.request.epoch,
        position=early.position_id,
        at=desk.request.close_at,
    )
    refused = await _reserve(desk, other)
    assert (refused.accepted, refused.code) == (False, "daily_loss_limit")
    assert told(await blocks(desk.database)) == [("reservation", 0, "daily_loss_limit", "-50", "over -50")]
    assert await decided(await next_close(desk)) == []
    assert ("decision", 0, "daily_loss_limit", "-50", "over -50") in told(await blocks(desk.database))
    midnight = Timeframe.D1.floor(desk.request.close_at) + Timeframe.D1.duration
    await know_regime(desk.database, desk.request.epoch, midnight, Regime.NEUTRAL)
    tomorrow = await next_close(desk, midnight)
    assert [each.strategy for each in await decided(tomorrow)] == ["beta"]

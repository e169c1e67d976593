"""A part of the fault matrix: every fault once, for an entry, an exit or a stop (in full: for each of them where it is
of one order), and the judge asked after all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.fault_matrix import EXCHANGE_OPTIONS, FAULTS, Moment, judged, matrix_on
from tests.support.paper import paper_exchange_process
from tests.support.scale import FULL
from tests.support.temporal import running_temporal
from tests.support.trading import settings_for

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(420)]

ENTRIES = (Moment.ENTRY_AFTER, Moment.ENTRY_BEFORE, Moment.ENTRY_PARTIAL)
EXITS = (Moment.EXIT_AFTER, Moment.EXIT_PARTIAL, Moment.EXIT_BEFORE)
STOPS = (
    Moment.STOP_AMEND,
    Moment.STOP_CANCEL,
    Moment.STOP_MOVE,
    Moment.STOP_AFTER,
    Moment.STOP_PARTIAL,
    Moment.STOP_BEFORE,
)


@pytest.mark.parametrize("alone", [False, True], ids=["of one order", "of the whole exchange"])
async def test_no_fault_at_any_moment_loses_doubles_or_uncovers_anything(
    database: str, scratch: Path, alone: bool
) -> None:
    (scratch / "exchange").mkdir()
    exchange = paper_exchange_process(scratch / "exchange", *EXCHANGE_OPTIONS).start()
    faults = [fault for fault in FAULTS if fault.alone is alone]
    try:
        with running_temporal(scratch) as temporal:
            settings = settings_for(database, temporal.address, exchange)
            async with matrix_on(settings, exchange) as matrix:
                outcomes = []
                for number, fault in enumerate(faults):
                    turn = (ENTRIES[number % 3], EXITS[number % 3], STOPS[number % 6])
                    outcomes += await matrix.run(fault, turn if FULL and not alone else turn[number % 3 :][:1])
                wrong = await judged(settings)
    finally:
        exchange.stop()
    assert [(o.fault, o.moment, o.cell()) for o in outcomes if not o.ok] == []
    assert wrong == []

"""Instruments as they were told last."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from db.repositories.market import find_instrument, upsert_instruments
from db.session import Database
from domain.market import Category
from tests.activities.held import instrument

LAUNCHED = datetime(2021, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("told_later", [None, LAUNCHED])
async def test_what_is_told_replaces_what_was_but_a_launch_once_told_stays(
    database: str, told_later: datetime | None
) -> None:
    data = Database(database)
    first = instrument("BTCUSDT", Category.LINEAR).model_copy(update={"launched_at": LAUNCHED})
    for told in (first, first.model_copy(update={"launched_at": told_later, "tradable": False})):
        async with data.session() as session:
            await upsert_instruments(session, [told])
    async with data.session() as session:
        stored = await find_instrument(session, Category.LINEAR, "BTCUSDT")
    await data.close()
    assert stored == first.model_copy(update={"tradable": False})

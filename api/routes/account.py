"""The account as the exchange tells it, with open positions at live prices; and what can be traded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query

from api.authentication import Viewer
from api.presenting import position_view
from api.services import ServicesDep
from db import reading
from db.repositories.market import list_instruments
from domain.market import Category
from domain.views import AccountView, BalanceView, InstrumentView, PositionView, age_seconds

router = APIRouter(tags=["account"])

ACCOUNT = "unified"
_MOST_POSITIONS = 1_000


@router.get("/account")
async def show_account(services: ServicesDep, _caller: Viewer) -> AccountView:
    """Equity and balances by the exchange's word, and what our open positions are worth now."""
    now = datetime.now(UTC)
    async with services.database.session() as session:
        account, balances = await reading.wallet(session, ACCOUNT)
        facts = await reading.list_positions(session, state="active", symbol=None, cursor=None, limit=_MOST_POSITIONS)
        count = await reading.count_open_positions(session)
    positions = [position_view(each, now) for each in facts]
    held = [position for position in positions if position.qty > 0]
    ages = [position.price.age_seconds for position in held if position.price is not None]
    return AccountView(
        equity=account.total_equity if account else None,
        age_seconds=age_seconds(account.updated_at, now) if account else None,
        balances=[BalanceView.model_validate(row, from_attributes=True) for row in balances],
        positions_value=_total(position.value for position in held),
        unrealised_pnl=_total(position.unrealised_pnl for position in held),
        open_positions=count,
        unpriced_symbols=_unpriced(held),
        oldest_price_age_seconds=max(ages, default=None),
    )


def _total(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _unpriced(held: list[PositionView]) -> list[str]:
    """Symbols of positions that no total includes, because no live price of theirs is known."""
    return sorted({position.symbol for position in held if position.value is None})


@router.get("/instruments")
async def show_instruments(
    services: ServicesDep, _caller: Viewer, category: Annotated[Category | None, Query()] = None
) -> list[InstrumentView]:
    """What can be traded, by symbol."""
    async with services.database.session() as session:
        instruments = await list_instruments(session)
    return [
        InstrumentView.model_validate(instrument, from_attributes=True)
        for instrument in instruments
        if category is None or instrument.category is category
    ]

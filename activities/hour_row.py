"""The row of an hour, from what its snapshot has read and judged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from activities.hour_invariants import HourFacts, Judged
from domain.clock import MarketClock
from domain.portfolio import HOUR, coins_not_ours, day_of, flows, funding_by_symbol, start_of, total
from observability.tracing import current_trace_id


def row_values(clock: MarketClock, facts: HourFacts, judged: Judged, notes: list[str]) -> dict[str, Any]:
    """The columns of ``portfolio_hourly_snapshots``."""
    hour, before, ledger, prices = facts.hour, facts.before, facts.ledger, facts.prices
    midnight = start_of(day_of(hour))
    last_hour = flows(ledger.closings, ledger.fills, facts.log, prices, hour - HOUR, hour)
    today = flows(ledger.closings, ledger.fills, (), prices, midnight, hour)
    same_day = before.row is not None and before.row.day == day_of(hour)
    begun = before.told("funding_today") if same_day else {}
    funding = funding_by_symbol(facts.log, prices, max(before.hour, midnight), hour, begun)
    return {
        "epoch": clock.epoch,
        "hour": hour,
        "day": day_of(hour),
        "equity": facts.standing.equity,
        "unified_balance": facts.standing.equity,
        "funding_balance": None,
        "invested": facts.standing.invested,
        "unrealised_pnl": facts.standing.unrealised,
        "realised_pnl": last_hour.realised,
        "fees": last_hour.fees,
        "funding": last_hour.funding,
        # What a market's account began with was there before its first snapshot.
        "transfers": Decimal(0) if before.row is None else last_hour.transfers,
        "bought": last_hour.bought,
        "sold": last_hour.sold,
        "net_pnl_daily": total([today.net, *funding.values()]),
        "unexplained": judged.unexplained,
        "open_positions": facts.standing.open_positions,
        "detail": {
            "since": before.hour.isoformat(),
            "balances": _texts(facts.balances),
            "coin_prices": _texts(prices.coins),
            "linear_prices": _texts(prices.linear),
            "not_ours": _texts(coins_not_ours(facts.holdings, facts.balances)),
            "revalued": str(judged.revalued),
            "others": str(judged.others),
            "funding_today": _texts(funding),
            "invariants": judged.document(),
            "read_wall": ledger.read_wall.isoformat(),
            "notes": notes,
        },
        "taken_at": clock.now,
        "trace_id": current_trace_id(),
    }


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}

"""The portfolio's figures over the API, held against rows made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from db.base import Base
from db.models import Dust, FundingPayment, MarketClockCursor, PortfolioHourlySnapshot, WatchlistScore
from domain.decision_views import PERIODS, PnlView, PortfolioView
from domain.portfolio import day_of
from domain.views import PositionDetail
from tests.api import rows
from tests.api.running import RunningApi

D = Decimal
EPOCH = "test"
"""What ``rows.position`` says it belongs to. Everything there is entered on 2026-03-01 12:00 and left at 13:00."""


def snapshot(hour: datetime, net: str, epoch: str = EPOCH, **changes: Any) -> PortfolioHourlySnapshot:
    zero = D(0)
    fields: dict[str, Any] = {
        "epoch": epoch,
        "hour": hour,
        "day": day_of(hour),
        "equity": D(100_000),
        "unified_balance": D(100_000),
        "funding_balance": None,
        "invested": zero,
        "unrealised_pnl": zero,
        "realised_pnl": zero,
        "fees": zero,
        "funding": zero,
        "transfers": zero,
        "bought": zero,
        "sold": zero,
        "net_pnl_daily": D(net),
        "unexplained": zero,
        "open_positions": 0,
        "detail": {"funding_today": {}},
        "taken_at": hour + timedelta(seconds=1),
    }
    return PortfolioHourlySnapshot(**{**fields, **changes})


def clock(until: datetime, epoch: str = EPOCH, **changes: Any) -> MarketClockCursor:
    return MarketClockCursor(epoch=epoch, began_at=rows.ENTERED, scanned_until=until, snapshot_until=until, **changes)


def traded() -> list[Base]:
    """One position open since 12:00, one closed at 13:00 with 1000 before fees of 30 and 30 (its match says 61)."""
    return [rows.instrument(), *rows.wallet(), *rows.open_position(1), *rows.closed_position(2)]


def pnl(api: RunningApi, period: str) -> PnlView:
    with api.http() as http:
        answer = http.get("/v1/analytics/pnl", params={"period": period})
    assert answer.status_code == 200, answer.text
    return PnlView.model_validate(answer.json())


def portfolio(api: RunningApi) -> PortfolioView:
    with api.http() as http:
        answer = http.get("/v1/analytics/portfolio")
    assert answer.status_code == 200, answer.text
    return PortfolioView.model_validate(answer.json())


@pytest.mark.parametrize("path", ["portfolio", "pnl"])
def test_the_figures_need_a_key(api: RunningApi, path: str) -> None:
    with api.http("") as http:
        assert http.get(f"/v1/analytics/{path}").status_code == 401


def test_a_period_nobody_knows_is_refused(api: RunningApi) -> None:
    with api.http() as http:
        answer = http.get("/v1/analytics/pnl", params={"period": "1y"})
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["field"].endswith("period")


def test_nothing_traded_is_no_error(api: RunningApi) -> None:
    view = portfolio(api)
    assert (view.equity, view.snapshot_hour, view.assets) == (None, None, [])
    assert set(view.pnl) == set(PERIODS)
    assert set(view.pnl.values()) == {D(0)}
    today = pnl(api, "today")
    assert (today.net_pnl, [day.net_pnl for day in today.days], today.hours) == (0, [0], [])


def test_without_a_snapshot_the_ledger_tells_the_running_day_and_its_parts_add_up(
    api: RunningApi, database: str
) -> None:
    rows.store(database, [*traded(), clock(rows.ENTERED + timedelta(hours=2))])
    view = pnl(api, "today")
    assert view.net_pnl == 1000 - 3 * 30, "the fee of the position still open counts as well"
    assert view.by_strategy == {"manual1": D(-30), "manual2": D(940)}
    assert view.by_symbol == {"BTCUSDT": D(910)}
    assert view.as_of == rows.ENTERED + timedelta(hours=2)
    assert [(day.day, day.equity, day.unrealised_pnl) for day in view.days] == [("2026-03-01", D("100750.5"), D(750))]


def test_the_running_day_is_its_last_snapshot_and_what_came_after(api: RunningApi, database: str) -> None:
    at = rows.ENTERED
    rows.store(
        database,
        [
            *traded(),
            snapshot(at, "-60", fees=D(60)),
            clock(at + timedelta(hours=2)),
        ],
    )
    view = pnl(api, "today")
    assert view.net_pnl == -60 + 1000 - 30 == sum(view.by_strategy.values()) == sum(view.by_symbol.values())
    assert [hour.net_pnl_daily for hour in view.hours] == [-60]
    assert portfolio(api).pnl["today"] == view.net_pnl


def test_a_finished_day_is_its_last_snapshot_and_never_the_sum_of_its_hours(api: RunningApi, database: str) -> None:
    at, midnight = rows.ENTERED, datetime(2026, 3, 2, tzinfo=UTC)
    rows.store(
        database,
        [
            *traded(),
            snapshot(at, "-60"),
            snapshot(at + timedelta(hours=1), "910"),
            snapshot(midnight, "910", equity=D(101_000), unrealised_pnl=D(90)),
            snapshot(midnight + timedelta(hours=1), "0"),
            clock(midnight + timedelta(hours=1)),
        ],
    )
    week = pnl(api, "7d")
    assert [(day.day, day.net_pnl) for day in week.days] == [("2026-03-01", 910), ("2026-03-02", 0)]
    assert (week.days[0].equity, week.days[0].unrealised_pnl) == (101_000, 90)
    assert week.net_pnl == 910 == sum(week.by_strategy.values())
    today = pnl(api, "today")
    assert (today.net_pnl, today.by_strategy, len(today.hours)) == (0, {}, 1)
    view = portfolio(api)
    assert view.pnl == {"today": 0, "7d": 910, "30d": 910, "180d": 910, "all": 910}
    assert (view.snapshot_hour, view.snapshot_equity) == (midnight + timedelta(hours=1), 100_000)


def test_the_value_is_the_newest_snapshot_and_what_was_made_and_moved_since(api: RunningApi, database: str) -> None:
    at = rows.ENTERED
    held_then = snapshot(at, "-60", equity=D(100_000), unrealised_pnl=D(-40))
    dust = Dust(position_id=rows.position(2).position_id, coin="BTC", qty=D("0.00001"), cost=D("0.6"))
    rows.store(database, [*traded(), dust, held_then, clock(at + timedelta(hours=2))])
    moved = D(750) - D(-40) + D("0.00001") * (61_500 - 60_000)
    assert portfolio(api).equity == 100_000 + (1000 - 30) + moved, "not what the wallet was last told to be worth"
    assert pnl(api, "today").days[-1].equity == portfolio(api).equity


def test_funding_is_in_the_day_and_in_both_sums(api: RunningApi, database: str) -> None:
    at = rows.ENTERED + timedelta(hours=1)
    rows.store(
        database,
        [*traded(), snapshot(at, "907.5", detail={"funding_today": {"ETHUSDT": "-2.5"}}), clock(at)],
    )
    view = pnl(api, "all")
    assert view.net_pnl == D("907.5")
    assert view.by_strategy == {"funding": D("-2.5"), "manual1": D(-30), "manual2": D(940)}
    assert view.by_symbol == {"BTCUSDT": D(910), "ETHUSDT": D("-2.5")}


def payment(number: int, symbol: str, amount: str, at: datetime, owner: int | None, part: str = "0") -> FundingPayment:
    return FundingPayment(
        log_id=f"log-{number}",
        epoch=EPOCH,
        symbol=symbol,
        position_id=None if owner is None else rows.position(owner).position_id,
        coin="USDT",
        amount=D(amount),
        attributed=D(part),
        size=D(1),
        rate=D("0.0001"),
        at=at,
    )


def test_funding_is_its_positions_strategys_and_what_is_nobodys_is_told_apart(api: RunningApi, database: str) -> None:
    """A payment shared with others, one of others alone, and one of an hour before payments were kept."""
    at = rows.ENTERED + timedelta(hours=1)
    told = {"BTCUSDT": "-3", "ETHUSDT": "-2.5", "SOLUSDT": "1"}
    rows.store(
        database,
        [
            *traded(),
            payment(1, "BTCUSDT", "-3", at, 1, "-2"),
            payment(2, "SOLUSDT", "1", at, None),
            snapshot(at, "905.5", detail={"funding_today": told}),
            clock(at),
        ],
    )
    view = pnl(api, "all")
    assert view.net_pnl == D("905.5") == sum(view.by_strategy.values()) == sum(view.by_symbol.values())
    assert view.by_strategy == {"funding": D("-2.5"), "manual1": D(-32), "manual2": D(940)}
    assert view.by_symbol == {"BTCUSDT": D(907), "ETHUSDT": D("-2.5"), "SOLUSDT": D(1)}


def test_funding_since_the_newest_snapshot_counts_at_once_and_only_once(api: RunningApi, database: str) -> None:
    at = rows.ENTERED
    rows.store(
        database,
        [
            *traded(),
            payment(1, "BTCUSDT", "-1", at, 1, "-1"),
            payment(2, "BTCUSDT", "-4", at + timedelta(hours=1), 1, "-4"),
            snapshot(at, "-61", fees=D(60), detail={"funding_today": {"BTCUSDT": "-1"}}),
            clock(at + timedelta(hours=2)),
        ],
    )
    view = pnl(api, "today")
    assert view.net_pnl == -61 + (1000 - 30) - 4 == sum(view.by_strategy.values()) == sum(view.by_symbol.values())
    assert view.by_strategy == {"manual1": D(-35), "manual2": D(940)}
    assert portfolio(api).pnl["today"] == view.net_pnl


def test_a_position_tells_gross_fees_funding_and_net(api: RunningApi, database: str) -> None:
    at = rows.ENTERED + timedelta(minutes=30)
    rows.store(database, [*traded(), payment(1, "BTCUSDT", "-3", at, 2, "-2")])
    closed = rows.position(2).position_id
    with api.http() as http:
        view = PositionDetail.model_validate(http.get(f"/v1/positions/{closed}").raise_for_status().json())
    assert (view.gross_pnl, view.fees, view.funding, view.net_pnl) == (1000, 61, -2, 937)
    assert view.realised_pnl == 939, "what was closed, without funding"
    assert [(each.amount, each.paid, each.at) for each in view.funding_payments] == [(-2, -3, at)]


def test_invariants_of_the_newest_hour_are_told_and_hours_count_what_does_not_hold(
    api: RunningApi, database: str
) -> None:
    check = {
        "kind": "spot_lots",
        "subject": "BTC",
        "exchange": "1",
        "lots": "0.4",
        "dust": "0",
        "foreign": "0.5",
        "unexplained": "0.1",
        "worth": "6000",
        "broken": True,
        "sentence": "0.1 is unexplained",
    }
    kept = {"checks": [check, {**check, "subject": "ETH", "broken": False}], "not_judged": ["linear symbols"]}
    at = rows.ENTERED
    rows.store(
        database,
        [
            snapshot(at, "0"),
            snapshot(at + timedelta(hours=1), "0", detail={"funding_today": {}, "invariants": kept}),
            clock(at + timedelta(hours=1)),
        ],
    )
    view = portfolio(api)
    assert [(each.subject, each.unexplained, each.broken) for each in view.invariants] == [
        ("BTC", D("0.1"), True),
        ("ETH", D("0.1"), False),
    ]
    assert view.not_judged == ["linear symbols"]
    assert [hour.broken for hour in pnl(api, "all").hours] == [0, 1]


def test_volumes_and_fees_are_told_by_hour(api: RunningApi, database: str) -> None:
    at = rows.ENTERED
    first: dict[str, Any] = {"bought": D(100), "sold": D(40), "fees": D("0.14"), "funding": D("-0.02")}
    rows.store(database, [snapshot(at, "0", **first), snapshot(at + timedelta(hours=1), "0"), clock(at)])
    told = [{name: getattr(hour, name) for name in first} for hour in pnl(api, "all").hours]
    assert told == [first, dict.fromkeys(first, D(0))]


def test_only_the_market_that_is_traded_now_counts(api: RunningApi, database: str) -> None:
    at, now = rows.ENTERED, datetime.now(UTC)
    rows.store(
        database,
        [
            *traded(),
            snapshot(at + timedelta(hours=1), "910"),
            snapshot(at, "5", epoch="newer"),
            clock(at + timedelta(hours=1), updated_at=now - timedelta(hours=1)),
            clock(at, epoch="newer", updated_at=now),
        ],
    )
    assert pnl(api, "all").net_pnl == 5
    assert portfolio(api).snapshot_hour == at


def test_assets_are_owned_traded_or_watched_with_what_is_known_of_each(api: RunningApi, database: str) -> None:
    later = rows.ENTERED + timedelta(hours=2)
    scored = {"evidence": {}, "close_at": rows.ENTERED}
    traded_eth = rows.position(3, symbol="ETHUSDT", category="linear", state="closed", qty=D(0), side="short")
    rows.store(
        database,
        [
            *traded(),
            traded_eth,
            WatchlistScore(strategy="momentum", category="spot", symbol="BTCUSDT", score=61.0, **scored),
            WatchlistScore(strategy="momentum", category="linear", symbol="SOLUSDT", score=40.0, **scored),
            WatchlistScore(strategy="trend_breakdown", category="linear", symbol="SOLUSDT", score=70.0, **scored),
            clock(later),
        ],
    )
    view = portfolio(api)
    owned, gone, seen = view.assets
    assert [(row.kind, row.category, row.symbol) for row in view.assets] == [
        ("owned", "spot", "BTCUSDT"),
        ("traded", "linear", "ETHUSDT"),
        ("watched", "linear", "SOLUSDT"),
    ]
    assert (owned.balance, owned.qty, owned.price, owned.value) == (D("0.5"), D("0.5"), 61500, 30750)
    assert (owned.invested, owned.invested_today, owned.unrealised_pnl, owned.realised_pnl) == (30000, 60000, 750, 939)
    assert (owned.protected, owned.score, owned.watched_by) == (True, 61.0, ["momentum"])
    assert (gone.balance, gone.qty, gone.value, gone.protected, gone.score) == (None, 0, None, None, None)
    assert (seen.score, seen.watched_by) == (70.0, ["trend_breakdown", "momentum"])
    assert (view.equity, view.unified_balance, view.funding_balance) == (D("100750.5"), D("100750.5"), None)
    assert (view.invested, view.unrealised_pnl, view.open_positions) == (30000, 750, 1)


def test_what_nobody_watches_is_told_as_unprotected(api: RunningApi, database: str) -> None:
    unguarded = [row for row in rows.open_position(1, guard_seen=60) if getattr(row, "role", "") != "S"]
    rows.store(database, [rows.instrument(), *unguarded])
    assert [row.protected for row in portfolio(api).assets] == [False]

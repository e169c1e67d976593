"""The Analytics page over a real API: its one figure, its charts and the file it exports."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from client.models import SnapshotView
from tests.api import rows
from tests.api.running import RunningApi
from tests.ui import decision_rows
from tests.ui.decision_rows import CLOSE
from tests.ui.showing import figures, page, texts
from ui.exporting import snapshots_csv
from ui.formatting import money_text
from ui.pnl_charts import drawdowns

amounts = st.decimals(min_value=0, max_value=10**9, places=2)


def _snapshot(equity: Decimal, transfers: Decimal = Decimal(0)) -> SnapshotView:
    row = decision_rows.snapshot(CLOSE, str(equity), transfers=transfers)
    return SnapshotView.model_validate(row, from_attributes=True)


def test_without_snapshots_it_says_when_there_will_be_one(api: RunningApi, database: str) -> None:
    told = texts(page("analytics"))
    assert "One is taken at each full hour of market time" in told
    assert "Nothing was closed in this period" in told


def test_the_figure_of_a_period_is_the_api_s(api: RunningApi, database: str) -> None:
    hours = [CLOSE - timedelta(hours=30), CLOSE - timedelta(hours=2), CLOSE - timedelta(hours=1)]
    running = ("100", "-30.5", "12.25")
    snapshots = [
        decision_rows.snapshot(hour, net_pnl_daily=Decimal(pnl)) for hour, pnl in zip(hours, running, strict=True)
    ]
    rows.store(database, [rows.instrument(), decision_rows.market_clock(), *snapshots])
    shown = page("analytics")
    with api.client() as client:
        told = {period: client.pnl(period).net_pnl for period in ("7d", "today")}
    assert told == {"7d": Decimal("112.25"), "today": Decimal("12.25")}
    assert figures(shown)["Net P&L · 7 days (USD)"] == money_text(told["7d"], signed=True)
    shown.segmented_control(key="analytics-period").set_value("today").run()
    assert figures(shown)["Net P&L · Today (USD)"] == money_text(told["today"], signed=True)
    assert not shown.exception


def test_the_export_holds_every_hour_with_amounts_in_full() -> None:
    first, second = _snapshot(Decimal("100.123456789")), _snapshot(Decimal("99"))
    lines = list(csv.DictReader(io.StringIO(snapshots_csv([first, second]))))
    assert [line["equity"] for line in lines] == ["100.123456789", "99"]
    assert set(lines[0]) == set(SnapshotView.model_fields)


def test_a_drawdown_is_counted_from_the_highest_equity_so_far() -> None:
    hours = [_snapshot(Decimal(equity)) for equity in (100, 120, 90, 120, 130)]
    assert drawdowns(hours) == [0.0, 0.0, -25.0, 0.0, 0.0]


@given(st.lists(amounts, min_size=1, max_size=20))
def test_a_drawdown_is_never_a_gain_nor_more_than_everything(equities: list[Decimal]) -> None:
    found = drawdowns([_snapshot(equity) for equity in equities])
    assert len(found) == len(equities)
    assert all(-100.0 <= drawdown <= 0.0 for drawdown in found)


def test_a_withdrawal_is_no_drawdown() -> None:
    hours = [_snapshot(Decimal(1000)), _snapshot(Decimal(400), transfers=Decimal(-600)), _snapshot(Decimal(360))]
    assert drawdowns(hours) == [0.0, 0.0, -4.0]

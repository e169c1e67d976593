"""Portfolio value and P&L come from ``GET /v1/analytics/portfolio`` and ``/pnl``, never from a sum made up elsewhere.

Wallet rows double-count and hourly ``net_pnl_daily`` is a running sum: adding either up gives figures that are wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {"api/routes/analytics.py", "api/presenting_portfolio.py"}
"""What serves the two endpoints."""
EXCHANGE = "exchange/paper/"
"""The paper exchange adds up the wallet that it tells: it is the exchange."""

_ADDED = re.compile(r"\b(net_pnl_daily|wallet_balances?|WalletBalance|WalletAccount|usd_value|total_equity)\b")
"""Columns and rows that nobody may add up."""
_SUMS = {"sum", "fsum", "total", "cumsum", "sum_"}
_SQL = (
    re.compile(r"\bsum\s*\([\w\s(.,*+]*\b(net_pnl_daily|usd_value|wallet_balance|total_equity)\b", re.I),
    re.compile(r"\bsum\s*\((?:(?!;).)*\bfrom\s+wallet_(balances|accounts)\b", re.I | re.S),
)


def offences(source: str) -> list[str]:
    """Every place of a Python source that adds up wallet rows or hourly P&L, in Python or in SQL."""
    return [f"line {line}: {text}" for line, text in _offences(ast.parse(source))]


def _offences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in _SUMS:
            added = ast.unparse(node)
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            added = ast.unparse(node.value)
        else:
            added = ""
        if _ADDED.search(added) or (id(node) not in inside and adds_in_sql(_text(node))):
            yield getattr(node, "lineno", 0), ast.unparse(node)


def adds_in_sql(text: str) -> bool:
    return any(pattern.search(text) for pattern in _SQL)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return ast.unparse(node)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def project_files(*endings: str) -> list[Path]:
    """The project's own files but its tests, which may check a figure by hand."""
    skipped = {".venv", "tests", "plans", ".git"}
    files = (path for ending in endings for path in ROOT.rglob(f"*{ending}"))
    return sorted(path for path in files if not skipped & set(path.relative_to(ROOT).parts))


def test_nothing_of_the_project_adds_up_wallet_rows_or_hourly_pnl() -> None:
    files = project_files(".py")
    names = {str(path.relative_to(ROOT)) for path in files}
    assert names >= ALLOWED | {"db/repositories/portfolio.py", "ui/pnl_charts.py", "cli/decision_tables.py"}
    judged = sorted(name for name in names - ALLOWED if not name.startswith(EXCHANGE))
    found = {name: offences((ROOT / name).read_text()) for name in judged}
    assert {name: places for name, places in found.items() if places} == {}


def test_no_sql_file_does_either() -> None:
    assert [str(path) for path in project_files(".sql") if adds_in_sql(path.read_text())] == []


@pytest.mark.parametrize(
    "planted",
    [
        "select(func.sum(PortfolioHourlySnapshot.net_pnl_daily))",
        "select(func.sum(func.coalesce(row.net_pnl_daily, 0)))",
        "select(func.sum(WalletBalance.usd_value))",
        "equity = sum(row.usd_value for row in wallet)",
        "equity = total(coin.wallet_balance for coin in coins)",
        "pnl = sum(hour.net_pnl_daily for hour in hours)",
        "pnl = frame['net_pnl_daily'].sum()",
        "pnl = frame.net_pnl_daily.cumsum()",
        "for row in rows:\n    equity += row.usd_value",
        "for hour in hours:\n    pnl += hour.net_pnl_daily",
        "text('SELECT SUM(usd_value) FROM wallet_balances')",
        "text('select sum(wallet_balance * price) from somewhere')",
        "text('''SELECT sum(quantity)\n        FROM wallet_balances''')",
        "text('SELECT day, sum(coalesce(net_pnl_daily, 0)) FROM portfolio_hourly_snapshots GROUP BY day')",
        "text(f'SELECT sum(net_pnl_daily) FROM {view}')",
    ],
)
def test_a_sum_that_is_planted_is_found(planted: str) -> None:
    assert len(offences(planted)) == 1


@pytest.mark.parametrize(
    "innocent",
    [
        "select(func.sum(LotMatchRow.net))",
        "net = total(result.net for result in results)",
        "fees = sum(hour.fees for hour in hours)",
        "text('SELECT DISTINCT ON (day) net_pnl_daily FROM portfolio_hourly_snapshots ORDER BY day, hour DESC')",
        "text('SELECT usd_value FROM wallet_balances')",
        "'the running sum of realised - fees + funding: net_pnl_daily is never summed'",
        "frame = [float(each.net_pnl_daily) for each in hours]",
        "count += len(wallet)",
    ],
)
def test_what_adds_up_something_else_is_left_alone(innocent: str) -> None:
    assert offences(innocent) == []

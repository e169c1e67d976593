"""The ledger: fills booked a second, exactly, against the same LIFO matching in floats."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from benchmarks.registry import Figure, benchmark
from benchmarks.timing import ROUNDS, best_rate
from domain.ledger import Fill, Lot, apply_fill
from domain.market import Category, PositionSide, Side

START = datetime(2026, 1, 1, tzinfo=UTC)


def fills(count: int, seed: int = 1) -> list[Fill]:
    """Entries and exits of one long position that never closes more than is open."""
    random = Random(seed)
    made: list[Fill] = []
    held = Decimal(0)
    for number in range(count):
        qty = Decimal(random.randint(1, 1000)).scaleb(-3)
        price = Decimal(random.randint(5_000_000, 7_000_000)).scaleb(-2)
        side = Side.SELL if held > 20 or (held >= qty and random.random() < 0.5) else Side.BUY
        held += qty if side is Side.BUY else -qty
        fee = qty * price * Decimal("0.00055")
        at = START + timedelta(seconds=number)
        made.append(Fill(f"x{number}", Category.LINEAR, "BTCUSDT", side, qty, price, fee, "USDT", "BTC", "USDT", at))
    return made


def book_exactly(trades: list[Fill]) -> Decimal:
    """Net realised P&L by the ledger."""
    book: tuple[Lot, ...] = ()
    net = Decimal(0)
    for fill in trades:
        applied = apply_fill(book, fill, PositionSide.LONG)
        book = applied.book
        for match in applied.matches:
            net += match.net
    return net


def book_in_floats(trades: list[tuple[bool, float, float, float]]) -> float:
    """Net realised P&L by the same matching with binary floats: nearly right."""
    lots: list[list[float]] = []
    net = 0.0
    for buys, qty, price, fee in trades:
        if buys:
            lots.append([qty, price, fee])
            continue
        left, fee_rate = qty, fee / qty
        while left > 1e-9 and lots:
            lot = lots[-1]
            taken = min(left, lot[0])
            open_fee = lot[2] * taken / lot[0]
            net += taken * (price - lot[1]) - open_fee - fee_rate * taken
            lot[0] -= taken
            lot[2] -= open_fee
            left -= taken
            if lot[0] <= 1e-9:
                lots.pop()
    return net


@benchmark("ledger")
def ledger() -> Iterator[Figure]:
    """Fills a second through ``apply_fill``, lots and matches included."""
    count = 5_000
    trades = fills(count)
    plain = [(fill.side is Side.BUY, float(fill.qty), float(fill.price), float(fill.fee)) for fill in trades]
    exact, near = book_exactly(trades), book_in_floats(plain)
    if abs(float(exact) - near) > 1e-3:
        raise AssertionError(f"the ledger says {exact}, the reference {near}")

    def booked() -> int:
        book_exactly(trades)
        return count

    def reference() -> int:
        book_in_floats(plain)
        return count

    yield Figure(
        "ledger_fills",
        best_rate(booked),
        "fills/s",
        "same matching in floats, inexact, keeping no matches",
        best_rate(reference),
        {"fills": count, "rounds": ROUNDS, "float_error_usd": float(f"{abs(float(exact - Decimal(near))):.3g}")},
    )

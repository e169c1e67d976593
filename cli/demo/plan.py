"""What the demo asks for: entries as an operator would order them, on both sides of both markets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import cycle

from client.models import Category, ExitPolicy, InstrumentView, TradeRequest

# Percent that a market of minutes to hours reaches; each shows another way out.
_POLICIES = (
    {"stop_loss_pct": "0.9", "trailing_activation_pct": "0.4", "trailing_distance_pct": "0.2"},
    {"stop_loss_pct": "0.8", "take_profit_pct": "0.7"},
    {"stop_loss_pct": "1.5", "trailing_stop_pct": "0.6"},
    {"stop_loss_pct": "1.2", "take_profit_pct": "2.4", "break_even_at_pct": "0.5", "max_hold_seconds": 14_400},
)
_SPENT = Decimal(2_000)


def entries(instruments: Sequence[InstrumentView]) -> Iterator[TradeRequest]:
    """Endless entries, walking through the instruments: spot is bought, linear is sold and bought in turn."""
    policies = cycle(ExitPolicy.model_validate(policy) for policy in _POLICIES)
    places = sorted(instruments, key=lambda one: (one.symbol, one.category))
    turn = 0
    while True:
        for number, instrument in enumerate(places):
            short = instrument.category is Category.LINEAR and (number // 2 + turn) % 2 == 0
            yield TradeRequest(
                side="sell" if short else "buy",
                category=instrument.category,
                symbol=instrument.symbol,
                usd=_SPENT,
                exit_policy=next(policies),
                reason="demo",
            )
        turn += 1

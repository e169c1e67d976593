"""Rows of the regime as the API tells them."""

from __future__ import annotations

from typing import Final

from db.models import BtcMarketStateHistory
from domain.regime import Regime
from domain.regime_views import RegimeTermView, RegimeView

_CONFIRMATION: Final = "confirmation_4h"


def regime_view(row: BtcMarketStateHistory) -> RegimeView:
    terms = {name: told for name, told in row.components.items() if name != _CONFIRMATION}
    confirmation = row.components[_CONFIRMATION]
    return RegimeView(
        valid_from=row.valid_from,
        state=Regime(row.state),
        effective=Regime(row.effective) if row.effective else None,
        confirmed=row.confirmed,
        streak=row.streak,
        pending=Regime(row.pending) if row.pending else None,
        score=row.score,
        terms=[RegimeTermView(name=name, **told) for name, told in terms.items()],
        confirmation_pct=confirmation["value"],
        factor=confirmation["factor"],
        inputs=row.inputs,
        source=row.source,
        recorded_wall=row.recorded_at,
    )

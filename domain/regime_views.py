"""Wire models of the market's regime, shared by server and client. The rules of ``domain.views`` hold here too."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from domain.regime import Regime
from domain.views import Answer, Instant, Reason, Request


class RegimeTermView(Answer):
    """A term of the score: ``value`` in percent as measured, ``term`` in [-1, 1], which times ``weight`` is points."""

    name: str
    value: float
    term: float
    weight: float


class RegimeView(Answer):
    """The regime from one 4h close on.

    ``effective`` is what decisions go by, the last confirmed state; ``pending`` what the close called for without being
    it yet; ``streak`` the closes in ``state``. ``score`` is -100 to 100: the terms' points times ``factor``, which is
    0.5 while the 4h close (``confirmation_pct`` percent over its EMA-50) disagrees. ``inputs`` are the candles behind.
    """

    valid_from: Instant
    state: Regime
    effective: Regime | None
    confirmed: bool
    streak: int
    pending: Regime | None
    score: float
    terms: list[RegimeTermView]
    confirmation_pct: float
    factor: float
    inputs: dict[str, Any]
    source: str
    recorded_wall: Instant


class RegimeNowView(Answer):
    """``in_force`` is the regime that decides at market time ``as_of``: None while there is none, and gates say so.

    ``newest`` is the last one that was computed, however long ago.
    """

    as_of: Instant | None
    in_force: Regime | None
    newest: RegimeView | None


class RegimeRebuildRequest(Request):
    """Compute the regime of the 4h closes from ``since`` to ``until`` (None: now) where none is recorded."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    since: Instant = Field(validation_alias="from", serialization_alias="from")
    until: Instant | None = Field(default=None, validation_alias="to", serialization_alias="to")
    reason: Reason

    @model_validator(mode="after")
    def _forward(self) -> RegimeRebuildRequest:
        if self.until is not None and self.since > self.until:
            raise ValueError("from must not be after to")
        return self


class RegimeRebuildAccepted(Answer):
    """``workflow_id`` computes it; the event ``regime_rebuild_done`` says what it came to."""

    workflow_id: str

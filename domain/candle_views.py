"""Wire models of market data, shared by server and client. The rules of ``domain.views`` hold here too."""

from __future__ import annotations

from domain.views import Answer, Instant


class CandleView(Answer):
    """A closed candle by its open time; prices in the quote coin, ``volume`` in the base coin, as the exchange told."""

    open_time: Instant
    open: float
    high: float
    low: float
    close: float
    volume: float

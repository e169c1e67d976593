"""What the API key may do, looked at before anything is done with it: no more than trading, and no less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from config.settings import ExchangeSettings
from db.repositories.audit import record_event
from db.session import Database
from exchange.protocol import Exchange, KeyRights, Refused
from observability.logs import get_logger

log = get_logger(__name__)

KEY_REFUSED_EVENT = "exchange_key_refused"
KEY_EXPIRES_EVENT = "exchange_key_expires"
_EXPIRES_SOON = timedelta(days=7)


class UnsafeKey(Exception):
    """The process must not work with this key. The message is one sentence for the operator."""


def objection(rights: KeyRights, trading: bool) -> str | None:
    """Why a process must not start with a key of these ``rights``; None when it may. ``trading``: it places orders."""
    if rights.withdraws:
        return "the exchange's API key may withdraw: make one without that permission, ATS never needs it"
    if not trading:
        return None
    if rights.read_only:
        return "the exchange's API key is read-only: a trading worker needs one that may place orders"
    missing = [name for name, there in (("spot", rights.trades_spot), ("contracts", rights.trades_linear)) if not there]
    if missing:
        return f"the exchange's API key may not trade {' and '.join(missing)}: give it the permission"
    return None


def expiry_warning(rights: KeyRights, now: datetime) -> str | None:
    """What to say of a key that expires soon; None when it doesn't."""
    if rights.expires_at is None or rights.expires_at - now > _EXPIRES_SOON:
        return None
    return (
        f"the exchange's API key expires at {rights.expires_at:%Y-%m-%d %H:%M} UTC: make a new one, or bind it to an IP"
    )


async def check_key(settings: ExchangeSettings, exchange: Exchange, database: Database, trading: bool) -> None:
    """Raise UnsafeKey, with a system event, if the process must not work with its key. A key that expires soon is said.

    Raises RetryLater or OutcomeUnknown while the exchange can't be asked.
    """
    try:
        rights = await exchange.key_rights()
    except Refused as refused:
        if settings.mode == "demo":  # its exchange doesn't tell what a key may do, and knows no withdrawals
            log.warning("what the key may do is not known in demo mode", error=str(refused))
            return
        await _refuse(settings, database, f"the exchange refuses the API key: {refused}")
    sentence = objection(rights, trading)
    if sentence is not None:
        await _refuse(settings, database, sentence)
    warning = expiry_warning(rights, datetime.now(UTC))
    if warning is not None and trading:
        log.warning("key expires", detail=warning)
        await _tell(settings, database, KEY_EXPIRES_EVENT, "warning", warning)


async def _refuse(settings: ExchangeSettings, database: Database, sentence: str) -> NoReturn:
    await _tell(settings, database, KEY_REFUSED_EVENT, "page", sentence)
    raise UnsafeKey(sentence)


async def _tell(settings: ExchangeSettings, database: Database, kind: str, severity: str, sentence: str) -> None:
    try:
        async with database.session() as session:
            detail = {"problem": sentence}
            record_event(session, kind, settings.mode, who="worker", severity=severity, detail=detail)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.error("event not written", kind=kind, problem=sentence, error=str(error))

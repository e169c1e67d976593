"""The judge of a system, running or at rest: what was ordered, booked, guarded and decided, and what of it is wrong.

It believes no process: it reads the exchange's books, the database, and Temporal's list of running workflows.
"""

from __future__ import annotations

import httpx
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from config.credentials import postgres_dsn
from config.settings import Settings
from db.session import Database
from exchange.protocol import ExchangeError
from workers.connections import connect_temporal, exchange_of
from workers.verify.books import paper_books
from workers.verify.looking import look_again, paper_look, query_look
from workers.verify.queries import NOT_JUDGED
from workers.verify.verdict import Verdict, verdict_of

__all__ = ["MAX_UNPROTECTED_SECONDS", "CannotVerify", "Verdict", "verify"]

MAX_UNPROTECTED_SECONDS = 15.0


class CannotVerify(RuntimeError):
    """Exchange, database or Temporal didn't answer; the message says which."""


async def verify(
    settings: Settings, max_unprotected: float = MAX_UNPROTECTED_SECONDS, *, every_decision: bool = False
) -> Verdict:
    """The verdict on the system of ``settings``. ``max_unprotected``: for how many seconds (wall) a position may have
    been without any protection. ``every_decision`` of the market is asked again, not a sample. Raises CannotVerify."""
    database = Database(postgres_dsn(settings), pool_size=2)
    try:
        client = await connect_temporal(settings)
        if settings.exchange.mode == "paper":
            async with paper_books(settings.paper_url) as books:
                look = paper_look(database, client, books, max_unprotected, every_decision)
                figures, findings = await look_again(look)
            return verdict_of(figures, findings)
        exchange = exchange_of(settings)
        try:
            await exchange.start()
            look = query_look(database, client, exchange, max_unprotected, every_decision)
            figures, findings = await look_again(look)
        finally:
            await exchange.close()
        return verdict_of(figures, findings, NOT_JUDGED)
    except (httpx.HTTPError, ExchangeError) as error:
        raise CannotVerify(f"the exchange doesn't answer: {error or type(error).__name__}") from error
    except RPCError as error:
        raise CannotVerify(f"Temporal doesn't answer: {error}") from error
    except (SQLAlchemyError, OSError) as error:
        raise CannotVerify(f"the database doesn't answer: {error}") from error
    except RuntimeError as error:
        raise CannotVerify(f"Temporal can't be reached at {settings.temporal_address}: {error}") from error
    finally:
        await database.close()

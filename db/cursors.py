"""Cursors of paged lists: where the last page ended, as an opaque text that survives new rows."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime


class BadCursor(ValueError):
    """A cursor that no page of this list gave."""


def encode_cursor(at: datetime, identifier: str) -> str:
    """The cursor after a row, of a list ordered by a time and an id, newest first."""
    plain = json.dumps([at.isoformat(), identifier], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """The (time, id) of ``encode_cursor``. Raises BadCursor."""
    try:
        at, identifier = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moment = datetime.fromisoformat(at)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadCursor("is not a cursor this list gave") from error
    if moment.tzinfo is None or not isinstance(identifier, str):
        raise BadCursor("is not a cursor this list gave")
    return moment, identifier

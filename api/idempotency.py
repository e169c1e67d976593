"""A POST that is safe to repeat: the same Idempotency-Key and body give the same answer and one effect.

Another body under the same key is refused (422), and so is a repeat while the first is still being answered (409). An
answer that says nothing about the request itself (5xx) isn't kept: the repeat tries again, with the same body. An entry
left in flight by a process that died is taken over after ``ABANDONED_SECONDS``: what it started has the key's own id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from sqlalchemy import func, or_, text, update
from sqlalchemy.dialects.postgresql import insert

from api.problems import MEDIA_TYPE, ApiError, problem_document
from db.models import IdempotencyKey
from db.session import Database
from domain.views import FieldFault

ABANDONED_SECONDS = 30

KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Made by the caller; the same key never acts twice",
    ),
]


class Once:
    """One key at one endpoint. ``answer`` runs the work at most once and repeats what it answered."""

    def __init__(self, database: Database, endpoint: str, key: str, body: BaseModel, path: str) -> None:
        self._database = database
        self._endpoint = endpoint
        self._key = key
        self._path = path
        canonical = json.dumps(body.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        self._body_hash = hashlib.sha256(canonical.encode()).digest()

    async def answer(self, status: int, work: Callable[[], Awaitable[BaseModel]]) -> Response:
        """The stored answer of this key, or ``work()`` as a fresh one with ``status``. Raises ApiError 409 and 422."""
        stored = await self._claim()
        if stored is not None:
            return stored
        try:
            code, body, media = status, (await work()).model_dump(mode="json"), "application/json"
        except ApiError as error:
            if error.status >= 500:
                await self._release()
                raise
            code, body, media = error.status, problem_document(error, self._path).model_dump(mode="json"), MEDIA_TYPE
        except BaseException:
            await self._release()
            raise
        await self._keep(code, body)
        return JSONResponse(body, code, media_type=media)

    async def _claim(self) -> Response | None:
        """Take the key (None), or the answer it has already."""
        row = {"key": self._key, "endpoint": self._endpoint, "body_hash": self._body_hash, "status": "in_flight"}
        mine = insert(IdempotencyKey).values(row)
        too_old = IdempotencyKey.created_at < func.now() - text(f"interval '{ABANDONED_SECONDS} seconds'")
        free = or_(IdempotencyKey.status == "failed", (IdempotencyKey.status == "in_flight") & too_old)
        claim = mine.on_conflict_do_update(
            index_elements=["key", "endpoint"],
            set_={"created_at": func.now(), "status": "in_flight"},
            where=free & (IdempotencyKey.body_hash == self._body_hash),
        ).returning(IdempotencyKey.key)
        async with self._database.session() as session:
            if (await session.execute(claim)).scalar_one_or_none() is not None:
                return None
            known = await session.get(IdempotencyKey, (self._key, self._endpoint))
        assert known is not None, "idempotency keys are never deleted"
        return self._replay(known)

    def _replay(self, known: IdempotencyKey) -> Response:
        if known.body_hash != self._body_hash:
            rule = "was used before with another body; make a new key for a new request"
            fault = FieldFault(field="Idempotency-Key", rule=rule)
            raise ApiError(422, "idempotency-key-reused", "Idempotency key reused", f"this key {rule}", [fault])
        if known.status != "done" or known.response_status is None:
            raise self._in_flight()
        media = MEDIA_TYPE if known.response_status >= 400 else "application/json"
        return JSONResponse(known.response_body, known.response_status, {"Idempotent-Replay": "true"}, media)

    def _in_flight(self) -> ApiError:
        detail = "a request with this key is being answered; repeat it in a moment for its answer"
        return ApiError(409, "idempotency-key-in-flight", "Request in flight", detail, headers={"Retry-After": "1"})

    async def _keep(self, status: int, body: dict[str, Any]) -> None:
        await self._set(status="done", response_status=status, response_body=body)

    async def _release(self) -> None:
        await self._set(status="failed")

    async def _set(self, **values: Any) -> None:
        mine = (IdempotencyKey.key == self._key) & (IdempotencyKey.endpoint == self._endpoint)
        async with self._database.session() as session:
            await session.execute(update(IdempotencyKey).where(mine).values(values))

"""Who a key belongs to: verified against ``api_keys``, remembered for a minute because argon2 is slow on purpose."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from api.keys import Caller, Role, hash_key, key_id_of, matches
from db.models import ApiKey
from db.session import Database

KNOWN_SECONDS = 60.0
REFUSED_SECONDS = 1.0
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class _Verdict:
    caller: Caller | None
    until: float


class KeyRing:
    """Verifies keys. A revoked key is refused within ``KNOWN_SECONDS``; only digests of keys are kept in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._hashing = asyncio.Semaphore(2)
        self.ready = False
        """Whether the installation's own key is in the table (or never will be): until then no key can be judged."""

    async def install(self, key: str, name: str = "installation", role: Role = Role.ADMIN) -> None:
        """Make sure the installation's own key is in the table as it is now; a revoked one stays revoked."""
        key_id = key_id_of(key)
        async with self._database.session() as session:
            known = await session.get(ApiKey, key_id)
        if known is not None and await asyncio.to_thread(matches, key, known.hash):
            return
        row = {"key_id": key_id, "hash": await asyncio.to_thread(hash_key, key), "role": role.value, "name": name}
        statement = insert(ApiKey).values(row)
        async with self._database.session() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["key_id"], set_={"hash": statement.excluded.hash})
            )

    async def caller(self, key: str) -> Caller | None:
        """Whose key this is; None for one that is malformed, unknown, wrong or revoked."""
        try:
            key_id = key_id_of(key)
        except ValueError:
            return None
        digest = hashlib.sha256(key.encode()).digest()
        known = self._verdicts.get(digest)
        if known is not None and known.until > time.monotonic():
            return known.caller
        could_judge = self.ready  # what is looked up while it is being installed is unknown a last time
        caller = await self._verify(key, key_id)
        if caller is not None or could_judge:
            self._remember(digest, caller)
        return caller

    async def _verify(self, key: str, key_id: str) -> Caller | None:
        async with self._database.session() as session:
            row = (await session.execute(select(ApiKey).where(ApiKey.key_id == key_id))).scalar_one_or_none()
        usable = row is not None and row.revoked_at is None
        async with self._hashing:
            right = await asyncio.to_thread(matches, key, row.hash if row is not None and usable else None)
        if row is None or not right:
            return None
        async with self._database.session() as session:
            await session.execute(update(ApiKey).where(ApiKey.key_id == key_id).values(last_used_at=func.now()))
        return Caller(key_id, row.name, Role(row.role))

    def _remember(self, digest: bytes, caller: Caller | None) -> None:
        seconds = REFUSED_SECONDS if caller is None else KNOWN_SECONDS
        self._verdicts[digest] = _Verdict(caller, time.monotonic() + seconds)
        self._verdicts.move_to_end(digest)
        if len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)

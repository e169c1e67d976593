"""A POST under one key acts once, however often and however concurrently it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from api.idempotency import ABANDONED_SECONDS, Once
from api.problems import ApiError, unavailable
from db.session import Database


class Body(BaseModel):
    amount: str = "1"


class Counted(BaseModel):
    runs: int


class Work:
    """Counts how often it ran; answers, or raises what it was given."""

    def __init__(self, error: ApiError | None = None) -> None:
        self.runs = 0
        self.error = error
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def __call__(self) -> Counted:
        self.runs += 1
        await self.may_finish.wait()
        if self.error is not None:
            raise self.error
        return Counted(runs=self.runs)


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    opened = Database(database, pool_size=4)
    yield opened
    await opened.close()


def once(opened: Database, key: str = "the-key", body: Body | None = None) -> Once:
    return Once(opened, "POST /test", key, body or Body(), "/test")


async def test_the_same_key_and_body_get_the_same_answer_and_one_effect(opened: Database) -> None:
    work = Work()
    first = await once(opened).answer(202, work)
    second = await once(opened).answer(202, work)
    assert work.runs == 1
    assert (second.status_code, second.body) == (first.status_code, first.body)
    assert second.headers["idempotent-replay"] == "true"


async def test_another_body_under_the_same_key_is_refused(opened: Database) -> None:
    work = Work()
    await once(opened).answer(202, work)
    with pytest.raises(ApiError) as refused:
        await once(opened, body=Body(amount="2")).answer(202, work)
    assert (refused.value.status, refused.value.code) == (422, "idempotency-key-reused")
    assert work.runs == 1


async def test_of_many_at_once_one_acts_and_the_others_are_told_to_wait(opened: Database) -> None:
    work = Work()
    work.may_finish.clear()
    running = [asyncio.create_task(once(opened).answer(202, work)) for _ in range(8)]
    done, _ = await asyncio.wait(running, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
    while len(done) < 7:
        more, _ = await asyncio.wait(set(running) - done, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert more, "the repeats were not answered while the first was in flight"
        done |= more
    work.may_finish.set()
    answers = await asyncio.gather(*running, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, ApiError)]
    assert work.runs == 1
    assert len(refused) == 7
    assert {(error.status, error.code) for error in refused} == {(409, "idempotency-key-in-flight")}


async def test_a_refusal_is_an_answer_too(opened: Database) -> None:
    work = Work(ApiError(409, "position-exists", "Position exists", "another position holds the symbol"))
    first = await once(opened).answer(202, work)
    second = await once(opened).answer(202, work)
    assert work.runs == 1
    assert second.status_code == 409
    assert second.media_type == "application/problem+json"
    assert json.loads(bytes(second.body)) == json.loads(bytes(first.body))


async def test_a_failure_of_ours_is_tried_again_with_the_same_body_only(opened: Database) -> None:
    with pytest.raises(ApiError):
        await once(opened).answer(202, Work(unavailable("temporal-unreachable", "down")))
    with pytest.raises(ApiError) as refused:
        await once(opened, body=Body(amount="2")).answer(202, Work())
    assert refused.value.code == "idempotency-key-reused"
    assert (await once(opened).answer(202, Work())).status_code == 202


async def test_what_a_dead_process_left_in_flight_is_taken_over_after_a_while(opened: Database) -> None:
    assert await once(opened)._claim() is None  # a process that dies right after taking the key
    with pytest.raises(ApiError) as refused:
        await once(opened).answer(202, Work())
    assert refused.value.code == "idempotency-key-in-flight"
    async with opened.session() as session:
        age = text(f"UPDATE idempotency_keys SET created_at = now() - interval '{ABANDONED_SECONDS + 1} seconds'")
        await session.execute(age)
    assert (await once(opened).answer(202, Work())).status_code == 202

"""Orders over Bybit's trade socket: one authenticated connection, kept by a thread, answers matched by request id.

Every way it can fail is sorted as over REST. What was written and not answered is OutcomeUnknown; ``NotWritten`` says
that nothing left, so that the order may go another way.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from exchange.bybit.channel import PING_SECONDS, SILENCE_SECONDS
from exchange.bybit.rest import mark_retrieved
from exchange.bybit.socket import Frame, NotWritten, SocketOptions, TradeConnection
from exchange.protocol import OutcomeUnknown, RetryLater
from observability.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

_AUTH_SECONDS = 5.0
_BACKOFF_SECONDS = (0.2, 5.0)
_STEADY_SECONDS = 2.0


@dataclass
class _Session:
    """One connection: whether it may be used, and what was written on it and not answered yet, by request id."""

    ready: bool = False
    failure: str = ""
    connection: TradeConnection | None = None
    opened: float = field(default_factory=time.monotonic)
    pending: dict[str, Future[Frame]] = field(default_factory=dict)


class TradeSocket:
    """``start`` before the first request, ``close`` when done. ``timeout_seconds`` is how long an answer may take."""

    def __init__(self, options: SocketOptions, recv_window_ms: int, timeout_seconds: float) -> None:
        self._options = options
        self._recv_window_ms = recv_window_ms
        self._timeout_seconds = timeout_seconds
        self._changed = threading.Condition()
        self._session: _Session | None = None
        self._stopping = False
        self._numbers = itertools.count(1)
        self._prefix = uuid.uuid4().hex[:12]  # a repeated id is refused, another process's too
        self._thread: threading.Thread | None = None
        # a write may block when the other side reads no more, which must not be the event loop's trouble
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="bybit-trade-write")

    @property
    def ready(self) -> bool:
        """Whether an order would go out over it now."""
        session = self._session
        return session is not None and session.ready

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="bybit-trade", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the connection and the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            await loop.run_in_executor(None, self._thread.join, self._timeout_seconds)
        self._writer.shutdown(wait=False, cancel_futures=True)
        await loop.run_in_executor(None, self._writer.shutdown)

    async def request(self, op: str, params: dict[str, Any], not_after: datetime | None = None) -> Frame:
        """The exchange's answer to one operation, whatever its retCode.

        Raises NotWritten (nothing left), RetryLater (after ``not_after``) or OutcomeUnknown.
        """
        answer: Future[Frame] = Future()
        try:
            job = self._writer.submit(self._write, op, params, not_after, answer)
        except RuntimeError:
            raise NotWritten("this gateway is closed") from None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await _unhurt(job)
                return await _unhurt(answer)
        except TimeoutError:
            if job.cancel():
                raise NotWritten("an earlier order is still being written") from None
            self._give_up(answer)
            raise OutcomeUnknown(f"{op}: no answer in time") from None
        except asyncio.CancelledError:
            job.cancel()
            raise

    def _write(self, op: str, params: dict[str, Any], not_after: datetime | None, answer: Future[Frame]) -> None:
        """Writer thread."""
        now = datetime.now(UTC)
        if not_after is not None and now > not_after:
            raise RetryLater(f"{op}: its time was over at {not_after.isoformat()}, not sent")
        session = self._session
        if session is None or not session.ready or session.connection is None:
            raise NotWritten("the trade socket is not connected")
        req_id = f"{self._prefix}-{next(self._numbers)}"
        header = {"X-BAPI-TIMESTAMP": str(int(now.timestamp() * 1000)), "X-BAPI-RECV-WINDOW": str(self._recv_window_ms)}
        with self._changed:
            session.pending[req_id] = answer
        try:
            session.connection.write({"reqId": req_id, "header": header, "op": op, "args": [params]})
        except NotWritten:
            self._forget(session, req_id)
            raise
        except Exception as failure:
            self._forget(session, req_id)
            raise OutcomeUnknown(f"{op}: {type(failure).__name__}: {failure}") from failure

    def _forget(self, session: _Session, req_id: str) -> None:
        with self._changed:
            session.pending.pop(req_id, None)

    def _give_up(self, answer: Future[Frame]) -> None:
        """Nobody waits for it any more."""
        with self._changed:
            session = self._session
            if session is not None:
                session.pending = {key: one for key, one in session.pending.items() if one is not answer}

    def _run(self) -> None:
        backoff = _BACKOFF_SECONDS[0]
        while not self._stopping:
            session = _Session()
            reason = self._one_connection(session)
            if session.ready and time.monotonic() - session.opened > _STEADY_SECONDS:
                backoff = _BACKOFF_SECONDS[0]
            self._lose(session, reason)
            if reason:
                log.warning("trade socket lost", reason=reason, retry_in_seconds=backoff)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, timeout=backoff)
                backoff = min(backoff * 2, _BACKOFF_SECONDS[1])

    def _one_connection(self, session: _Session) -> str:
        """Open a connection and tend it until it ends. Why it ended, "" when we are done."""
        try:
            connection = TradeConnection(self._options, lambda frame: self._on_frame(session, frame), self._wake)
        except Exception as failure:
            return f"cannot connect: {failure}"
        session.connection = connection
        with self._changed:
            self._session = session
        try:
            return self._tend(session, connection)
        except Exception as failure:
            return f"{type(failure).__name__}: {failure}"
        finally:
            connection.cut()

    def _tend(self, session: _Session, connection: TradeConnection) -> str:
        ping_at = session.opened
        while not self._stopping:
            now = time.monotonic()
            wrong = self._what_is_wrong(session, connection, now)
            if wrong:
                return wrong
            if now >= ping_at:
                connection.ping()
                ping_at = now + PING_SECONDS
            with self._changed:
                if not (self._stopping or session.failure or connection.closed):
                    self._changed.wait(max(min(ping_at - now, 0.5), 0.0))
        return ""

    def _what_is_wrong(self, session: _Session, connection: TradeConnection, now: float) -> str:
        if session.failure:
            return session.failure
        if connection.closed:
            return connection.end_reason or "closed by the exchange"
        if now - connection.last_arrival > SILENCE_SECONDS:
            return f"silent for {SILENCE_SECONDS:.0f} s"
        if not session.ready and now - session.opened > _AUTH_SECONDS:
            return "authentication not answered"
        return ""

    def _lose(self, session: _Session, reason: str) -> None:
        """What was written and not answered may have arrived or not."""
        with self._changed:
            self._session = None
            session.ready = False
            pending, session.pending = session.pending, {}
        for answer in pending.values():
            answer.set_exception(OutcomeUnknown(f"the trade socket was lost before the answer: {reason}"))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_frame(self, session: _Session, frame: Frame) -> None:
        """Reader thread."""
        if frame.get("op") == "auth":
            self._on_auth(session, frame)
            return
        with self._changed:
            answer = session.pending.pop(str(frame.get("reqId") or ""), None)
        if answer is not None:
            answer.set_result(frame)

    def _on_auth(self, session: _Session, frame: Frame) -> None:
        with self._changed:
            if frame.get("retCode") == 0:
                session.ready = True
            else:
                session.failure = f"authentication refused: {frame.get('retMsg')}"
                log.error("trade socket authentication refused", answer=frame.get("retMsg"))
            self._changed.notify_all()


async def _unhurt(future: Future[T]) -> T:
    """Its result; a waiter that leaves early neither cancels it nor leaves an error that nobody asked for."""
    waiter = asyncio.wrap_future(future)
    waiter.add_done_callback(mark_retrieved)
    return await asyncio.shield(waiter)

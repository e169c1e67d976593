"""One socket and its topics, kept alive by a thread of its own.

The thread connects, subscribes, pings, notices silence, and starts again with backoff when anything is wrong. The
event loop only changes what is wanted; nothing on it ever waits for a socket.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from exchange.bybit.mailbox import Callback, Subscriber
from exchange.bybit.silence import SILENCE_SECONDS, Talk
from exchange.bybit.socket import Frame, StreamSocket
from exchange.protocol import StreamFreshness
from observability.logs import get_logger

log = get_logger(__name__)

PING_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
_BACKOFF_SECONDS = (0.2, 5.0)
_REFUSED_SECONDS = (1.0, 30.0)
_STEADY_SECONDS = 2.0  # a connection that lived this long starts the backoff anew
_ARGS_A_REQUEST = 10  # Bybit's limit on spot sockets
_TALKATIVE = "tickers."

OpenSocket = Callable[[str, Callable[[Frame], None], Callable[[], None]], StreamSocket]
Decoder = Callable[[Frame], Any]


@dataclass
class _Topic:
    """A wanted topic. ``live`` once the exchange acknowledged it on the present connection.

    ``whole_at`` is when it was last known to be served (monotonic), as of its last connection. ``speaks``: if it was
    told regularly, by ``talk``, its silence is news.
    """

    decode: Decoder
    speaks: bool
    subscribers: list[tuple[Subscriber, Callback]] = field(default_factory=list)
    live: bool = False
    asked: bool = False
    alone: bool = False  # ask for it in a request of its own: it was in one that was refused
    refusals: int = 0
    ask_after: float = 0.0
    whole_at: float | None = None
    talk: Talk = field(default_factory=Talk)


@dataclass
class _Session:
    """One connection: what was asked on it and not answered yet, by request id, and when it told data."""

    authenticated: bool
    socket: StreamSocket | None = None
    failure: str = ""
    opened: float = field(default_factory=time.monotonic)
    asked: dict[str, tuple[list[str], float]] = field(default_factory=dict)
    talk: Talk = field(default_factory=Talk)


class Channel:
    """The topics of one socket: ``spot``, ``linear`` or ``private``. All methods may be called from any thread.

    ``number`` tells sockets of one name apart. While ``stands_still`` the market tells nothing, which is no silence.
    """

    def __init__(
        self, name: str, open_socket: OpenSocket, number: int = 1, stands_still: Callable[[], bool] = lambda: False
    ) -> None:
        self.name = name
        self._number = number
        self._stands_still = stands_still
        self._open_socket = open_socket
        self._changed = threading.Condition(threading.RLock())
        self._topics: dict[str, _Topic] = {}
        self._dropped: set[str] = set()
        self._session: _Session | None = None
        self._stopping = False
        self._connections = 0
        self._thread: threading.Thread | None = None
        self._request_ids = itertools.count(1)

    def add(self, subscriber: Subscriber, topics: Iterable[tuple[str, Callable[[], Decoder], Callback]]) -> None:
        """Feed ``subscriber`` with topics: (name, maker of its decoder, callback for what the decoder returns)."""
        with self._changed:
            for name, make_decoder, callback in topics:
                topic = self._topics.get(name)
                if topic is None:
                    topic = self._topics[name] = _Topic(make_decoder(), name.startswith(_TALKATIVE))
                    self._dropped.discard(name)
                topic.subscribers.append((subscriber, callback))
                if topic.live:
                    subscriber.topic_live(name, datetime.now(UTC))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"bybit-{self.name}-{self._number}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def remove(self, subscriber: Subscriber) -> None:
        """Stop feeding ``subscriber``; a topic nobody wants any more is unsubscribed, the last one ends the socket."""
        with self._changed:
            for name, topic in list(self._topics.items()):
                topic.subscribers = [(one, callback) for one, callback in topic.subscribers if one is not subscriber]
                if not topic.subscribers:
                    del self._topics[name]
                    if topic.live or topic.asked:
                        self._dropped.add(name)
            self._changed.notify_all()

    def stop(self) -> None:
        """End the socket and the thread; ``join`` waits for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def freshness(self) -> list[StreamFreshness]:
        """One reading a topic; the private channel is one stream."""
        with self._changed:
            now = time.monotonic()
            reconnects = max(self._connections - 1, 0)
            readings = [self._reading(name, topic, now, reconnects) for name, topic in self._topics.items()]
        if self.name != "private" or not readings:
            return readings
        worst = min(readings, key=lambda reading: (reading.connected, -_or_infinite(reading.age_seconds)))
        newest = min(readings, key=lambda reading: _or_infinite(reading.last_message_age_seconds))
        told = {"stream": self.name, "last_message_age_seconds": newest.last_message_age_seconds}
        return [worst.model_copy(update=told)]

    def _reading(self, name: str, topic: _Topic, now: float, reconnects: int) -> StreamFreshness:
        whole_at = self._whole_at(topic)
        age = None if whole_at is None else max(now - whole_at, 0.0)
        told = topic.talk.last
        return StreamFreshness(
            stream=f"{self.name}:{name}",
            connected=topic.live and age is not None and age <= SILENCE_SECONDS,
            age_seconds=age,
            last_message_age_seconds=None if told is None else max(now - told, 0.0),
            reconnects=reconnects,
        )

    def _whole_at(self, topic: _Topic) -> float | None:
        """When ``topic`` was last known to be served: anything its socket tells, or itself if it normally speaks."""
        socket = self._session.socket if self._session else None
        if not topic.live or socket is None:
            return topic.whole_at
        if topic.speaks and topic.talk.regular and not self._stands_still():
            return topic.talk.last
        return socket.last_arrival

    def _run(self) -> None:
        backoff = _BACKOFF_SECONDS[0]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._topics)
                if self._stopping:
                    return
            session = _Session(authenticated=self.name != "private")
            reason = self._one_connection(session)
            if self._was_steady(session):
                backoff = _BACKOFF_SECONDS[0]
            self._lose(session)
            if reason:
                log.warning("stream lost", channel=self.name, reason=reason, retry_in_seconds=backoff)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, timeout=backoff)
                backoff = min(backoff * 2, _BACKOFF_SECONDS[1])

    def _one_connection(self, session: _Session) -> str:
        """Open a socket and tend it until it ends. Why it ended, "" when nobody wanted it any more."""
        with self._changed:
            self._session = session
        try:
            socket = self._open_socket(self.name, lambda frame: self._on_frame(session, frame), self._wake)
        except Exception as failure:
            return f"cannot connect: {failure}"
        try:
            with self._changed:
                session.socket = socket
                self._connections += 1
            return self._tend(session, socket)
        except Exception as failure:
            return f"{type(failure).__name__}: {failure}"
        finally:
            socket.cut()

    def _tend(self, session: _Session, socket: StreamSocket) -> str:
        opened = time.monotonic()
        ping_at = opened
        while True:
            now = time.monotonic()
            with self._changed:
                if self._stopping or not self._topics:
                    return ""
                wrong = self._what_is_wrong(session, socket, now, opened)
                requests = [] if wrong or not session.authenticated else self._next_requests(session, now)
            if wrong:
                return wrong
            for op, req_id, args in requests:
                socket.request(op, req_id, args)
            if now >= ping_at:
                socket.ping()
                ping_at = now + PING_SECONDS
            with self._changed:
                if not self._something_to_do(session, socket):
                    self._changed.wait(max(min(ping_at - now, 0.5), 0.0))

    def _what_is_wrong(self, session: _Session, socket: StreamSocket, now: float, opened: float) -> str:
        if session.failure:
            return session.failure
        if socket.closed:
            return socket.end_reason or "closed by the exchange"
        if now - socket.last_arrival > SILENCE_SECONDS:
            return f"silent for {SILENCE_SECONDS:.0f} s"
        if silent := self._what_fell_silent(session, now):
            return f"{silent} silent for {SILENCE_SECONDS:.0f} s, though the socket answers"
        if not session.authenticated and now - opened > _ANSWER_SECONDS:
            return "authentication not answered"
        if any(now - sent > _ANSWER_SECONDS for _, sent in session.asked.values()):
            return "subscription not answered"
        return ""

    def _what_fell_silent(self, session: _Session, now: float) -> str:
        """A topic that normally speaks and doesn't any more; "" when there is none."""
        if self.name == "private":
            return ""  # what an account does may stop at any time
        if self._stands_still():
            for talk in (session.talk, *(topic.talk for topic in self._topics.values())):
                talk.forget()
            return ""
        if session.talk.fell_silent(now):
            return "all topics"
        speaking = ((name, topic) for name, topic in self._topics.items() if topic.speaks and topic.live)
        return next((name for name, topic in speaking if topic.talk.fell_silent(now)), "")

    def _something_to_do(self, session: _Session, socket: StreamSocket) -> bool:
        """Whether anything changed between the last look and now (a notification then would have been missed)."""
        if self._stopping or not self._topics or session.failure or socket.closed:
            return True
        now = time.monotonic()
        return session.authenticated and bool(self._dropped or self._unasked(now))

    def _unasked(self, now: float) -> list[str]:
        return [name for name, topic in self._topics.items() if not topic.asked and topic.ask_after <= now]

    def _next_requests(self, session: _Session, now: float) -> list[tuple[str, str, list[str]]]:
        requests: list[tuple[str, str, list[str]]] = []
        if self._dropped:
            gone = sorted(self._dropped)
            self._dropped.clear()
            requests += [("unsubscribe", f"u{next(self._request_ids)}", batch) for batch in _batches(gone)]
        unasked = self._unasked(now)
        together = [name for name in unasked if not self._topics[name].alone]
        for batch in [*_batches(together), *([name] for name in unasked if self._topics[name].alone)]:
            req_id = f"s{next(self._request_ids)}"
            session.asked[req_id] = (batch, now)  # before it is sent: an answer may come at once
            for name in batch:
                self._topics[name].asked = True
            requests.append(("subscribe", req_id, batch))
        return requests

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_frame(self, session: _Session, frame: Frame) -> None:
        """Reader thread: every frame of one connection, in order."""
        try:
            with self._changed:
                if session is not self._session:
                    return
                if "topic" in frame:
                    self._on_data(session, frame)
                elif frame.get("op") == "auth":
                    self._on_auth(session, frame)
                elif frame.get("op") == "subscribe":
                    self._on_subscribed(session, frame)
        except Exception:  # pybit would end the stream here without a word
            log.exception("stream frame not understood", channel=self.name, topic=frame.get("topic"))

    def _on_data(self, session: _Session, frame: Frame) -> None:
        topic = self._topics.get(frame["topic"])
        if topic is None:
            return  # just unsubscribed
        now = time.monotonic()
        session.talk.heard(now)
        topic.talk.heard(now)
        self._topic_live(frame["topic"], topic)
        value = topic.decode(frame)
        if value is None:
            return
        for subscriber, callback in topic.subscribers:
            subscriber.post(callback, value)

    def _on_auth(self, session: _Session, frame: Frame) -> None:
        if frame.get("success"):
            session.authenticated = True
        else:
            session.failure = f"authentication refused: {frame.get('ret_msg')}"
            log.error("stream authentication refused", channel=self.name, answer=frame.get("ret_msg"))
        self._changed.notify_all()

    def _on_subscribed(self, session: _Session, frame: Frame) -> None:
        names, _ = session.asked.pop(str(frame.get("req_id")), ([], 0.0))
        answer = str(frame.get("ret_msg") or "")
        accepted = bool(frame.get("success")) or "already subscribed" in answer
        for name in names:
            topic = self._topics.get(name)
            if topic is None:
                continue
            if accepted:
                self._topic_live(name, topic)
                continue
            topic.asked = False
            if len(names) > 1:  # one bad topic refuses its whole request: find out which
                topic.alone = True
                continue
            delay = min(_REFUSED_SECONDS[0] * 2**topic.refusals, _REFUSED_SECONDS[1])
            topic.refusals += 1
            topic.ask_after = time.monotonic() + delay
            log.error("stream topic refused", channel=self.name, topic=name, answer=answer, retry_in_seconds=delay)
        self._changed.notify_all()

    def _topic_live(self, name: str, topic: _Topic) -> None:
        if topic.live:
            return
        topic.live, topic.refusals = True, 0
        now = datetime.now(UTC)
        for subscriber, _ in topic.subscribers:
            subscriber.topic_live(name, now)

    def _was_steady(self, session: _Session) -> bool:
        with self._changed:
            served = any(topic.live for topic in self._topics.values())
        return served and time.monotonic() - session.opened > _STEADY_SECONDS

    def _lose(self, session: _Session) -> None:
        """The connection is over: open a gap for everybody who was being served, and ask anew for every topic."""
        with self._changed:
            served: dict[int, tuple[Subscriber, float]] = {}
            for topic in self._topics.values():
                if topic.live:
                    topic.whole_at = self._whole_at(topic)
                    for subscriber, _ in topic.subscribers:
                        before = served.get(id(subscriber), (subscriber, math.inf))[1]
                        served[id(subscriber)] = (subscriber, min(before, topic.whole_at or 0.0))
                topic.live = topic.asked = topic.alone = False
                topic.talk.since = None  # on the next connection it has to show anew that it speaks
            self._session = None
            self._dropped.clear()
            for subscriber, whole_at in served.values():
                quiet = timedelta(seconds=max(time.monotonic() - whole_at, 0.0))
                subscriber.topics_lost(datetime.now(UTC) - quiet)


def _or_infinite(age: float | None) -> float:
    return math.inf if age is None else age


def _batches(names: list[str]) -> list[list[str]]:
    return [names[at : at + _ARGS_A_REQUEST] for at in range(0, len(names), _ARGS_A_REQUEST)]

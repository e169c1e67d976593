"""A TCP server that answers HTTP requests exactly as told, broken answers included."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

Answerer = Callable[[socket.socket, str], bool]


def body(payload: bytes, status: str = "200 OK") -> Answerer:
    """Answer with these bytes and keep the connection."""

    def answer(connection: socket.socket, _request: str) -> bool:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        connection.sendall(head.encode() + payload)
        return True

    return answer


def ret(code: int, message: str = "", **result: Any) -> Answerer:
    """Answer as the exchange does."""
    return body(json.dumps({"retCode": code, "retMsg": message, "result": result, "time": 1700000000000}).encode())


def close_without_answer(connection: socket.socket, _request: str) -> bool:
    return False


def reset(connection: socket.socket, _request: str) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def half_an_answer(connection: socket.socket, _request: str) -> bool:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"retCode": 0')
    return False


class RawHttpServer:
    """Answers requests with ``answers``, one each; the last is repeated. ``requests`` are what arrived."""

    def __init__(self, *answers: Answerer) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def hang(self, _connection: socket.socket, _request: str) -> bool:
        """An answer that does not come while the server lives."""
        self._released.wait(30)
        return False

    def close(self) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for request in _requests(connection):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer(connection, request):
                    return


def _requests(connection: socket.socket) -> Iterator[str]:
    waiting = b""
    while True:
        while b"\r\n\r\n" not in waiting:
            got = connection.recv(65536)
            if not got:
                return
            waiting += got
        head, _, rest = waiting.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(rest) < length:
            got = connection.recv(65536)
            if not got:
                return
            rest += got
        waiting = rest[length:]
        yield (head + b"\r\n\r\n" + rest[:length]).decode()

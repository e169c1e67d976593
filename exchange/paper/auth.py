"""Who may ask: Bybit's HMAC-SHA256 signatures over REST requests and private sockets. Signing time is wall time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from exchange.paper.core.refusal import Refusal
from exchange.paper.params import is_whole

DEFAULT_RECV_WINDOW_MS = 5_000
FUTURE_TOLERANCE_MS = 1_000


@dataclass(frozen=True)
class ApiKey:
    """A key pair. A ``read_only`` key may ask but not change anything; a ``withdraw`` key could take money out."""

    key: str
    secret: str
    read_only: bool = False
    withdraw: bool = False


class Keyring:
    """The keys this exchange knows."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self._keys = {k.key: k for k in keys}

    def check_request(self, headers: Mapping[str, str], payload: bytes, now_ms: int, *, writes: bool) -> ApiKey:
        """The key that signed a REST request; ``payload`` is the raw query or the raw body.

        Raises Refusal: 10003 unknown key, 10002 outside the window, 10004 wrong signature, 10005 read-only key.
        """
        known = self._known(headers.get("x-bapi-api-key", ""))
        stamp = headers.get("x-bapi-timestamp", "")
        window = headers.get("x-bapi-recv-window") or str(DEFAULT_RECV_WINDOW_MS)
        check_window(stamp, window, now_ms)
        _check(known, f"{stamp}{known.key}{window}".encode() + payload, headers.get("x-bapi-sign", ""))
        if writes:
            check_may_trade(known)
        return known

    def check_socket(self, key: str, expires_ms: int, signature: str, now_ms: int) -> ApiKey:
        """The key that authenticates a private socket. Raises Refusal as ``check_request`` does."""
        known = self._known(key)
        if expires_ms <= now_ms:
            raise Refusal(10002, f"Request expired: expires[{expires_ms}],server_timestamp[{now_ms}]")
        _check(known, f"GET/realtime{expires_ms}".encode(), signature)
        return known

    def _known(self, key: str) -> ApiKey:
        known = self._keys.get(key)
        if known is None:
            raise Refusal(10003, "API key is invalid.")
        return known


def check_window(stamp: str, window: str, now_ms: int) -> None:
    """Raises Refusal 10002 unless ``now_ms - window <= stamp < now_ms + 1000``."""
    if not is_whole(stamp) or not is_whole(window):
        raise Refusal(10002, "X-BAPI-TIMESTAMP and X-BAPI-RECV-WINDOW must be whole milliseconds")
    if not now_ms - int(window) <= int(stamp) < now_ms + FUTURE_TOLERANCE_MS:
        raise Refusal(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )


def check_may_trade(key: ApiKey) -> None:
    """Raises Refusal 10005 for a key that may only ask."""
    if key.read_only:
        raise Refusal(10005, "Permission denied, please check your API key permissions.")


def _check(known: ApiKey, message: bytes, signature: str) -> None:
    wanted = hmac.new(known.secret.encode(), message, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), signature.lower().encode()):
        raise Refusal(10004, "error sign! please check your signature generation algorithm.")

"""Every way a call can fail, sorted into the protocol's outcomes. One table, conservative: in doubt, unknown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from exchange.protocol import DuplicateOrder, ExchangeError, InstrumentRefused, OutcomeUnknown, Refused, RetryLater

P = ParamSpec("P")
T = TypeVar("T")

DUPLICATE_CODES = frozenset({110072, 170141})

# The request was turned away before it was looked at: clock window, rate limits, a service that is restarting, an order
# that is being worked on right now.
RETRY_CODES = frozenset({10002, 10006, 10018, 10019, 10403, 10429, 20003, 20006, 110079, 170005, 170222})

# The exchange itself doesn't know, or its inner call timed out after it may have gone through.
UNKNOWN_CODES = frozenset({10000, 10016, 170001, 170007, 170032, 170146, 170147})

# HTTP statuses without an answer of the exchange behind them. What is not listed is unknown.
REFUSED_STATUSES = frozenset({400, 401, 404, 405, 413, 414, 422})
RETRY_STATUSES = frozenset({403, 429})  # 403 is Bybit's limit per IP address

# The symbol's filters are others than we think, or it is not traded (any more).
INSTRUMENT_CODES = frozenset(
    {110023, 110042, 110063, 110066, 110074, 110094, 10029}
    | {170121, 170124, 170132, 170133, 170134, 170135, 170136, 170137, 170140, 170148, 170151, 170157}
)

LEVERAGE_UNCHANGED = 110043
STOP_UNCHANGED = 34040
UNKNOWN_ORDER_CODES = frozenset({110001, 170213})


def sort_code(code: int, message: str) -> ExchangeError:
    """The error of an answer with a ``retCode`` other than 0."""
    text = f"{message} (retCode {code})"
    if code in DUPLICATE_CODES:
        return DuplicateOrder(text, code)
    if code in RETRY_CODES:
        return RetryLater(text, code)
    if code in UNKNOWN_CODES:
        return OutcomeUnknown(text, code)
    if code in INSTRUMENT_CODES:
        return InstrumentRefused(text, code)
    return Refused(text, code)


def headers_of(failure: Exception) -> tuple[Mapping[str, str], int | None]:
    """Headers and HTTP status (if it is not 200) of the answer behind an exception of pybit's; none is no headers."""
    headers = getattr(failure, "resp_headers", None)
    if headers is None:
        return {}, None
    return headers, failure.status_code if isinstance(failure, FailedRequestError) else None


def says_unchanged(refusal: Refused) -> bool:
    """Whether an amend was refused because the order is as wanted already: no code of its own, only words."""
    return any(words in str(refusal).lower() for words in ("unchanged", "not modified"))


def sort_failure(failure: Exception) -> ExchangeError:
    """The error of an exception that pybit or requests raised. Never raises."""
    if isinstance(failure, InvalidRequestError):
        if not isinstance(failure.status_code, int):
            return OutcomeUnknown(f"unreadable retCode {failure.status_code!r}")
        return sort_code(failure.status_code, failure.message)
    if isinstance(failure, FailedRequestError):
        # resp_headers are None when pybit made the error itself (unreadable JSON is its local "409").
        if failure.resp_headers is not None and failure.status_code in RETRY_STATUSES:
            return RetryLater(f"HTTP {failure.status_code}: {failure.message}")
        if failure.resp_headers is not None and failure.status_code in REFUSED_STATUSES:
            return Refused(f"HTTP {failure.status_code}: {failure.message}")
        return OutcomeUnknown(f"HTTP {failure.status_code}: {failure.message}")
    if _never_connected(failure):
        return RetryLater(f"no connection: {_innermost(failure)}")
    return OutcomeUnknown(f"{type(failure).__name__}: {failure}")


def unreadable_is_unknown(call: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, CoroutineType[Any, Any, T]]:
    """For a coroutine that reads an answer: a field that is missing or makes no sense is OutcomeUnknown.

    The exchange said yes, so what was asked has probably happened; a KeyError would look as if it had not.
    """

    @wraps(call)
    async def read(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as failure:
            name = getattr(call, "__name__", "call")
            raise OutcomeUnknown(f"{name}: unreadable answer: {type(failure).__name__}: {failure}") from failure

    return read


def _never_connected(failure: Exception) -> bool:
    """Whether the connection was not even made, so that nothing of the request can have left."""
    if isinstance(failure, requests.exceptions.ConnectTimeout):
        return True
    if not isinstance(failure, requests.exceptions.ConnectionError):
        return False
    return any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in _causes(failure))


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """``failure`` and what it wraps: requests puts urllib3's error in args, urllib3 the real one in ``reason``."""
    seen: set[int] = set()
    waiting: list[BaseException] = [failure]
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = [*cause.args, getattr(cause, "reason", None)]
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def _innermost(failure: BaseException) -> BaseException:
    return list(_causes(failure))[-1]

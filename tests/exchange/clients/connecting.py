"""Real clients of Bybit, unmodified, pointed at a paper exchange by their URLs and by nothing else.

``url`` is the exchange's ``http://host:port``. Without a key a client can ask for public data only.
"""

from __future__ import annotations

from typing import Any

import ccxt
import ccxt.pro
import pybit._websocket_trading as pybit_websocket_trading
import pybit.unified_trading as pybit_trading

_PUBLIC_CHANNELS = ("spot", "linear", "inverse", "option")


def ccxt_exchange(url: str, key: str | None = None, secret: str | None = None, **options: Any) -> ccxt.bybit:
    """ccxt's synchronous ``bybit``; ``options`` go into its own ``options``."""
    made = ccxt.bybit(_configuration(key, secret, options))
    _point(made, url)
    return made


def ccxt_pro_exchange(url: str, key: str | None = None, secret: str | None = None, **options: Any) -> ccxt.pro.bybit:
    """ccxt.pro's ``bybit``: sockets and asynchronous REST. Make it inside a running loop and ``await close()`` it."""
    made = ccxt.pro.bybit(_configuration(key, secret, options))
    _point(made, url)
    sockets = _socket_url(url)
    private = {"unified": f"{sockets}/v5/private", "nonUnified": f"{sockets}/spot/private/v3"}
    made.urls["api"]["ws"] = {
        "public": {channel: f"{sockets}/v5/public/{channel}" for channel in _PUBLIC_CHANNELS},
        "private": {
            "spot": private,
            "contract": f"{sockets}/v5/private",
            "usdc": f"{sockets}/trade/option/usdc/private/v1",
            "trade": f"{sockets}/v5/trade",
        },
    }
    return made


def pybit_http(url: str, key: str | None = None, secret: str | None = None, **options: Any) -> Any:
    """pybit's HTTP session without its own retries; ``options`` are its constructor's."""
    given: dict[str, Any] = {"testnet": False, "max_retries": 1, "timeout": 5, **options}
    made = pybit_trading.HTTP(api_key=key, api_secret=secret, **given)
    made.endpoint = url
    return made


def pybit_socket(url: str, channel: str, key: str | None = None, secret: str | None = None, **options: Any) -> Any:
    """pybit's stream socket: ``channel`` is spot, linear or private. ``exit()`` it."""
    pybit_trading.PUBLIC_WSS = f"{_socket_url(url)}/v5/public/{{CHANNEL_TYPE}}"
    pybit_trading.PRIVATE_WSS = f"{_socket_url(url)}/v5/private"
    return pybit_trading.WebSocket(channel, testnet=False, api_key=key, api_secret=secret, **options)


def pybit_trade_socket(url: str, key: str, secret: str, **options: Any) -> Any:
    """pybit's socket for order entry. ``exit()`` it."""
    pybit_websocket_trading.TRADE_WSS = f"{_socket_url(url)}/v5/trade"
    return pybit_trading.WebSocketTrading(testnet=False, api_key=key, api_secret=secret, **options)


def _configuration(key: str | None, secret: str | None, options: dict[str, Any]) -> Any:
    keys = {"apiKey": key, "secret": secret} if key else {}
    # its own throttle sleeps up to a second before each request, by limits that the exchange here doesn't have
    return {**keys, "timeout": 10_000, "enableRateLimit": False, "options": options}


def _point(made: Any, url: str) -> None:
    """Replace every REST url of a ccxt exchange (its sockets' stay under ``ws``)."""
    api = made.urls["api"]
    made.urls["api"] = {name: url if isinstance(target, str) else target for name, target in api.items()}


def _socket_url(url: str) -> str:
    return "ws" + url.removeprefix("http")

"""The least a program can do to leave at a price: a plain socket, a comparison, a plain order. Nothing survives it.

``python -m benchmarks.bare_exit URL SYMBOL PRICE``, keys in ATS_PAPER_KEY and ATS_PAPER_SECRET: sells a little at
market for every trade at or under PRICE, and prints the orderLinkId of each order once it is acknowledged. The
reference that ``tick_to_exit`` is held against; ends when its socket does.
"""

from __future__ import annotations

import json
import os
import sys

from pybit.unified_trading import HTTP
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_QTY = "0.001"


def main(url: str, symbol: str, price: float) -> None:
    http = HTTP(api_key=os.environ["ATS_PAPER_KEY"], api_secret=os.environ["ATS_PAPER_SECRET"])
    http.endpoint = url
    http.get_server_time()  # so that the first order doesn't pay for the connection
    topic = f"publicTrade.{symbol}"
    with connect(url.replace("http", "ws", 1) + "/v5/public/spot", proxy=None) as socket:
        socket.send(json.dumps({"op": "subscribe", "args": [topic]}))
        fired = 0
        for text in socket:
            message = json.loads(text)
            if message.get("op") == "subscribe":
                tell("ready")
            if message.get("topic") != topic:
                continue
            if any(float(trade["p"]) <= price for trade in message["data"]):
                link = f"bare-{fired}"
                http.place_order(
                    category="spot", symbol=symbol, side="Sell", orderType="Market", qty=_QTY, orderLinkId=link
                )
                fired += 1
                tell(link)


def tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    except (ConnectionClosed, KeyboardInterrupt):
        sys.exit(0)

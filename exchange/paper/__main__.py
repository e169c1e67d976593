"""``python -m exchange.paper``: the paper exchange alone, for any client that speaks Bybit v5."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import uvloop

from exchange.paper.auth import ApiKey
from exchange.paper.clock import STEP, ClockRefused, Speed
from exchange.paper.feeds.build import build_feed
from exchange.paper.journal import JournalFailed, JournalRefused
from exchange.paper.options import PaperOptions
from exchange.paper.server import PortTaken, ready_line, run


def parse(arguments: list[str] | None = None) -> PaperOptions:
    """Options from the command line; exits with 2 and a sentence when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m exchange.paper", description=__doc__)
    defaults = PaperOptions(data_dir=Path(".ats/paper"))
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port, help="0 takes any free one")
    parser.add_argument("--speed", type=_speed, default=defaults.speed, help="market seconds per wall second, or step")
    parser.add_argument(
        "--ticks-per-minute", type=_density, default=defaults.ticks_per_minute, help="trades a market minute"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--replay", nargs="+", default=[], metavar="FILE", help="OHLCV files (parquet or CSV)")
    parser.add_argument("--manual", action="store_true", help="ticks come by POST /paper/ticks only")
    parser.add_argument(
        "--shadow", nargs="?", const="live", metavar="URL", help="follow the streams at a REST address, live or testnet"
    )
    parser.add_argument("--start", type=_instant, help="where market time begins, ISO 8601 (UTC)")
    parser.add_argument("--data-dir", type=Path, default=defaults.data_dir)
    parser.add_argument("--key", help="API key; with ATS_PAPER_KEY unset too, one is made and told")
    parser.add_argument("--secret", help="its secret; better given as ATS_PAPER_SECRET")
    parser.add_argument("--read-only-key", metavar="KEY:SECRET", type=_key_pair, help="a key that can't trade")
    parser.add_argument("--withdraw-key", metavar="KEY:SECRET", type=_key_pair, help="a key with the right to withdraw")
    parser.add_argument(
        "--rate-limits", type=_limits, default=defaults.rate_limits, metavar="FACTOR", help="of Bybit's; off: none"
    )
    parser.add_argument("--deposit", type=_deposit, nargs="+", metavar="COIN=AMOUNT", help="credited once")
    parser.add_argument("--symbols", nargs="+", default=list(defaults.symbols), metavar="SYMBOL")
    given = parser.parse_args(arguments)
    key = given.key or os.environ.get("ATS_PAPER_KEY")
    secret = given.secret or os.environ.get("ATS_PAPER_SECRET")
    if (key is None) != (secret is None):
        parser.error("--key and --secret go together")
    if sum(map(bool, (given.manual, given.replay, given.shadow))) > 1:
        parser.error("--manual, --replay and --shadow exclude each other")
    return PaperOptions(
        data_dir=given.data_dir,
        host=given.host,
        port=given.port,
        speed=given.speed,
        ticks_per_minute=given.ticks_per_minute,
        seed=given.seed,
        replay=tuple(given.replay),
        manual=given.manual,
        shadow=given.shadow,
        start=given.start,
        symbols=tuple(symbol for word in given.symbols for symbol in word.split(",") if symbol),
        deposit=dict(given.deposit) if given.deposit else defaults.deposit,
        key=key,
        secret=secret,
        read_only_key=given.read_only_key and replace(given.read_only_key, read_only=True),
        withdraw_key=given.withdraw_key and replace(given.withdraw_key, withdraw=True),
        rate_limits=given.rate_limits,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped; 0 after a clean stop, 1 with one sentence when it can't run."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        feed = build_feed(options)
        uvloop.run(run(options, feed, lambda server: _tell(ready_line(server, made_key=options.key is None))))
    except (PortTaken, JournalRefused, JournalFailed, ClockRefused, OSError, ValueError) as error:
        sys.stderr.write(f"paper exchange: {error}\n")
        return 1
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _speed(text: str) -> Speed:
    return STEP if text == STEP else _number(text, 100_000)


def _density(text: str) -> float:
    return _number(text, 1_000)


def _limits(text: str) -> float | None:
    return None if text == "off" else _number(text, 100_000)


def _number(text: str, most: float) -> float:
    value = float(text)
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {most:g}")
    return value


def _instant(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time, like 2024-03-01T00:00:00Z") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _deposit(text: str) -> tuple[str, Decimal]:
    coin, _, amount = text.partition("=")
    try:
        value = Decimal(amount)
    except InvalidOperation:
        value = Decimal(0)
    if not coin or not value.is_finite() or value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not COIN=AMOUNT with an amount above 0")
    return coin.upper(), value


def _key_pair(text: str) -> ApiKey:
    key, _, secret = text.partition(":")
    if not key or not secret:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY:SECRET")
    return ApiKey(key, secret)


if __name__ == "__main__":
    sys.exit(main())

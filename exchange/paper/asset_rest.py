"""Signed endpoints about coins: what there is of them, in the trading and in the funding account, and moving them.

Coins come in as the exchange's deposit and go nowhere: every coin's network is closed for deposits and withdrawals.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from domain.market import Category
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.core.commands import Transfer
from exchange.paper.core.model import ZERO, LogRow
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.core.wallet import available
from exchange.paper.params import Params, cursor_text
from exchange.paper.venue import Venue
from exchange.paper.wire import Row, millis, number, to_millis

WEEK = timedelta(days=7)
MEMBER = "1"
UNIFIED, FUND = "UNIFIED", "FUND"


async def coins(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    wanted = p.text("coin")
    known = _known_coins(venue)
    if wanted and wanted not in known:
        raise params_error(f"coin invalid {wanted}")
    return {"rows": [_coin_row(coin) for coin in sorted(known) if wanted in ("", coin)]}


async def inter_transfer(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    transfer_id, coin, amount = p.required("transferId"), _coin(p, venue), p.positive("amount")
    source, target = _account(p, "fromAccountType"), _account(p, "toAccountType")
    if source == target:
        raise Refusal(131211, "fromAccountType and toAccountType can not be the same")
    await venue.submit(lambda at: Transfer(at, transfer_id, coin, amount, to_funding=target == FUND))
    return {"transferId": transfer_id, "status": "SUCCESS"}


async def transfers(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    transfer_id, status = p.text("transferId"), p.text("status")
    if status not in ("", "SUCCESS", "PENDING", "FAILED", "STATUS_UNKNOWN"):
        raise params_error(f"status invalid {status}")
    if status not in ("", "SUCCESS"):  # a transfer is done when it is answered
        return {"list": [], "nextPageCursor": ""}
    page = venue.history.transfers(
        transfer_id=transfer_id,
        coin=p.text("coin"),
        window=None if transfer_id and not p.has_window() else p.window(to_millis(venue.position), WEEK, WEEK),
        before=p.before(),
        limit=p.limit(20, 50),
    )
    return {"list": [_transfer_row(row) for row in page.rows], "nextPageCursor": cursor_text(page.before)}


async def coins_balance(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    account = _account(p, "accountType")
    names = [name.strip().upper() for name in p.text("coin").split(",") if name.strip()]
    if account == UNIFIED and not names:
        raise params_error("coin is required for accountType UNIFIED")
    held = names or sorted(venue.state.funding_balances)
    return {
        "memberId": MEMBER,
        "accountType": account,
        "balance": [_balance(venue, account, coin) for coin in held],
    }


async def coin_balance(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    account, coin = _account(p, "accountType"), _coin(p, venue)
    row = _balance(venue, account, coin)
    safe = row["transferBalance"]
    return {
        "accountType": account,
        "bizType": 1,
        "accountId": MEMBER,
        "memberId": MEMBER,
        "balance": {
            **row,
            "transferSafeAmount": safe if p.integer("withTransferSafeAmount", 0) else "",
            "ltvTransferSafeAmount": safe if p.integer("withLtvTransferSafeAmount", 0) else "",
        },
    }


ASSET_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("GET", "asset/coin/query-info"): coins,
    ("POST", "asset/transfer/inter-transfer"): inter_transfer,
    ("GET", "asset/transfer/query-inter-transfer-list"): transfers,
    ("GET", "asset/transfer/query-account-coins-balance"): coins_balance,
    ("GET", "asset/transfer/query-account-coin-balance"): coin_balance,
}


def _known_coins(venue: Venue) -> set[str]:
    instruments = [venue.market.instrument(c, s) for c in Category for s in venue.market.symbols(c)]
    traded = {coin for i in instruments if i is not None for coin in (i.base_coin, i.quote_coin)}
    return traded | set(venue.state.balances)


def _coin(p: Params, venue: Venue) -> str:
    coin = p.required("coin")
    if coin not in _known_coins(venue):
        raise params_error(f"coin invalid {coin}")
    return coin


def _account(p: Params, name: str) -> str:
    account = p.required(name)
    if account not in (UNIFIED, FUND):
        raise params_error(f"{name} invalid: {account} is neither {UNIFIED} nor {FUND}")
    return account


def _balance(venue: Venue, account: str, coin: str) -> Row:
    state = venue.state
    if account == FUND:
        wallet = free = state.funding_balances.get(coin, ZERO)
    else:
        wallet = state.balance(coin)
        free = max(available(state, venue.market, coin, venue.position), ZERO)
    return {"coin": coin, "transferBalance": number(_cut(free)), "walletBalance": number(wallet), "bonus": ""}


def _cut(amount: Decimal) -> Decimal:
    """What of an amount can be transferred: whole units of the eighth decimal."""
    return amount - amount % Decimal("1E-8")


def _transfer_row(row: LogRow) -> Row:
    came = row.change > 0
    return {
        "transferId": row.order_id,
        "coin": row.coin,
        "amount": number(abs(row.change)),
        "fromAccountType": FUND if came else UNIFIED,
        "toAccountType": UNIFIED if came else FUND,
        "timestamp": millis(row.at),
        "status": "SUCCESS",
    }


def _coin_row(coin: str) -> Row:
    network = {
        "chain": coin,
        "chainType": coin,
        "confirmation": "1",
        "withdrawFee": "",
        "withdrawPercentageFee": "0",
        "depositMin": "0",
        "withdrawMin": "0",
        "minAccuracy": "8",
        "chainDeposit": "0",
        "chainWithdraw": "0",
        "contractAddress": "",
        "safeConfirmNumber": "1",
    }
    return {"name": coin, "coin": coin, "remainAmount": "0", "chains": [network]}

"""Signed endpoints about positions, the account and the API key."""

from __future__ import annotations

from datetime import timedelta

from domain.market import Category
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.core.commands import SetLeverage, SetStopLoss
from exchange.paper.core.fees import FEE_RATES
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import tradable_instrument
from exchange.paper.core.wallet import SETTLE_COIN, mark_price, view_wallet
from exchange.paper.order_rest import one_way_only
from exchange.paper.params import Params, cursor_text
from exchange.paper.wire import log_row, number, position_row, to_millis, wallet_row

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def positions(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    if category is Category.SPOT:
        raise params_error("category invalid: spot has no positions")
    symbol = p.text("symbol")
    if symbol:
        tradable_instrument(venue.market, category, symbol)
        chosen = [venue.state.position(symbol)]
    elif p.text("settleCoin"):
        settled = p.text("settleCoin") == SETTLE_COIN
        chosen = [x for x in venue.state.positions.values() if x.size and settled]
    else:
        raise params_error("symbol or settleCoin is required")
    rows = [
        position_row(x, mark_price(venue.market, x.symbol, venue.position), venue.state.leverage(x.symbol))
        for x in chosen
    ]
    return {"category": category.value, "list": rows, "nextPageCursor": ""}


async def set_leverage(asked: Asked) -> Result:
    p = asked.params
    _linear_only(p)
    symbol = p.required("symbol")
    buy, sell = p.positive("buyLeverage"), p.positive("sellLeverage")
    if buy != sell:
        raise params_error("buyLeverage and sellLeverage must be equal in one-way mode")
    await asked.venue.submit(lambda at: SetLeverage(at, symbol, buy))
    return {}


async def trading_stop(asked: Asked) -> Result:
    p = asked.params
    _linear_only(p)
    one_way_only(p)
    for name in ("takeProfit", "trailingStop", "activePrice", "tpSize", "slSize", "tpLimitPrice", "slLimitPrice"):
        if p.decimal(name):
            raise params_error(f"{name} is not supported by this exchange yet: only stopLoss is")
    if p.text("tpslMode", "Full") != "Full" or p.text("slTriggerBy", "LastPrice") != "LastPrice":
        raise params_error("only tpslMode Full and slTriggerBy LastPrice are supported by this exchange yet")
    symbol, stop_loss = p.required("symbol"), p.decimal("stopLoss")
    if stop_loss is None:
        raise params_error("stopLoss is required (0 takes it away)")
    await asked.venue.submit(lambda at: SetStopLoss(at, symbol, stop_loss))
    return {}


async def wallet_balance(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    if p.required("accountType") != "UNIFIED":
        raise params_error("accountType only support UNIFIED.")
    coins = frozenset(c.strip().upper() for c in p.text("coin").split(",") if c.strip())
    return {"list": [wallet_row(view_wallet(venue.state, venue.market, venue.position), coins or None)]}


async def account_info(asked: Asked) -> Result:
    return {
        "unifiedMarginStatus": 5,
        "marginMode": "REGULAR_MARGIN",
        "dcpStatus": "OFF",
        "timeWindow": 0,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
        "updatedTime": str(to_millis(asked.venue.started_at)),
    }


async def fee_rate(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    symbol = p.text("symbol")
    if symbol:
        tradable_instrument(venue.market, category, symbol)
    rate = FEE_RATES[category]
    rows = [
        {"symbol": s, "baseCoin": "", "takerFeeRate": number(rate.taker), "makerFeeRate": number(rate.maker)}
        for s in ([symbol] if symbol else venue.market.symbols(category))
    ]
    return {"category": category.value, "list": rows}


async def transaction_log(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    if p.text("accountType", "UNIFIED") != "UNIFIED":
        raise params_error("accountType only support UNIFIED.")
    category = p.choice("category", Category)
    page = venue.history.log(
        category=category or "",
        coin=p.text("currency"),
        type=p.text("type"),
        window=p.window(to_millis(venue.position), DAY, WEEK),
        before=p.before(),
        limit=p.limit(20, 50),
    )
    return {"list": [log_row(row) for row in page.rows], "nextPageCursor": cursor_text(page.before)}


async def query_api(asked: Asked) -> Result:
    rights = [] if asked.key.read_only else ["Order", "Position"]
    return {
        "id": "1",
        "note": "paper exchange",
        "apiKey": asked.key.key,
        "readOnly": int(asked.key.read_only),
        "secret": "",
        "permissions": {
            "ContractTrade": rights,
            "Spot": [] if asked.key.read_only else ["SpotTrade"],
            "Wallet": [],
            "Options": [],
            "Derivatives": [] if asked.key.read_only else ["DerivativesTrade"],
            "Exchange": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 0,
        "expiredAt": "",
        "createdAt": "",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


ACCOUNT_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("GET", "position/list"): positions,
    ("POST", "position/set-leverage"): set_leverage,
    ("POST", "position/trading-stop"): trading_stop,
    ("GET", "account/wallet-balance"): wallet_balance,
    ("GET", "account/info"): account_info,
    ("GET", "account/fee-rate"): fee_rate,
    ("GET", "account/transaction-log"): transaction_log,
    ("GET", "user/query-api"): query_api,
}


def _linear_only(p: Params) -> None:
    if p.category() is not Category.LINEAR:
        raise params_error("category invalid: linear")

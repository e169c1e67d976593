"""Signed endpoints about positions, the account and the API key."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from domain.costs import BYBIT_BASE_FEES
from domain.market import Category
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.core.commands import SetLeverage, SetTradingStop
from exchange.paper.core.margin import SETTLE_COIN, liquidation_price
from exchange.paper.core.model import Exit, Position
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.core.state import tradable_instrument
from exchange.paper.core.wallet import view_wallet
from exchange.paper.instruments import split_symbol
from exchange.paper.order_params import one_way_only
from exchange.paper.params import Params, cursor_text
from exchange.paper.venue import Venue
from exchange.paper.wire import Row, closed_pnl_row, log_row, number, position_row, to_millis, wallet_row

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


async def positions(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    if p.text("category") in ("inverse", "option"):  # there is nothing of theirs to hold here, and clients ask for all
        return {"category": p.text("category"), "list": [], "nextPageCursor": ""}
    category = p.category()
    if category is Category.SPOT:
        raise params_error("category invalid: spot has no positions")
    symbol, settle, base = p.text("symbol"), p.text("settleCoin"), p.text("baseCoin")
    if symbol:
        tradable_instrument(venue.market, category, symbol)
        chosen = [venue.state.position(symbol)]
    elif settle or base:
        held = [x for _, x in sorted(venue.state.positions.items()) if x.size and settle in ("", SETTLE_COIN)]
        chosen = [x for x in held if not base or split_symbol(x.symbol)[0] == base]
    else:
        raise params_error("symbol or settleCoin is required")
    start, limit = p.before() or 0, p.limit(20, 200)
    page = chosen[start : start + limit]
    more = start + limit if start + limit < len(chosen) else None
    rows = [_position(venue, position) for position in page]
    return {"category": category.value, "list": rows, "nextPageCursor": cursor_text(more)}


def _position(venue: Venue, position: Position) -> Row:
    market, now = venue.market, venue.position
    mark = market.mark_price(position.symbol, now)
    liquidation = liquidation_price(venue.state, market, position, now)
    return position_row(position, mark, venue.state.leverage(position.symbol), liquidation)


async def set_leverage(asked: Asked) -> Result:
    p = asked.params
    _linear_only(p)
    symbol = p.required("symbol")
    buy, sell = p.positive("buyLeverage"), p.positive("sellLeverage")
    if buy != sell:
        raise params_error("buyLeverage and sellLeverage must be equal in one-way mode")
    await asked.venue.submit(lambda at: SetLeverage(at, symbol, buy))
    return {}


async def switch_mode(asked: Asked) -> Result:
    """The position mode is one-way, and stays so."""
    p = asked.params
    _linear_only(p)
    symbol, coin = p.text("symbol"), p.text("coin")
    if not symbol and not coin:
        raise params_error("symbol or coin is required")
    if symbol:
        tradable_instrument(asked.venue.market, Category.LINEAR, symbol)
    elif coin != SETTLE_COIN:
        raise params_error(f"coin invalid: {coin}")
    if not p.text("mode"):
        raise params_error("mode is required: 0 (one-way) or 3 (hedge)")
    mode = p.integer("mode", 0)
    if mode == 3:
        raise Refusal(110029, "Hedge mode is not supported for this symbol")
    if mode != 0:
        raise params_error(f"mode invalid: {mode} is neither 0 (one-way) nor 3 (hedge)")
    return {}


async def trading_stop(asked: Asked) -> Result:
    p = asked.params
    _linear_only(p)
    one_way_only(p)
    symbol, mode = p.required("symbol"), p.text("tpslMode", "Full")
    exits = {
        "take_profit": _exit(p, "takeProfit", "tp"),
        "stop_loss": _exit(p, "stopLoss", "sl"),
        "trailing_stop": _not_negative(p, "trailingStop"),
        "active_price": _not_negative(p, "activePrice"),
    }
    if all(value is None for value in exits.values()):
        raise params_error("takeProfit, stopLoss or trailingStop is required (0 takes it away)")
    await asked.venue.submit(lambda at: SetTradingStop(at, symbol, mode, **exits))
    return {}


def _exit(p: Params, name: str, short: str) -> Exit | None:
    """An exit of ``position/trading-stop``: ``name`` its trigger price, ``short`` what its other fields begin with."""
    trigger = _not_negative(p, name)
    if trigger is None:
        return None
    kind, limit_price = p.text(f"{short}OrderType", "Market"), p.decimal(f"{short}LimitPrice") or None
    if kind not in ("Market", "Limit") or (kind == "Limit") != (limit_price is not None):
        raise params_error(f"{short}OrderType is Market, or Limit and then needs {short}LimitPrice")
    return Exit(trigger, p.text(f"{short}TriggerBy", "LastPrice"), limit_price, p.decimal(f"{short}Size") or None)


def _not_negative(p: Params, name: str) -> Decimal | None:
    value = p.decimal(name)
    if value is not None and value < 0:
        raise params_error(f"{name} can not be less than 0")
    return value


async def closed_pnl(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    _linear_only(p)
    symbol = p.text("symbol")
    if symbol:
        tradable_instrument(venue.market, Category.LINEAR, symbol)
    page = venue.history.closed_pnl(
        symbol=symbol,
        window=p.window(to_millis(venue.position), WEEK, WEEK),
        before=p.before(),
        limit=p.limit(50, 100),
    )
    rows = [closed_pnl_row(row) for row in page.rows]
    return {"category": Category.LINEAR.value, "list": rows, "nextPageCursor": cursor_text(page.before)}


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


async def set_margin_mode(asked: Asked) -> Result:
    """The account is in regular (cross) margin mode, and stays so."""
    mode = asked.params.required("setMarginMode")
    if mode not in ("REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN"):
        raise params_error(f"setMarginMode invalid: {mode}")
    if mode != "REGULAR_MARGIN":
        raise Refusal(3400045, f"Set margin mode failed: this account has regular margin only, not {mode}")
    return {"reasons": []}


async def fee_rate(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    symbol = p.text("symbol")
    if symbol:
        tradable_instrument(venue.market, category, symbol)
    rate = BYBIT_BASE_FEES[category]
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
    if p.text("transSubType"):  # positions are never moved between accounts here
        return {"list": [], "nextPageCursor": ""}
    page = venue.history.log(
        category=category or "",
        coin=p.text("currency"),
        type=p.text("type"),
        base_coin=p.text("baseCoin"),
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
            "Wallet": ["AccountTransfer", "SubMemberTransfer", "Withdraw"] if asked.key.withdraw else [],
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
    ("GET", "position/closed-pnl"): closed_pnl,
    ("POST", "position/set-leverage"): set_leverage,
    ("POST", "position/switch-mode"): switch_mode,
    ("POST", "position/trading-stop"): trading_stop,
    ("GET", "account/wallet-balance"): wallet_balance,
    ("GET", "account/info"): account_info,
    ("POST", "account/set-margin-mode"): set_margin_mode,
    ("GET", "account/fee-rate"): fee_rate,
    ("GET", "account/transaction-log"): transaction_log,
    ("GET", "user/query-api"): query_api,
}


def _linear_only(p: Params) -> None:
    if p.category() is not Category.LINEAR:
        raise params_error("category invalid: linear")

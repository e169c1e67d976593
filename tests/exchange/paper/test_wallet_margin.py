"""What open orders, positions and losses leave of the wallet, and moving coins to the funding account and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import Deposit, SetLeverage, Transfer
from exchange.paper.core.events import Event, Logged, WalletView
from exchange.paper.core.margin import order_margin
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.wallet import available, view_wallet
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START

D = Decimal
LINEAR, SPOT = Category.LINEAR, Category.SPOT
TAKER = D("0.00055")


@pytest.fixture
def account() -> Account:
    made = Account()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        made.do(SetLeverage(START, symbol, D(10)))
    return made


def held_by(value: str) -> Decimal:
    """What an order that opens this much holds at a leverage of 10: margin, and the fees of opening and closing."""
    return D(value) / 10 + 2 * D(value) * TAKER


def ordered(account: Account) -> Decimal:
    return order_margin(account.state, account.market, account.now)


def wallet(account: Account) -> WalletView:
    return view_wallet(account.state, account.market, account.now)


def free(account: Account, coin: str = "USDT") -> Decimal:
    return available(account.state, account.market, coin, account.now)


def test_a_resting_order_holds_its_margin_until_it_is_gone(account: Account) -> None:
    account.limit(LINEAR, Side.BUY, "1", "40000")
    assert ordered(account) == held_by("40000")
    assert free(account) == 100_000 - held_by("40000")
    account.tick(LINEAR, "39999.9", "0.25")
    assert ordered(account) == held_by("30000")
    account.tick(LINEAR, "39999.9", "0.75")
    assert ordered(account) == 0


def test_of_two_sides_the_larger_counts_and_symbols_add_up(account: Account) -> None:
    account.limit(LINEAR, Side.BUY, "1", "40000")
    account.limit(LINEAR, Side.SELL, "0.5", "60000")
    assert ordered(account) == held_by("40000")
    account.limit(LINEAR, Side.BUY, "0.1", "40000", symbol="ETHUSDT")
    assert ordered(account) == held_by("40000") + held_by("4000")


def test_what_only_reduces_a_position_holds_nothing(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1")
    account.limit(LINEAR, Side.SELL, "1", "60000")
    assert ordered(account) == 0
    account.limit(LINEAR, Side.SELL, "0.5", "55000")
    assert ordered(account) == held_by("30000")  # the one at 55,000 fills first and reduces: 0.5 at 60,000 open
    account.limit(LINEAR, Side.SELL, "1", "52000", reduce_only=True)
    assert ordered(account) == held_by("30000")


def test_a_loss_is_taken_off_and_a_profit_can_not_be_spent(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1")
    margin = D("5000.5") + D("50005") * TAKER
    cash = 100_000 - D("50005") * TAKER
    account.tick(LINEAR, "49000")
    assert free(account) == cash - margin - 1005
    account.tick(LINEAR, "52000")
    assert free(account) == cash - margin
    assert wallet(account).equity == cash + 1995


def test_an_order_on_spot_locks_the_coins_it_would_give(account: Account) -> None:
    account.do(Deposit(START, "BTC", D(1)))
    account.limit(SPOT, Side.SELL, "0.4", "60000")
    account.limit(SPOT, Side.BUY, "0.5", "40000")
    assert (free(account, "BTC"), free(account)) == (D("0.6"), D(80_000))
    coins = {coin.coin: coin for coin in wallet(account).coins}
    assert (coins["BTC"].locked, coins["USDT"].locked) == (D("0.4"), D(20_000))


def test_the_wallet_is_valued_at_the_index(account: Account) -> None:
    account.do(Deposit(START, "BTC", D(2)))
    account.market.set_price(SPOT, "BTCUSDT", D(48_000))
    view = wallet(account)
    assert view.equity == view.balance == 100_000 + 96_000
    assert view.available == 100_000


def test_leverage_that_the_account_can_not_carry_is_refused(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "10")
    before = account.state.copy()
    with pytest.raises(Refusal) as caught:
        account.do(SetLeverage(account.now, "BTCUSDT", D(5)))
    assert caught.value.code == 110044
    assert account.state == before
    account.do(SetLeverage(account.now, "BTCUSDT", D(20)))


def transfer(account: Account, amount: str, *, out: bool = True, key: str = "t", coin: str = "USDT") -> list[Event]:
    return account.do(Transfer(account.now, key, coin, D(amount), to_funding=out))


def refused(account: Account, code: int, amount: str, **more: Any) -> None:
    before = account.state.copy()
    with pytest.raises(Refusal) as caught:
        transfer(account, amount, **more)
    assert caught.value.code == code
    assert account.state == before


def test_a_transfer_is_a_row_of_the_log_and_the_funding_account_has_the_other_side(account: Account) -> None:
    (row,) = [e.row for e in transfer(account, "30000.12345678") if isinstance(e, Logged)]
    assert (row.type, row.change, row.cash_flow, row.qty) == (
        "TRANSFER_OUT",
        D("-30000.12345678"),
        D("-30000.12345678"),
        D("30000.12345678"),
    )
    assert account.state.funding_balances == {"USDT": D("30000.12345678")}
    (row,) = [e.row for e in transfer(account, "0.12345678", out=False, key="u") if isinstance(e, Logged)]
    assert (row.type, row.cash_balance) == ("TRANSFER_IN", account.state.balance("USDT"))
    assert account.state.balance("USDT") == 70_000
    assert account.state.funding_balances == {"USDT": D(30_000)}


def test_transfers_that_can_not_be_done_are_refused(account: Account) -> None:
    transfer(account, "50000", key="used")
    refused(account, 131214, "1", key="used")
    refused(account, 131212, "50000.00000001")
    refused(account, 131212, "50001", out=False)
    refused(account, 131212, "1", coin="BTC")
    refused(account, 131215, "0")
    refused(account, 131210, "0.000000001")
    account.place(LINEAR, Side.BUY, "1")
    refused(account, 131212, "49000")

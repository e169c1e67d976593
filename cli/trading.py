"""Trading commands: ``trade buy|sell``, ``close``, ``positions``, ``position``, ``orders``, ``executions``.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import typer

from cli.asking import Limit, Symbol, ask, checked, upper
from cli.context import Json, console, print_json
from cli.reconciliation import unknown_orders
from cli.trading_tables import execution_table, order_table, position_story, position_table
from client import AtsClient, new_key
from client.models import Category, CloseRequest, ExitPolicy, TradeRequest

trade_app = typer.Typer(no_args_is_help=True, help="Open a position by hand; halt, resume or leave everything.")

Percent = Decimal | None


def register(app: typer.Typer) -> None:
    """Add the trading commands to the ``ats`` command."""
    app.add_typer(trade_app, name="trade")
    app.command("close")(close)
    app.command("positions")(positions)
    app.command("position")(position)
    app.command("orders")(orders)
    app.command("executions")(executions)


def _percent(flag: str, help_text: str) -> Any:
    return typer.Option(flag, parser=_decimal, metavar="PERCENT", help=help_text, rich_help_panel="Exit targets")


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not number.is_finite():
        raise typer.BadParameter(f"{text!r} is not a number")
    return number


Usd = Annotated[
    Decimal | None, typer.Option("--usd", parser=_decimal, metavar="AMOUNT", help="how much, in quote coin")
]
Qty = Annotated[Decimal | None, typer.Option("--qty", parser=_decimal, metavar="AMOUNT", help="how much, in base coin")]
Market = Annotated[Category | None, typer.Option("--category", help="default: spot for buy, linear for sell")]
Strategy = Annotated[str, typer.Option("--strategy", help="the strategy the position counts for")]
Why = Annotated[str, typer.Option("--reason", help="why; it goes into the audit log")]
Key = Annotated[str | None, typer.Option("--key", help="idempotency key: the same key never trades twice")]
StopLoss = Annotated[Percent, _percent("--stop-loss", "leave when this far in loss")]
TakeProfit = Annotated[Percent, _percent("--take-profit", "leave when this far in profit")]
TrailActivation = Annotated[Percent, _percent("--trailing-activation", "profit from which the stop trails")]
TrailDistance = Annotated[Percent, _percent("--trailing-distance", "how far behind the best price it stays")]
TrailingStop = Annotated[Percent, _percent("--trailing-stop", "a stop this far behind the best price from entry on")]
BreakEven = Annotated[Percent, _percent("--break-even", "profit from which the stop is at the entry price")]
MaxHold = Annotated[
    int | None,
    typer.Option("--max-hold", min=1, metavar="SECONDS", help="leave after this", rich_help_panel="Exit targets"),
]


def _add_trade(side: Literal["buy", "sell"], explained: str) -> None:
    """``trade buy`` and ``trade sell`` take the same options."""

    @trade_app.command(side, help=explained)
    def trade(
        symbol: str,
        usd: Usd = None,
        qty: Qty = None,
        category: Market = None,
        stop_loss: StopLoss = None,
        take_profit: TakeProfit = None,
        trailing_activation: TrailActivation = None,
        trailing_distance: TrailDistance = None,
        trailing_stop: TrailingStop = None,
        break_even: BreakEven = None,
        max_hold: MaxHold = None,
        strategy: Strategy = "manual",
        reason: Why = "by hand, from the command line",
        key: Key = None,
        json: Json = False,
    ) -> None:
        targets = _targets(
            stop_loss, take_profit, trailing_activation, trailing_distance, trailing_stop, break_even, max_hold
        )
        _trade(side, symbol, usd, qty, category, targets, strategy, reason, key, json)


_add_trade("buy", "Open a long position at market (spot unless --category says otherwise).")
_add_trade("sell", "Open a short position at market, on linear.")


def _targets(
    stop_loss: Percent,
    take_profit: Percent,
    trailing_activation: Percent,
    trailing_distance: Percent,
    trailing_stop: Percent,
    break_even: Percent,
    max_hold: int | None,
) -> dict[str, Decimal | int]:
    """The exit targets that were given."""
    named = {
        "stop_loss_pct": stop_loss,
        "take_profit_pct": take_profit,
        "trailing_activation_pct": trailing_activation,
        "trailing_distance_pct": trailing_distance,
        "trailing_stop_pct": trailing_stop,
        "break_even_at_pct": break_even,
        "max_hold_seconds": max_hold,
    }
    return {name: value for name, value in named.items() if value is not None}


def _trade(
    side: Literal["buy", "sell"],
    symbol: str,
    usd: Decimal | None,
    qty: Decimal | None,
    category: Category | None,
    targets: dict[str, Decimal | int],
    strategy: str,
    reason: str,
    key: str | None,
    as_json: bool,
) -> None:
    used = key or new_key()

    def send(api: AtsClient) -> Any:
        policy = _policy(api, targets)
        request = checked(
            lambda: TradeRequest(
                side=side,
                category=category,
                symbol=symbol.upper(),
                usd=usd,
                qty=qty,
                exit_policy=policy,
                reason=reason,
                strategy=strategy,
            )
        )
        return api.trade(request, key=used)

    accepted = ask(send, as_json)
    if as_json:
        print_json(accepted.model_dump(mode="json"))
        return
    console.print(f"position [bold]{accepted.position_id}[/bold] is {accepted.state} (key {used})")


def _policy(api: AtsClient, targets: dict[str, Decimal | int]) -> ExitPolicy | None:
    """The targets given; a stop loss not given is the default's, since every position has one. None given: None."""
    if not targets:
        return None
    if "stop_loss_pct" not in targets:
        targets = {**targets, "stop_loss_pct": api.trade_defaults().exit_policy.stop_loss_pct}
    return checked(lambda: ExitPolicy.model_validate(targets))


def close(
    position_id: Annotated[str, typer.Argument(metavar="POSITION")],
    reason: Annotated[str, typer.Option("--reason", help="why; it goes into the audit log")],
    json: Json = False,
) -> None:
    """Close a position at market."""
    request = checked(lambda: CloseRequest(reason=reason))
    accepted = ask(lambda api: api.close_position(position_id, request), json)
    if json:
        print_json(accepted.model_dump(mode="json"))
        return
    by = f" by order {accepted.order_link_id}" if accepted.order_link_id else ""
    console.print(f"position [bold]{accepted.position_id}[/bold] is {accepted.state}{by}")


def positions(
    symbol: Symbol = None,
    state: Annotated[str | None, typer.Option("--state", help="a state, or active, or final")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Positions, newest first."""
    page = ask(lambda api: api.positions(symbol=upper(symbol), state=state, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    if not page.items:
        console.print("no such position; open one with: ats trade buy BTCUSDT --usd 100")
        return
    console.print(position_table(page.items))


def position(position_id: Annotated[str, typer.Argument(metavar="POSITION")], json: Json = False) -> None:
    """One position with its targets, orders, fills and what it brought."""
    detail = ask(lambda api: api.position(position_id), json)
    if json:
        print_json(detail.model_dump(mode="json"))
        return
    console.print(position_story(detail))


def orders(
    symbol: Symbol = None,
    state: Annotated[str | None, typer.Option("--state", help="only orders in this state")] = None,
    position_id: Annotated[str | None, typer.Option("--position", help="only this position's")] = None,
    unknown: Annotated[bool, typer.Option("--unknown", help="those in doubt, and what is done about them")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Orders, newest first."""
    if unknown:
        unknown_orders(limit, json)
        return
    page = ask(lambda api: api.orders(symbol=upper(symbol), state=state, position=position_id, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(order_table(page.items) if page.items else "no such order")


def executions(
    symbol: Symbol = None,
    position_id: Annotated[str | None, typer.Option("--position", help="only this position's")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Fills, newest first."""
    page = ask(lambda api: api.executions(symbol=upper(symbol), position=position_id, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(execution_table(page.items) if page.items else "no such execution")

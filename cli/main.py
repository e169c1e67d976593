"""Entry point of ``ats``: every command and group, nothing else."""

from __future__ import annotations

import typer

from cli import (
    control,
    data,
    decisions,
    doctor,
    exchange,
    reconciliation,
    regime,
    replay,
    settings,
    stack,
    strategies,
    trading,
    verify,
    watchlist,
)
from cli.demo.command import demo
from cli.universe import universe

app = typer.Typer(
    name="ats",
    help="Automated trading system for Bybit: the local stack, trading, data, strategies.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold secrets
)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(doctor.doctor)
app.command()(verify.verify)
app.command()(replay.replay)
app.command()(demo)
app.add_typer(exchange.app, name="exchange")
app.add_typer(strategies.app, name="strategy")
app.add_typer(strategies.app, name="strategies", hidden=True)  # what many type first
app.add_typer(settings.app, name="setting")
app.add_typer(data.app, name="data")
app.add_typer(regime.app, name="regime")
app.add_typer(watchlist.app, name="watchlist")
app.command()(universe)
trading.register(app)
control.register(trading.trade_app)
decisions.register(app)
reconciliation.register(app)

if __name__ == "__main__":
    app()

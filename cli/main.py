"""Entry point of ``ats``: every command and group, nothing else."""

from __future__ import annotations

import typer

from cli import doctor, exchange, stack, trading
from cli.demo.command import demo

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
app.command()(demo)
app.add_typer(exchange.app, name="exchange")
trading.register(app)

if __name__ == "__main__":
    app()

"""``ats exchange``: the paper exchange alone, for any client that speaks Bybit v5, and its faults on demand."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cli import faults

app = typer.Typer(help="The exchange.", no_args_is_help=True)
faults.register(app)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def paper(
    context: typer.Context,
    options: Annotated[list[str] | None, typer.Argument(help="Options of the paper exchange.")] = None,
) -> None:
    """Run the paper exchange in the foreground; `ats exchange paper --help` lists its options."""
    # the same program the stack runs, in place of this one: signals and exit code are its own
    os.execv(sys.executable, [sys.executable, "-m", "exchange.paper", *(options or []), *context.args])

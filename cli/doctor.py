"""``ats doctor``: is this machine fit to run the stack, and if not, what to do."""

from __future__ import annotations

import typer

from cli.context import Json, console, load_settings, print_json
from workers.stack.doctor import examine


def doctor(as_json: Json = False) -> None:
    """Check Python, packages, folders, ports and servers. Exit code 1 when something needs doing."""
    checks = examine(load_settings())
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [check.model_dump() for check in checks]})
    else:
        for check in checks:
            mark = "[green]ok[/]  " if check.ok else "[bold red]FAIL[/]"
            console.print(f"{mark} {check.name:<18} {check.detail}", highlight=False, soft_wrap=True)
            if not check.ok:
                console.print(f"     {'':<18} -> {check.remedy}", highlight=False, soft_wrap=True, style="yellow")
    if not ok:
        raise typer.Exit(1)

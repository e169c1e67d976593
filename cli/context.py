"""What every command needs: settings, one way to print, one way to fail."""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from client import Connection, find_connection
from config.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

console = Console()
errors = Console(stderr=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong and what to do on stderr, and exit."""
    errors.print(f"[bold red]ats:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def load_settings() -> Settings:
    """Settings of this process, or exit 2 with one line for each that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "__".join(str(part).upper() for part in problem["loc"])
            lines.append(f"ATS_{name}: {problem['msg']}" if name else problem["msg"].removeprefix("Value error, "))
        fail("; ".join(lines), code=2)


def api_connection(settings: Settings) -> Connection:
    """The API and key that settings name (environment, ``.env``, the installation's credentials file). Raises
    CredentialsMissing."""
    key = settings.api.key.get_secret_value() if settings.api.key else ""
    named = {"ATS_API__URL": settings.api_url, "ATS_API__KEY": key, "ATS_DATA_DIR": str(settings.data_dir)}
    return find_connection(named)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(value, default=str))

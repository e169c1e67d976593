"""``ats setting list | set | history``: numbers of the whole system."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from cli.asking import AsOf, Limit, Reason, ask, checked
from cli.context import Json, console, fail, print_json
from cli.decision_tables import setting_table, setting_version_table
from client import AtsClient
from client.models import SettingChange, SettingView

app = typer.Typer(no_args_is_help=True, help="System settings: limits and defaults, and every value they had.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="such as max_open_positions")]


@app.command("list")
def list_settings(as_of: AsOf = None, json: Json = False) -> None:
    """Every setting with its value and what it means."""
    found = ask(lambda api: api.settings(as_of=as_of), json)
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    console.print(setting_table(found) if found else "there were no settings then")


@app.command("set")
def change(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="a number, a text, or JSON")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Give a setting a new value."""

    def send(api: AtsClient) -> SettingView:
        before = next((each for each in api.settings() if each.key == key), None)
        if before is None:
            fail(f"there is no setting {key}: see ats setting list")
        fields = {"value": _value(value), "reason": reason, "expected_version": before.version}
        return api.change_setting(key, checked(lambda: SettingChange.model_validate(fields)))

    changed = ask(send, json)
    if json:
        print_json(changed.model_dump(mode="json"))
        return
    console.print(setting_table([changed]))


@app.command()
def history(key: Key, as_of: AsOf = None, limit: Limit = 50, json: Json = False) -> None:
    """Every value of a setting with who gave it and why, newest first."""
    page = ask(lambda api: api.setting_history(key, as_of=as_of, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(setting_version_table(page.items) if page.items else "none was in force then")


def _value(text: str) -> Any:
    """JSON for documents and lists; anything else as text, which keeps an amount exact."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"VALUE is no JSON: {error}") from None

"""``ats setting list | set | bulk | history | diff``: numbers of the whole system."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from cli.asking import AsOf, Limit, Reason, ask, checked, instant
from cli.context import Json, console, fail, print_json
from cli.decision_tables import setting_table, setting_version_table, settings_diff_story
from cli.setting_bulk import bulk
from cli.setting_values import typed_value
from client import AtsClient
from client.models import SettingChange, SettingView

app = typer.Typer(no_args_is_help=True, help="System settings: limits and defaults, and every value they had.")
app.command()(bulk)

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
        fields = {"value": typed_value(value), "reason": reason, "expected_version": before.version}
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


@app.command()
def diff(
    since: Annotated[datetime, typer.Option("--since", parser=instant, metavar="INSTANT", help="a wall time")],
    until: Annotated[
        datetime | None,
        typer.Option("--until", parser=instant, metavar="INSTANT", help="a later wall time; unless given now"),
    ] = None,
    json: Json = False,
) -> None:
    """What differs between the settings in force at two times, and who changed it, why and when."""
    told = ask(lambda api: api.settings_diff(since=since, until=until), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    console.print(settings_diff_story(told))

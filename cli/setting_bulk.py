"""``ats setting bulk``: several settings changed for one reason, all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.asking import Reason, ask, checked
from cli.context import Json, console, print_json
from cli.decision_tables import setting_table
from cli.setting_values import typed_value
from cli.strategy_bulk import read_changes
from client import AtsClient
from client.models import SettingBulkRequest, SettingView


def bulk(
    reason: Reason,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="JSON: [{key, value}, ...]")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="one setting; may be repeated")
    ] = None,
    json: Json = False,
) -> None:
    """Change several settings at once, all or none: --set max_open_positions=10 --set symbol_exposure_usd=2000, or a
    file whose entries may name the version they were decided on (seen_version; else the one in force)."""
    if (file is None) == (not values):
        raise typer.BadParameter("give either --file or --set")
    typed = [_typed(text) for text in values or []]

    def send(api: AtsClient) -> list[SettingView]:
        known = {each.key: each.version for each in api.settings()}
        changes = read_changes(file) if file is not None else typed
        for change in changes:
            change.setdefault("seen_version", known.get(str(change.get("key")), 1))
        return api.change_settings(
            checked(lambda: SettingBulkRequest.model_validate({"changes": changes, "reason": reason}))
        )

    changed = ask(send, json)
    if json:
        print_json([each.model_dump(mode="json") for each in changed])
        return
    console.print(setting_table(changed))


def _typed(text: str) -> dict[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    return {"key": key, "value": typed_value(value)}

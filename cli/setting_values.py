"""The value of a setting as people type it."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import typer


def typed_value(text: str) -> Any:
    """JSON for documents and lists; anything else as text, which keeps an amount exact."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"VALUE is no JSON: {error}") from None

"""What differs between two versions of a configuration, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_NOT_CONFIGURED: Final = frozenset({"version", "updated_at"})
"""Fields of a row that change with every change."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``field`` is dotted for a part of a document; None: it was, or now is, not there."""

    field: str
    was: Any
    now: Any


def differences(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[Difference]:
    """The fields that differ between two rows, by name."""
    before, after = flat(earlier), flat(later)
    return [
        Difference(name, before.get(name), after.get(name))
        for name in sorted((before.keys() | after.keys()) - _NOT_CONFIGURED)
        if before.get(name) != after.get(name)
    ]


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The row with the parts of its documents as fields of their own: ``exit_policy.stop_loss_pct``."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found

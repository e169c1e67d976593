"""The files of saved histories: what is taken out of them before they are kept, how they are written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

FOLDER = Path(__file__).parent
_NOBODY = "worker"


@dataclass(frozen=True)
class Saved:
    """One history: its file's name without the suffix, and the history as JSON."""

    name: str
    history: dict[str, Any]


def scrubbed(value: Any) -> Any:
    """The history without what belongs to the machine it was made on: process identities and stack traces.

    An identity is ``pid@host`` and also begins the name of a worker's own (sticky) task queue. Replay reads neither.
    """
    if isinstance(value, list):
        return [scrubbed(each) for each in value]
    if not isinstance(value, dict):
        return value
    cleaned: dict[str, Any] = {}
    for key, each in value.items():
        if key == "stackTrace":
            continue
        if key == "identity" and each:
            cleaned[key] = _NOBODY
        elif key == "taskQueue" and isinstance(each, dict) and each.get("kind") == "TASK_QUEUE_KIND_STICKY":
            cleaned[key] = {**each, "name": _NOBODY}
        else:
            cleaned[key] = scrubbed(each)
    return cleaned


def existing(folder: Path, scenarios: Iterable[str]) -> list[Path]:
    """The files that ``scenarios`` would write over."""
    return sorted(path for name in scenarios for path in folder.glob(f"{name}.*.json"))


def save(folder: Path, saved: Saved) -> Path:
    """Write a new file. Raises FileExistsError rather than write over a history that was saved."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{saved.name}.json"
    with path.open("x") as file:
        file.write(json.dumps(saved.history, indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> WorkflowHistory:
    """A saved history with the workflow id it ran under."""
    history = json.loads(path.read_text())
    return WorkflowHistory.from_json(started(history)["workflowId"], history)


def started(history: dict[str, Any]) -> dict[str, Any]:
    """The attributes of its first event: workflow id, type, input."""
    return history["events"][0]["workflowExecutionStartedEventAttributes"]

"""Workflows that run survive a change of the code: every saved history replays with it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.histories.files import FOLDER, load, started
from tests.workflows.changed_position import ChangedPositionWorkflow
from workflows.account_stream import AccountStreamWorkflow
from workflows.backfill import BackfillWorkflow
from workflows.flatten import FlattenWorkflow
from workflows.market_clock import MarketClockWorkflow
from workflows.market_stream import MarketStreamWorkflow
from workflows.order import OrderWorkflow
from workflows.plugin import ats_plugin
from workflows.position import PositionWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.regime import RegimeRebuildWorkflow
from workflows.scan import ScanWorkflow
from workflows.snapshot import SnapshotWorkflow

WORKFLOWS = (
    AccountStreamWorkflow,
    BackfillWorkflow,
    FlattenWorkflow,
    MarketClockWorkflow,
    MarketStreamWorkflow,
    OrderWorkflow,
    PositionWorkflow,
    ReconciliationWorkflow,
    RegimeRebuildWorkflow,
    ScanWorkflow,
    SnapshotWorkflow,
)
HISTORIES = sorted(FOLDER.glob("*/*.json"))
_PROCESS_OR_PATH = re.compile(r"\d+@[\w.-]+|/(?:home|root|work|tmp|usr)/")


def replayer(*workflows: type) -> Replayer:
    return Replayer(workflows=workflows, plugins=[ats_plugin()])


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


@pytest.mark.parametrize("path", HISTORIES, ids=name_of)
async def test_a_saved_history_replays(path: Path) -> None:
    await replayer(*WORKFLOWS).replay_workflow(load(path))


def test_every_workflow_has_saved_histories() -> None:
    saved = {started(json.loads(path.read_text()))["workflowType"]["name"] for path in HISTORIES}
    assert saved == {workflow.__name__ for workflow in WORKFLOWS}


async def test_a_workflow_whose_steps_changed_their_order_does_not_replay() -> None:
    history = load(FOLDER / "0.1.0" / "manual-close.position.json")
    with pytest.raises(NondeterminismError):
        await replayer(ChangedPositionWorkflow, OrderWorkflow).replay_workflow(history)


@pytest.mark.parametrize("path", HISTORIES, ids=name_of)
def test_a_saved_history_tells_nothing_of_the_machine_it_was_made_on(path: Path) -> None:
    history = json.loads(path.read_text())
    told = "\n".join([path.read_text(), *payloads(history)])
    assert not _PROCESS_OR_PATH.search(told)


def payloads(value: Any) -> list[str]:
    """Every payload of a history, decoded."""
    if isinstance(value, list):
        return [text for each in value for text in payloads(each)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("data"), str) and "metadata" in value:
        return [base64.b64decode(value["data"]).decode()]
    return [text for each in value.values() for text in payloads(each)]

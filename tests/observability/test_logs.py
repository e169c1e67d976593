"""What one log line says, where it goes, and that none is lost."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from config.settings import Settings
from observability.logs import bind, configure_logging, get_logger
from observability.tracing import configure_tracing, current_trace_id, get_tracer
from tests.observability.log_writer import write_lines

LOGGER = "tests.module_level"
TEST_SERVER = str(Path(sys.executable).parent / "temporal-test-server")

log = get_logger(LOGGER)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    root = logging.getLogger()
    level = root.level
    yield Settings(log_dir=tmp_path / "logs", data_dir=tmp_path)
    for handler in [h for h in root.handlers if getattr(h, "ats_handler", False)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def lines(settings: Settings, service: str = "svc") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (settings.log_dir / f"{service}.log").read_text().splitlines()]


def test_a_line_is_json_with_service_level_time_logger_and_fields(settings: Settings, capsys: Any) -> None:
    configure_logging("svc", settings)
    log.info("order placed", qty=Decimal("0.10"), order_link_id="P-E1")
    [line] = lines(settings)
    assert line["event"] == "order placed"
    assert line["qty"] == "0.10"
    assert (line["service"], line["level"], line["logger"]) == ("svc", "info", LOGGER)
    assert line["timestamp"].endswith("Z")
    assert json.loads(capsys.readouterr().out) == line


def test_standard_library_loggers_write_the_same_lines(settings: Settings) -> None:
    configure_logging("svc", settings)
    with bind(workflow_id="order/P-E1"):
        logging.getLogger("some.library").warning("disk %s", "full", extra={"free": 3})
    [line] = lines(settings)
    assert (line["event"], line["free"], line["workflow_id"]) == ("disk full", 3, "order/P-E1")
    assert (line["service"], line["level"], line["logger"]) == ("svc", "warning", "some.library")


def test_a_line_inside_a_span_carries_its_ids_and_outside_carries_empty_ones(settings: Settings) -> None:
    configure_tracing("svc")
    configure_logging("svc", settings)
    with get_tracer("t").start_as_current_span("work"):
        inside = current_trace_id()
        log.info("in")
    log.info("out")
    first, second = lines(settings)
    assert (first["trace_id"], len(first["span_id"])) == (inside, 16)
    assert len(inside) == 32
    assert (second["trace_id"], second["span_id"]) == ("", "")


async def test_bound_ids_stay_with_their_task(settings: Settings) -> None:
    configure_logging("svc", settings)
    both_bound = asyncio.Barrier(2)

    async def trade(position: str) -> None:
        with bind(position_id=position):
            await both_bound.wait()
            log.info(position)

    await asyncio.gather(trade("a"), trade("b"))
    log.info("none")
    got = {line["event"]: line.get("position_id") for line in lines(settings)}
    assert got == {"a": "a", "b": "b", "none": None}


def test_an_exception_keeps_its_traceback(settings: Settings) -> None:
    configure_logging("svc", settings)
    try:
        raise ValueError("no such symbol")
    except ValueError:
        log.exception("refused")
    [line] = lines(settings)
    assert line["level"] == "error"
    assert "ValueError: no such symbol" in line["exception"]


def test_what_json_cannot_say_is_still_logged(settings: Settings) -> None:
    configure_logging("svc", settings)
    log.info("odd", big=2**80, thing=object(), by_number={1: "x"})
    [line] = lines(settings)
    assert line["big"] == 2**80
    assert "object" in line["thing"]


def test_the_level_of_the_settings_decides(settings: Settings) -> None:
    configure_logging("svc", settings.model_copy(update={"log_level": "warning"}))
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(settings)] == ["yes"]


def test_configuring_again_moves_the_lines_and_doubles_none(settings: Settings) -> None:
    configure_logging("first", settings)
    configure_logging("second", settings)
    log.info("once")
    assert lines(settings, "first") == []
    assert [line["event"] for line in lines(settings, "second")] == ["once"]


def test_two_processes_rotating_one_file_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "svc.log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_lines, args=(path, writer, 1500)) for writer in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(50)
    assert [writer.exitcode for writer in writers] == [0, 0], "both ended, and by themselves"
    files = [file for file in tmp_path.glob("svc.log*") if file.suffix != ".lock"]
    assert len(files) > 5
    written = [line.split()[0] for file in files for line in file.read_text().splitlines()]
    assert sorted(written) == sorted(f"{writer}:{number}" for writer in range(2) for number in range(1500))


@workflow.defn
class Talking:
    @workflow.run
    async def run(self) -> None:
        log.info("before the timer")
        await workflow.sleep(timedelta(seconds=1))
        with bind(workflow_id=workflow.info().workflow_id):
            log.info("after the timer")


async def test_a_workflow_logs_through_the_sandbox_once_even_when_replayed(settings: Settings) -> None:
    configure_logging("svc", settings)
    runner = SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "structlog", "observability", "orjson", "opentelemetry", "config", "pydantic_settings", "tests"
        )
    )
    async with (
        await WorkflowEnvironment.start_time_skipping(test_server_existing_path=TEST_SERVER) as env,
        Worker(
            env.client,
            task_queue="t",
            workflows=[Talking],
            workflow_runner=runner,
            max_cached_workflows=0,  # every workflow task replays from the start
            workflow_task_executor=ThreadPoolExecutor(2),
        ),
    ):
        await env.client.execute_workflow(Talking.run, id="talking/1", task_queue="t")
    ours = [(line["event"], line.get("workflow_id")) for line in lines(settings) if line["logger"] == LOGGER]
    assert ours == [("before the timer", None), ("after the timer", "talking/1")]

"""The servers that tests are given are the real ones and are separate from each other."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


@workflow.defn
class Month:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(timedelta(days=30))
        return "a month later"


async def test_a_database_is_migrated_and_nobody_else_sees_it(database: str, postgres_server) -> None:
    other = postgres_server.new_database()
    first, second = await asyncpg.connect(database), await asyncpg.connect(other)
    try:
        assert await first.fetchval("SELECT count(*) FROM alembic_version") == 1
        await first.execute("CREATE TABLE mine (x int)")
        assert await second.fetchval("SELECT to_regclass('mine')") is None
    finally:
        await first.close()
        await second.close()
        postgres_server.drop_database(other)


async def test_the_dev_server_keeps_closed_workflows_for_thirty_days(temporal_server) -> None:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    client = await Client.connect(temporal_server.address)
    told = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert told.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)


async def test_a_month_passes_at_once_on_the_time_skipping_server(time_skipping) -> None:
    environment = await time_skipping()
    # Not sandboxed: the sandbox would import this module and with it asyncpg a second time, which crashes its C parts.
    runner = UnsandboxedWorkflowRunner()
    async with Worker(environment.client, task_queue="q", workflows=[Month], workflow_runner=runner):
        assert await environment.client.execute_workflow(Month.run, id="m", task_queue="q") == "a month later"

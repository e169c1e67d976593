"""The parts of the stack, made from settings. What settings say is elsewhere (a DSN, an address) isn't started."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from config.credentials import api_key, exchange_keys, load_or_create_credentials
from config.settings import Settings
from workers.stack import temporal
from workers.stack.environment import settings_environment
from workers.stack.postgres import (
    EmbeddedPostgres,
    answers,
    clear_leftovers,
    embedded_postgres,
    ensure_database,
)
from workers.stack.probes import http_answers, worker_polls
from workers.stack.process import ChildSpec
from workers.stack.service import Part, Port, Service, Task
from workers.stack.supervisor import run_to_end

PROJECT = Path(__file__).resolve().parents[2]

POSTGRES, TEMPORAL, EXCHANGE, MIGRATIONS = "postgres", "temporal", "exchange", "migrations"
TRADING, RESEARCH, API, UI = "worker-trading", "worker-research", "api", "ui"


def stack_parts(settings: Settings) -> list[Part]:
    """Every part that these settings ask for, in no special order (``in_levels`` orders them)."""
    parts: list[Part] = []
    if settings.embedded_postgres:
        parts.append(_postgres(settings))
    if settings.embedded_temporal:
        parts.append(_temporal(settings))
    if settings.exchange.mode == "paper" and settings.exchange.url is None:
        parts.append(_exchange(settings))
    parts.append(_migrations(settings))
    parts.append(_worker(settings, TRADING, "workers.trading", ("trading", "market"), needs=(EXCHANGE,)))
    parts.append(_worker(settings, RESEARCH, "workers.research", ("research",)))
    parts += [_api(settings), _ui(settings)]
    return parts


def _output(settings: Settings, name: str) -> Path:
    return settings.log_dir.resolve() / f"{name}.out"


def _no_secrets() -> dict[str, str]:
    return {}


def _python(
    settings: Settings, name: str, *arguments: str, secrets: Callable[[], dict[str, str]] = _no_secrets
) -> Callable[[], ChildSpec]:
    """The command ``python <arguments>`` with these settings in its environment and the project on its path.

    ``secrets`` are asked for at the start of the child, not before: making the list of parts makes no credentials.
    They go by the environment, because everybody on the machine can read command lines.
    """
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    surroundings = {
        **settings_environment(settings),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }

    def child() -> ChildSpec:
        command = (sys.executable, *arguments)
        return ChildSpec(command, _output(settings, name), Path.cwd(), {**surroundings, **secrets()})

    return child


def _postgres(settings: Settings) -> Service:
    data, log = settings.data_dir.resolve() / "postgres", _output(settings, POSTGRES)
    port = settings.postgres.port

    made: list[EmbeddedPostgres] = []

    def child() -> ChildSpec:
        server = embedded_postgres(data, port, load_or_create_credentials(settings).postgres_password, log)
        clear_leftovers(server.data)
        made[:] = [server]
        return server.child()

    async def ready(_: int) -> bool:
        return await answers(made[0])

    async def after_ready() -> None:
        await ensure_database(made[0])

    return Service(
        name=POSTGRES,
        child=child,
        ready=ready,
        after_ready=after_ready,
        log=log,
        ports=(Port(port, "PostgreSQL", "ATS_POSTGRES__PORT"),),
        stop_signal=signal.SIGINT,  # PostgreSQL's "fast shutdown"
    )


def _temporal(settings: Settings) -> Service:
    t, log = settings.temporal, _output(settings, TEMPORAL)
    database = temporal.database_file(settings.data_dir.resolve())
    server = temporal.EmbeddedTemporal(t.port, t.ui_port, t.metrics_port, t.namespace, database, log)

    async def ready(_: int) -> bool:
        return await temporal.answers(server.address, server.namespace)

    async def after_ready() -> None:
        await temporal.ensure_retention(server.address, server.namespace)

    return Service(
        name=TEMPORAL,
        child=server.child,
        ready=ready,
        after_ready=after_ready,
        log=log,
        ports=(
            Port(t.port, "Temporal", "ATS_TEMPORAL__PORT"),
            Port(t.ui_port, "Temporal's web UI", "ATS_TEMPORAL__UI_PORT"),
            Port(t.metrics_port, "Temporal's metrics", "ATS_TEMPORAL__METRICS_PORT"),
        ),
        url=f"http://127.0.0.1:{t.ui_port}",
    )


def _exchange(settings: Settings) -> Service:
    paper = settings.exchange.paper

    def keys() -> dict[str, str]:
        key, secret = exchange_keys(settings)
        return {"ATS_PAPER_KEY": key, "ATS_PAPER_SECRET": secret}

    options = ["--port", str(paper.port), "--data-dir", str(settings.data_dir.resolve() / "exchange")]
    speed = paper.speed if paper.speed == "step" else f"{paper.speed:g}"
    options += ["--speed", speed, "--ticks-per-minute", f"{paper.ticks_per_minute:g}"]
    options += ["--rate-limits", str(paper.rate_limits)]
    options += ["--seed", str(paper.seed), "--symbols", ",".join(paper.symbols)]
    options += ["--deposit", *(f"{coin}={amount}" for coin, amount in paper.deposit.items())]
    options += ["--start", paper.start] if paper.start else []
    options += ["--manual"] if paper.manual else []
    options += ["--replay", *map(str, paper.replay)] if paper.replay else []
    options += ["--shadow", paper.shadow] if paper.shadow else []
    return Service(
        name=EXCHANGE,
        child=_python(settings, EXCHANGE, "-m", "exchange.paper", *options, secrets=keys),
        ready=http_answers(f"http://127.0.0.1:{paper.port}/v5/market/time"),
        log=_output(settings, EXCHANGE),
        ports=(Port(paper.port, "the paper exchange", "ATS_EXCHANGE__PAPER__PORT"),),
        url=f"http://127.0.0.1:{paper.port}",
    )


def _migrations(settings: Settings) -> Task:
    child = _python(settings, MIGRATIONS, "-m", "workers.stack.migrate")
    return Task(MIGRATIONS, lambda: run_to_end(MIGRATIONS, child()), requires=(POSTGRES,))


def _worker(
    settings: Settings, name: str, module: str, task_queues: tuple[str, ...], needs: tuple[str, ...] = ()
) -> Service:
    return Service(
        name=name,
        child=_python(settings, name, "-m", module),
        ready=worker_polls(settings.temporal_address, settings.temporal.namespace, task_queues),
        log=_output(settings, name),
        requires=(MIGRATIONS, TEMPORAL, *needs),
        stop_seconds=7.0,  # running activities get a few seconds to hand over their cursors
    )


def _api(settings: Settings) -> Service:
    api = settings.api
    # bound to every address, the API is asked on the one that is always there
    host = "127.0.0.1" if api.host in ("0.0.0.0", "::") else api.host
    return Service(
        name=API,
        child=_python(settings, API, "-m", "api"),
        ready=http_answers(f"http://{host}:{api.port}/v1/system/health"),
        log=_output(settings, API),
        requires=(MIGRATIONS, TEMPORAL),
        ports=(Port(api.port, "the API", "ATS_API__PORT", api.host),),
        url=f"http://{host}:{api.port}",
    )


def _ui(settings: Settings) -> Service:
    ui = settings.ui

    def connection() -> dict[str, str]:
        return {"ATS_API__URL": settings.api_url, "ATS_API__KEY": api_key(settings)}

    host = "127.0.0.1" if ui.host in ("0.0.0.0", "::") else ui.host
    options = {
        "server.address": ui.host,
        "server.port": ui.port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
    }
    flags = [f"--{name}={json.dumps(value).strip(chr(34))}" for name, value in options.items()]
    return Service(
        name=UI,
        child=_python(
            settings, UI, "-m", "streamlit", "run", str(PROJECT / "ui" / "app.py"), *flags, secrets=connection
        ),
        ready=http_answers(f"http://{host}:{ui.port}/_stcore/health"),
        log=_output(settings, UI),
        requires=(MIGRATIONS,),
        ports=(Port(ui.port, "the web UI", "ATS_UI__PORT", ui.host),),
        url=f"http://{host}:{ui.port}",
    )

"""``python -m tests.histories.record [SCENARIO...]``: plays scenarios on real servers and saves the histories.

Plays all of them without a name. One file a workflow, ``<version>/<scenario>.<workflow>.json``, as the SDK prints a
history. A file that exists is never written again: recording stops before it starts if one of its files is there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.histories.files import FOLDER, Saved, existing, save, scrubbed
from tests.histories.scenarios import SCENARIOS, STEPPED, Stage
from tests.support.folders import scratch_folder
from tests.support.paper import paper_exchange_process
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.temporal import running_temporal
from tests.support.trading import settings_for, trading_on

VERSION = "0.4.0"


async def main(folder: Path, names: Sequence[str]) -> int:
    """Record the named scenarios, all for no names.

    1 without recording anything when ``folder`` has a history of one of them already; 2 for an unknown name.
    """
    if unknown := set(names) - SCENARIOS.keys():
        sys.stderr.write(f"no scenario is named {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}\n")
        return 2
    chosen = {name: play for name, play in SCENARIOS.items() if not names or name in names}
    if there := existing(folder, chosen):
        sys.stderr.write(f"{there[0]} exists (and {len(there) - 1} more): saved histories are never overwritten\n")
        return 1
    made: list[Saved] = []
    with scratch_folder() as scratch, running_postgres(scratch) as postgres:
        for name, scenario in chosen.items():
            async with stage(scratch / name, postgres, stepped=name in STEPPED) as played:
                for part, handle in (await scenario(played)).items():
                    history = await handle.fetch_history()
                    made.append(Saved(f"{name}.{part}", scrubbed(history.to_json_dict())))
                    sys.stdout.write(f"{name}.{part}: {len(history.events)} events\n")
    for each in made:  # all or none: a scenario that failed leaves no half set
        save(folder, each)
    return 0


@asynccontextmanager
async def stage(folder: Path, postgres: PostgresServer, *, stepped: bool = False) -> AsyncIterator[Stage]:
    """A system of its own with one worker process; further ones by ``Stage.another_worker``."""
    folder.mkdir(mode=0o711)
    (folder / "exchange").mkdir()
    dsn = await asyncio.to_thread(postgres.new_database)
    market = ("--manual", "--speed", "step", "--symbols", "BTCUSDT", "ETHUSDT") if stepped else ("--manual",)
    exchange = paper_exchange_process(folder / "exchange", *market).start()
    try:
        with running_temporal(folder) as temporal:
            settings = settings_for(dsn, temporal.address, exchange)
            async with trading_on(settings, exchange) as trading:
                played = Stage(trading, settings, folder)
                try:
                    played.another_worker()
                    yield played
                finally:
                    played.end()
    finally:
        exchange.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(FOLDER / VERSION, sys.argv[1:])))

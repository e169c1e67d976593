"""A launcher to be killed: ``python -m tests.support.launcher SETTINGS.json PART...`` runs these parts of a stack.

It takes the place of ``ats up`` where a test wants only some parts. Prints the pids as JSON when ready.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from workers.stack import Stack, spare_settings


async def main(settings_file: Path, parts: list[str]) -> None:
    given = json.loads(settings_file.read_text())
    settings = spare_settings(settings_file.parent, **given)
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    async with Stack(settings, parts) as stack:
        sys.stdout.write(json.dumps(stack.pids()) + "\n")
        sys.stdout.flush()
        await end.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))

"""``python -m benchmarks.run [NAME...]``: measure, one JSON line a figure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.registry import measure, select


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, all without a name. Returns 0, or 2 for a name that doesn't exist."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure, one JSON line a figure.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark's name, or a pattern like 'exit*'")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args(arguments)
    try:
        chosen = select(options.names)
    except LookupError as unknown:
        print(unknown.args[0], file=sys.stderr)
        return 2
    for name, function in chosen.items():
        if options.list:
            print(name)
            continue
        for figure in measure(function):
            print(figure.to_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

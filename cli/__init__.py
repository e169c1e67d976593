"""The ``ats`` command."""

import sys

# Before anything of newer syntax or packages is imported: the one message an old interpreter can still give.
if sys.version_info < (3, 11):  # noqa: UP036
    _FOUND = ".".join(str(number) for number in sys.version_info[:2])
    sys.exit(f"ats: Python {_FOUND} is too old, 3.11 or newer is needed: run `make up`, which looks for one")

"""Figures as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from client.models import SnapshotView


def snapshots_csv(hours: Sequence[SnapshotView]) -> str:
    """One line an hour, every column of the snapshot, amounts in full."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(SnapshotView.model_fields))
    writer.writeheader()
    writer.writerows(each.model_dump(mode="json") for each in hours)
    return text.getvalue()

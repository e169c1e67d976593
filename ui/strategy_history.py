"""The versions of a strategy's configuration: when each was in force, what differs between two, what held when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from client import ApiError
from client.models import StrategyVersionView, StrategyView
from ui.formatting import time_text, words
from ui.session import ask, sentence

_MOST_VERSIONS = 50


def show_history(strategies: list[StrategyView]) -> None:
    """Choose a strategy; see its versions, two of them side by side, or the one in force at a time."""
    st.subheader("History", anchor=False)
    titles = {each.strategy: each.title for each in strategies}
    chosen = st.selectbox("Strategy", list(titles), format_func=titles.__getitem__, key="history-strategy", width=300)
    answer = ask(lambda api: api.strategy_history(chosen, limit=_MOST_VERSIONS))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    versions = answer.items
    between, at_time = st.tabs(["Versions", "As of a time"])
    with between:
        _versions(versions)
        _difference(chosen, versions)
    with at_time:
        _as_of(chosen)


def _versions(versions: list[StrategyVersionView]) -> None:
    rows = [
        {
            "Version": version.version,
            "From (UTC)": time_text(version.valid_from),
            "To (UTC)": time_text(version.valid_to) if version.valid_to else "in force",
            "By": version.changed_by,
            "Reason": version.reason,
        }
        for version in versions
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")


def _difference(strategy: str, versions: list[StrategyVersionView]) -> None:
    """The two newest versions side by side unless others are chosen."""
    numbers = list(dict.fromkeys(version.version for version in versions))
    if len(numbers) < 2:
        st.caption("There is one version so far. Switch a gate or edit the strategy: the difference then shows here.")
        return
    newest = numbers[0]
    with st.container(horizontal=True, gap="small"):
        earlier = st.selectbox("From version", numbers, index=1, key=f"history-from-{strategy}-{newest}", width=150)
        later = st.selectbox("To version", numbers, index=0, key=f"history-to-{strategy}-{newest}", width=150)
    answer = ask(lambda api: api.strategy_diff(strategy, from_version=earlier, to_version=later))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    if not answer.changes:
        st.caption("These two say the same.")
        return
    lines = [(words(each.field.replace(".", " · ")), _shown(each.was), _shown(each.now)) for each in answer.changes]
    frame = pd.DataFrame(lines, columns=["Field", f"Version {earlier}", f"Version {later}"])
    st.dataframe(frame, hide_index=True, width="stretch", height="content")


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} · ")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(words(str(each)) for each in value)
    return "none" if value is None else str(value)


def _as_of(strategy: str) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    wanted = st.datetime_input("In force at (UTC)", now, key="history-as-of", step=60, width=300)
    if wanted is None:
        return
    instant = wanted.replace(tzinfo=UTC)
    answer = ask(lambda api: api.strategy_history(strategy, as_of=instant))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    if not answer.items:
        st.info("The strategy did not exist then: choose a later time.")
        return
    version = answer.items[0]
    st.caption(f"version {version.version}, by {version.changed_by}: {version.reason}")
    rows = [(words(name), _shown(value)) for name, value in sorted(_flat(version.row).items())]
    st.dataframe(pd.DataFrame(rows, columns=["Field", "Value"]), hide_index=True, width="stretch", height="content")

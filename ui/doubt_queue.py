"""The queue of orders whose answer was lost: since when, what was sought, what ended the doubt; one opened in full."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from client import ApiError
from client.models import DoubtView, EvidenceView, OrderEvidenceView, OrderView, UnknownOrdersView
from ui.formatting import ABSENT, age_text, quantity_text, time_text, words
from ui.session import ask, sentence

OPENED = "order"
"""Name in the page's address that holds the id of the order opened."""

_ROUND = "doubt_table_round"


def show_queue(doubts: UnknownOrdersView) -> None:
    """Orders in doubt, the oldest first, and those whose doubt ended lately. Choosing a row opens its evidence."""
    if not doubts.in_doubt:
        st.success(
            "No order is in doubt: of each the exchange has said what became of it.", icon=":material/check_circle:"
        )
    for doubt in doubts.in_doubt:
        _doubt_card(doubt)
    st.subheader("Resolved", anchor=False)
    if not doubts.resolved:
        st.caption(f"No doubt ended since {time_text(doubts.resolved_since)} UTC.")
        return
    st.caption(f"Since {time_text(doubts.resolved_since)} UTC, the latest first. Choose a row to see what was sought.")
    _openable([_resolved_row(doubt) for doubt in doubts.resolved], [d.order.order_link_id for d in doubts.resolved])


def _doubt_card(doubt: DoubtView) -> None:
    with st.container(border=True, key=f"doubt-{doubt.order.order_link_id}"):
        st.markdown(
            f"{_title(doubt.order)} :orange-badge[in doubt for {age_text(doubt.age_seconds)}]\n\n{doubt.cause}. "
            f"Sent {doubt.attempts} time{'' if doubt.attempts == 1 else 's'} under one id, looked for {doubt.looks} "
            f"time{'' if doubt.looks == 1 else 's'}."
        )
        if doubt.next_step:
            st.caption(f"Next: {doubt.next_step}")
        _looks(doubt.evidence)
        st.button(
            "All evidence",
            key=f"open-{doubt.order.order_link_id}",
            on_click=lambda: st.query_params.update({OPENED: doubt.order.order_link_id}),
        )


def _title(order: OrderView) -> str:
    color = "green" if order.side == "Buy" else "red"
    return (
        f"**{order.symbol}** :{color}-badge[{order.side}] {quantity_text(order.qty)} on {order.category}, "
        f"{words(order.role)} `{order.order_link_id}`"
    )


def _resolved_row(doubt: DoubtView) -> dict[str, Any]:
    return {
        "Resolved (UTC)": time_text(doubt.resolved_at),
        "Order": doubt.order.order_link_id,
        "Symbol": doubt.order.symbol,
        "In doubt for": age_text(doubt.age_seconds),
        "Cause": doubt.cause,
        "Sent": doubt.attempts,
        "Looked for": doubt.looks,
        "Became": words(doubt.resolved_to),
        "By": doubt.resolved_by or ABSENT,
    }


def _openable(rows: list[dict[str, Any]], ids: list[str]) -> None:
    turn = st.session_state.setdefault(_ROUND, 0)
    chosen = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key=f"doubts-{turn}",
    )
    picked = chosen.selection.rows
    if picked and picked[0] < len(ids):
        st.session_state[_ROUND] = turn + 1  # else the row would still be chosen on the way back
        st.query_params[OPENED] = ids[picked[0]]
        st.rerun()


def _looks(looks: list[EvidenceView]) -> None:
    if not looks:
        st.caption("Nothing was looked for yet.")
        return
    rows = [
        {
            "Time (UTC)": time_text(look.at),
            "Where": words(look.source),
            "Found": "yes" if look.found else "no",
            "It said": ", ".join(f"{words(name)} {value}" for name, value in look.detail.items()) or ABSENT,
        }
        for look in looks
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")


def show_evidence(order_link_id: str) -> None:
    """One order's changes of state and every look for it, with the way back to the tables."""
    if st.button("All orders", icon=":material/arrow_back:", key="orders-back"):
        st.query_params.pop(OPENED, None)
        st.rerun()
    answer = ask(lambda api: api.order_evidence(order_link_id))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    _story(answer)
    st.subheader("How it came to stand so", anchor=False)
    rows = [
        {
            "Time (UTC)": time_text(change.at),
            "From": words(change.from_state),
            "To": words(change.to_state),
            "By": change.evidence,
        }
        for change in answer.transitions
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")
    st.subheader("Looks for it", anchor=False)
    if answer.looks:
        _looks(answer.looks)
    else:
        st.caption("It was never in doubt, so nothing had to be looked for.")


def _story(answer: OrderEvidenceView) -> None:
    badge = ":orange-badge[in doubt]" if answer.in_doubt else f":blue-badge[{words(answer.order.state)}]"
    st.markdown(f"### {answer.order.symbol} {badge}\n{_title(answer.order)}")
    if answer.next_step:
        st.caption(f"Next: {answer.next_step}")

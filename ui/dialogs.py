"""What every confirmation shares: a reason, two buttons, the API's own words if it refuses, a notice if it doesn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from pydantic import ValidationError

from client import ApiError, ApiProblem, AtsClient
from ui.formatting import words
from ui.session import ask, sentence

NOTICE = "notice"
"""Session key: the sentence the page shows after a command was accepted."""

_REASON_LENGTH = 3
_ASKED = "asked"


def remember(key: str, value: object) -> None:
    """Callback of a button in a live part: keep in the session what was asked for, to be opened by the whole page.

    It runs before the part is drawn: a click is not lost to a part that can't be drawn just now.
    """
    st.session_state[key] = value
    st.session_state[_ASKED] = True


def open_what_was_asked() -> None:
    """In a live part, first of all: run the whole page for what its button asked for. Elsewhere it does nothing."""
    if st.session_state.pop(_ASKED, False):
        st.rerun()


def asked(key: str) -> Any:
    """What was asked for under ``key``, once; None if nothing was."""
    st.session_state.pop(_ASKED, None)
    return st.session_state.pop(key, None)


def reason_field(key: str, placeholder: str) -> str:
    """The reason, as typed."""
    return st.text_input("Reason", key=key, placeholder=f"{placeholder}; it goes into the audit log", max_chars=500)


def confirmed(label: str, reason: str, *, ready: bool = True) -> bool:
    """The two buttons. Confirming needs a reason (and ``ready``); Cancel leaves the dialog."""
    cancel, confirm = st.columns(2, gap="small")
    if cancel.button("Cancel", width="stretch", key="dialog-cancel"):
        st.rerun()
    pressed = confirm.button(label, type="primary", width="stretch", key="dialog-confirm", disabled=not ready)
    if pressed and len(reason.strip()) < _REASON_LENGTH:
        st.warning(f"Give a reason of at least {_REASON_LENGTH} characters.")
        return False
    return pressed


def carry_out(command: Callable[[AtsClient], object], done: str) -> ApiError | None:
    """Run the command; say it on the page when accepted, or stay, tell the refusal and give it back."""
    with st.spinner("Asking the trading system …"):
        answer = ask(command)
    if isinstance(answer, ApiError):
        title = f"**{answer.title}.** " if isinstance(answer, ApiProblem) else ""
        st.error(title + sentence(answer))
        return answer
    st.session_state[NOTICE] = done
    st.rerun()
    return None


def show_notice() -> None:
    """Say once what was accepted."""
    notice = st.session_state.pop(NOTICE, None)
    if notice:
        st.toast(notice, icon=":material/check_circle:")


def faults(error: ValidationError) -> str:
    """Each broken rule of a form, in words."""
    lines = []
    for fault in error.errors():
        field = words(str(fault["loc"][-1])) if fault["loc"] else "targets"
        lines.append(f"{field}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)

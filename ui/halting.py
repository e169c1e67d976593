"""Halt, resume, flatten: the banner while entries are stopped, the buttons, and the dialogs before each."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from client import ApiError, new_key
from client.models import FlattenRequest, HaltRequest, HaltView
from ui.dialogs import asked, carry_out, confirmed, reason_field, remember
from ui.formatting import age_text, time_text
from ui.session import ask

_COMMAND = "system_command"
_FLATTEN_WORD = "FLATTEN"


def show_halt(halt: HaltView) -> None:
    """Nothing while trading; a banner while halted, with who, why and since when."""
    if not halt.halted:
        return
    age = age_text((datetime.now(UTC) - halt.since).total_seconds())
    st.error(
        f"**Trading is halted: no new entries.** Exits and stops go on. Reason: {halt.reason} "
        f"({halt.changed_by}, since {time_text(halt.since)} UTC, {age} ago)",
        icon=":material/front_hand:",
    )


def show_halt_buttons(halt: HaltView) -> None:
    """Halt or Resume, and Flatten. A pressed button leaves its command in the session."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="small", key="halt-buttons"):
        if halt.halted:
            _button("Resume", "resume", ":material/play_arrow:", "Let strategies open positions", primary=True)
        else:
            _button("Halt", "halt", ":material/front_hand:", "Stop new entries")
        _button("Flatten", "flatten", ":material/close_fullscreen:", "Halt and close every position")


def _button(label: str, command: str, icon: str, explained: str, *, primary: bool = False) -> None:
    st.button(
        label,
        icon=icon,
        type="primary" if primary else "secondary",
        key=f"system-{command}",
        help=explained,
        on_click=remember,
        args=(_COMMAND, command),
    )


def show_halt_dialog() -> None:
    """Open the dialog of the command whose button was pressed, if one was."""
    command = asked(_COMMAND)
    if command == "halt":
        confirm_halt()
    elif command == "resume":
        confirm_resume()
    elif command == "flatten":
        confirm_flatten(new_key())


@st.dialog("Halt trading")
def confirm_halt() -> None:
    st.markdown("No position is opened from now on, by a strategy or by hand. Exits, trailing and stops go on.")
    reason = reason_field("halt-reason", "why it is halted")
    if confirmed("Halt trading", reason):
        request = HaltRequest(reason=reason.strip())
        carry_out(lambda api: api.halt(request), "Trading is halted.")


@st.dialog("Resume trading")
def confirm_resume() -> None:
    st.markdown("Strategies whose buy gate is on may open positions again, from the next candle's close.")
    reason = reason_field("resume-reason", "why it may go on")
    if confirmed("Resume trading", reason):
        request = HaltRequest(reason=reason.strip())
        carry_out(lambda api: api.resume(request), "Trading goes on.")


@st.dialog("Flatten: close everything")
def confirm_flatten(key: str) -> None:
    """Asks for the word as well: nothing else closes this much at once. ``key`` makes it safe to press twice."""
    count = _open_count()
    positions = "every open position" if count is None else f"**{count} open position{'' if count == 1 else 's'}**"
    st.markdown(f"Halts trading and closes {positions} **at market**. It stays halted until resumed.")
    word = st.text_input(f"Type {_FLATTEN_WORD} to confirm", key="flatten-word")
    reason = reason_field("flatten-reason", "why everything is closed")
    label = "Flatten" if count is None else f"Flatten {count} position{'' if count == 1 else 's'}"
    if confirmed(label, reason):
        if word.strip() != _FLATTEN_WORD:
            st.warning(f"Type {_FLATTEN_WORD} in capitals to confirm.")
            return
        request = FlattenRequest(reason=reason.strip())
        carry_out(lambda api: api.flatten(request, key=key), "Flatten is under way: positions close at market.")


def _open_count() -> int | None:
    answer = ask(lambda api: api.account().open_positions)
    return None if isinstance(answer, ApiError) else answer

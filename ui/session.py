"""The page's way to the API: one client a server process, and one sentence when there is no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from client import ApiError, ApiProblem, AtsClient, Connection, find_connection

Answer = TypeVar("Answer")
_DOWN = "api_was_down"


@st.cache_resource(max_entries=4, show_spinner=False)
def _client_for(connection: Connection) -> AtsClient:
    return AtsClient(connection)


def client() -> AtsClient:
    """The client for the API the environment names now. Raises CredentialsMissing."""
    return _client_for(find_connection())


def ask(question: Callable[[AtsClient], Answer]) -> Answer | ApiError:
    """The answer, or the error instead of it."""
    try:
        return question(client())
    except ApiError as error:
        return error


def sentence(error: ApiError) -> str:
    """What an operator should read, with what to do."""
    if isinstance(error, ApiProblem) and error.status == 401:
        return "The API refused this page's key: set ATS_API__KEY to one it knows (the first is in .ats/credentials)."
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def live(question: Callable[[AtsClient], Answer]) -> Answer | None:
    """The answer, for the part of a page that tells an outage: one sentence, remembered, and None instead of it.

    The first answer after an outage runs the whole page again, since its other parts kept silent. Use it once a page.
    """
    answer = ask(question)
    if isinstance(answer, ApiError):
        st.session_state[_DOWN] = True
        st.error(sentence(answer), icon=":material/cloud_off:")
        st.caption("This page asks again every few seconds and comes back by itself.")
        return None
    if st.session_state.pop(_DOWN, False):
        st.rerun()
    return answer

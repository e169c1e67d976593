"""The client finds its API and key where the stack leaves them, and says in one sentence when it can't."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from client import ApiProblem, ApiUnreachable, AtsClient, Connection, CredentialsMissing, find_connection
from client.problems import problem_of
from workers.stack.ports import free_port


def test_the_environment_names_address_and_key() -> None:
    found = find_connection({"ATS_API__URL": "http://10.0.0.5:9000/", "ATS_API__KEY": "ats_secret"})
    assert found == Connection("http://10.0.0.5:9000", "ats_secret")
    assert "ats_secret" not in repr(found)


def test_without_a_key_in_the_environment_the_credentials_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(json.dumps({"api_key": "ats_stored"}))
    found = find_connection({"ATS_DATA_DIR": str(tmp_path), "ATS_API__PORT": "8123"})
    assert found == Connection("http://127.0.0.1:8123", "ats_stored")


@pytest.mark.parametrize("content", [None, "not json", "{}", "[]"])
def test_no_key_anywhere_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "credentials").write_text(content)
    with pytest.raises(CredentialsMissing, match="ATS_API__KEY"):
        find_connection({"ATS_DATA_DIR": str(tmp_path)})


def test_an_api_that_is_not_there_is_one_sentence() -> None:
    with (
        AtsClient(Connection(f"http://127.0.0.1:{free_port()}", "ats_key")) as client,
        pytest.raises(ApiUnreachable, match="is the stack running"),
    ):
        client.account()


def test_an_id_that_is_none_is_refused_before_it_becomes_a_path() -> None:
    with AtsClient(Connection("http://127.0.0.1:1", "ats_key")) as client, pytest.raises(ValueError, match="not an id"):
        client.position("../system/health")


def test_a_problem_keeps_type_status_and_fields() -> None:
    body = {
        "type": "/problems/below-minimum-order",
        "title": "Below minimum order",
        "status": 422,
        "detail": "2 is under the minimum",
        "fields": [{"field": "usd", "rule": "2 is under the minimum"}],
        "added_by_a_newer_server": True,
    }
    error = problem_of(httpx.Response(422, json=body, request=httpx.Request("POST", "http://127.0.0.1:1/v1/trades")))
    assert isinstance(error, ApiProblem)
    assert (error.code, error.status, error.fields[0].field) == ("below-minimum-order", 422, "usd")
    assert str(error) == "usd: 2 is under the minimum"


def test_an_answer_that_is_no_problem_document_names_the_stranger() -> None:
    request = httpx.Request("GET", "http://127.0.0.1:8000/v1/account")
    error = problem_of(httpx.Response(404, text="<html>nginx</html>", request=request))
    assert isinstance(error, ApiUnreachable)
    assert "ATS_API__URL" in str(error)

"""``ats exchange fault | faults | heal`` over a real paper exchange."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli.exchange import app
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from workers.stack.ports import free_port


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        process = paper_exchange_process(folder / "data", "--manual", "--symbols", "BTCUSDT=50000").start()
        yield process
        process.stop()


@pytest.fixture(autouse=True)
def settled(exchange: PaperExchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ATS_EXCHANGE__URL", exchange.url)
    yield
    exchange.clear_faults()


def ats(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "240"})


def test_a_fault_asked_for_is_in_force_and_listed(exchange: PaperExchange) -> None:
    asked = ats(
        *("fault", "ret_code", "--code", "10016", "--endpoint", "order/create", "--match", "orderLinkId_suffix=-X1"),
        *("--count", "3", "--after", "--seed", "7", "--json"),
    )
    assert asked.exit_code == 0
    row = json.loads(asked.stdout)
    assert (row["kind"], row["code"], row["count"], row["after"]) == ("ret_code", 10016, 3, True)
    assert row["match"] == {"orderLinkId_suffix": "-X1"}
    assert json.loads(ats("faults", "--json").stdout) == exchange.control("GET", "faults")["faults"] == [row]
    assert "ret_code endpoint=order/create" in ats("faults").stdout


def test_a_fault_hits_as_asked_and_its_hits_are_told(exchange: PaperExchange) -> None:
    assert ats("fault", "maintenance", "--seconds", "30").exit_code == 0
    assert httpx.get(f"{exchange.url}/v5/market/time").status_code == 503
    (row,) = json.loads(ats("faults", "--json").stdout)
    assert (row["hits"], row["active"], row["seconds"]) == (1, True, 30)
    assert ats("heal").stdout.strip() == "1 faults ended"
    assert httpx.get(f"{exchange.url}/v5/market/time").status_code == 200
    assert ats("faults").stdout.strip() == "no faults: the paper exchange behaves"


def test_one_fault_is_healed_by_its_number(exchange: PaperExchange) -> None:
    first, second = (json.loads(ats("fault", "answer_lost", "--count", "0", "--json").stdout) for _ in range(2))
    assert first["count"] is None
    assert ats("heal", str(first["id"])).exit_code == 0
    assert [row["id"] for row in exchange.control("GET", "faults")["faults"]] == [second["id"]]
    again = ats("heal", str(first["id"]))
    assert again.exit_code == 1
    assert f"there is no fault {first['id']}" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("flood",), "kind: "),
        (("delay",), "delay_ms=500"),
        (("restart", "--delay-ms", "5"), "delay_ms means nothing to restart, which takes after"),
        (("delay", "--delay-ms", "5", "--match", "symbol"), "is not FIELD=VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(arguments: tuple[str, ...], said: str) -> None:
    refused = ats("fault", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_an_exchange_that_does_not_answer_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    refused = ats("faults", "--url", url)
    assert refused.exit_code == 1
    assert f"no paper exchange answers at {url}" in refused.stderr
    assert "--url" in json.loads(ats("faults", "--url", url, "--json").stdout)["error"]


def test_a_real_exchange_has_no_faults_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODE": "demo", "API_KEY": "k" * 18, "API_SECRET": "s" * 36}.items():
        monkeypatch.setenv(f"ATS_EXCHANGE__{name}", value)
    refused = ats("fault", "restart")
    assert refused.exit_code == 1
    assert "only a paper exchange has faults on demand" in refused.stderr

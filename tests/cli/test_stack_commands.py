"""``ats doctor``, ``status``, ``down`` and ``up`` where no stack runs: what they say and how they exit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workers.stack import spare_settings
from workers.stack.environment import settings_environment
from workers.stack.services import PROJECT


@pytest.fixture
def environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, **settings_environment(spare_settings(scratch)), "PYTHONPATH": str(PROJECT)}


def _ats(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_doctor_finds_nothing_wrong_and_changes_nothing(environment: dict[str, str], scratch: Path) -> None:
    done = _ats(environment, "doctor", "--json")
    told = json.loads(done.stdout)
    assert [check["name"] for check in told["checks"] if not check["ok"]] == []
    assert done.returncode == 0
    assert {"python", "postgresql", "temporal", "packages", "disk", "launcher"} <= {c["name"] for c in told["checks"]}
    assert list(scratch.iterdir()) == []


def test_doctor_names_a_taken_port_and_what_to_do(environment: dict[str, str]) -> None:
    port = int(environment["ATS_API__PORT"])
    with socket.create_server(("127.0.0.1", port)):
        done = _ats(environment, "doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    fault = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert f"port {port}" in lines[fault]
    assert "wanted for the API, taken by" in lines[fault]
    assert "set ATS_API__PORT to a free one" in lines[fault + 1]


def test_doctor_wants_the_credentials_closed_to_others(environment: dict[str, str], scratch: Path) -> None:
    file = scratch / "ats" / "credentials"
    file.parent.mkdir()
    file.write_text("{}")
    file.chmod(0o644)
    told = json.loads(_ats(environment, "doctor", "--json").stdout)
    faults = [check for check in told["checks"] if not check["ok"]]
    assert [fault["remedy"] for fault in faults] == [f"chmod 600 {file}"]


def test_status_and_down_say_that_nothing_runs(environment: dict[str, str]) -> None:
    status = _ats(environment, "status")
    assert (status.returncode, status.stdout.strip()) == (1, "no stack runs here: start it with `make up` or `ats up`")
    assert json.loads(_ats(environment, "status", "--json").stdout) == {"running": False, "system": None}
    down = _ats(environment, "down", "--json")
    assert (down.returncode, json.loads(down.stdout)) == (0, {"ended": False, "pid": None})


def test_up_with_a_taken_port_says_which_and_how_to_choose_another(environment: dict[str, str], scratch: Path) -> None:
    port = int(environment["ATS_POSTGRES__PORT"])
    with socket.create_server(("127.0.0.1", port)):
        done = _ats(environment, "up")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ats: port {port} (PostgreSQL) is taken by ")
    assert done.stderr.strip().endswith("set ATS_POSTGRES__PORT to a free one")
    assert not (scratch / "ats" / "postgres").exists()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("ATS_EXCHANGE__MODE", "live", "live trading needs ATS_EXCHANGE__CONFIRM_LIVE=yes"),
        ("ATS_POSTGRES__PORT", "many", "ATS_POSTGRES__PORT: Input should be a valid integer"),
    ],
)
def test_wrong_settings_are_wrong_usage(environment: dict[str, str], setting: str, value: str, told: str) -> None:
    done = _ats({**environment, setting: value}, "up")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_python_gets_one_sentence() -> None:
    pretend = "import sys; sys.version_info = (3, 9, 0); import cli"
    done = subprocess.run(
        [sys.executable, "-c", pretend], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr == "ats: Python 3.9 is too old, 3.11 or newer is needed: run `make up`, which looks for one\n"


def test_the_paper_exchange_has_its_own_help(environment: dict[str, str]) -> None:
    done = _ats(environment, "exchange", "paper", "--help")
    assert done.returncode == 0
    for option in ("--speed", "--replay", "--deposit", "--data-dir"):
        assert option in done.stdout


def test_every_command_explains_itself(environment: dict[str, str]) -> None:
    listed = _ats(environment, "--help")
    assert listed.returncode == 0
    for command in ("up", "down", "status", "doctor", "exchange", "trade", "positions"):
        assert command in listed.stdout

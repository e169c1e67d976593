"""The containers run the same programs, on the same settings, as the local stack."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.settings import Settings
from tests.support.folders import scratch_folder
from workers.stack.environment import settings_environment, spare_settings
from workers.stack.service import Service
from workers.stack.services import PROJECT, stack_parts
from workers.stack.temporal import SEARCH_ATTRIBUTES


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(PROJECT / "docker-compose.yml")["services"]


def test_the_compose_file_is_valid() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    file = str(PROJECT / "docker-compose.yml")
    checked = subprocess.run(
        [str(program), "--builtin-schema", "vendor.compose-spec", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_every_part_of_the_local_stack_has_its_container(services: dict[str, Any]) -> None:
    with scratch_folder() as folder:
        parts = [part.name for part in stack_parts(spare_settings(folder))]
    assert set(parts) <= set(services)


def test_containers_run_modules_that_exist(services: dict[str, Any]) -> None:
    modules = {
        service["command"][2]
        for service in services.values()
        if service.get("command", ["", ""])[:2] == ["python", "-m"]
    }
    assert modules == {
        "workers.stack.migrate",
        "exchange.paper",
        "workers.trading",
        "workers.research",
        "api",
        "streamlit",
    }
    assert all(find_spec(module) for module in modules)


def test_containers_set_only_settings_that_exist(services: dict[str, Any]) -> None:
    used = {name for service in services.values() for name in service.get("environment", {}) if name.startswith("ATS_")}
    known = set(settings_environment(Settings())) | {"ATS_PAPER_KEY", "ATS_PAPER_SECRET"}
    assert used - known == set()


def test_the_cluster_gets_the_search_attributes_of_the_embedded_server(services: dict[str, Any]) -> None:
    script = services["temporal-setup"]["command"][0]
    assert f"for name in {' '.join(SEARCH_ATTRIBUTES)}; do" in script
    assert set(SEARCH_ATTRIBUTES.values()) == {"Keyword"}


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_local_service_says_which_setting_moves_its_port() -> None:
    known = set(settings_environment(Settings()))
    with scratch_folder() as folder:
        parts = stack_parts(spare_settings(folder))
    settings = {port.setting for part in parts if isinstance(part, Service) for port in part.ports}
    assert len(settings) == 7
    assert settings <= known

"""Settings as environment variables, so that a child reads exactly what its launcher was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from config.settings import Settings
from workers.stack.ports import free_port


def settings_environment(settings: Settings) -> dict[str, str]:
    """Every setting as ``ATS_...``. Complete, also what is unset: a child must not fill gaps from a ``.env`` file."""
    return dict(_flatten("ATS_", settings))


def _flatten(prefix: str, model: BaseModel) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in type(model).model_fields:
        key, value = f"{prefix}{name.upper()}", getattr(model, name)
        if isinstance(value, BaseModel):
            found += _flatten(f"{key}__", value)
        else:
            found.append((key, _text(value)))
    return found


def _text(value: Any) -> str:
    if value is None:
        return "none"  # Settings' env_parse_none_str
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str)
    return str(value)


class _GivenOnly(Settings):
    """Settings from arguments alone: neither environment nor ``.env`` can lead a throw-away stack to real data."""

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, **_: Any) -> tuple[Any, ...]:
        return (init_settings,)


def spare_settings(folder: Path, **overrides: Any) -> Settings:
    """Settings of a throw-away stack: data and logs in ``folder``, every port a free one, paper exchange.

    ``overrides`` are settings by section, merged into these: ``spare_settings(f, exchange={"paper": {"speed": 60}})``.
    """
    taken: set[int] = set()
    given: dict[str, Any] = {
        "data_dir": folder / "ats",
        "log_dir": folder / "logs",
        "postgres": {"port": free_port(taken)},
        "temporal": {"port": free_port(taken), "ui_port": free_port(taken), "metrics_port": free_port(taken)},
        "exchange": {"paper": {"port": free_port(taken)}},
        "api": {"port": free_port(taken)},
        "ui": {"port": free_port(taken)},
    }
    return _GivenOnly(**_merged(given, overrides))


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{
            key: _merged(base[key], value) if isinstance(base.get(key), dict) and isinstance(value, dict) else value
            for key, value in over.items()
        },
    }

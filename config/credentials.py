"""Secrets made once for the embedded defaults, kept in ``<data_dir>/credentials`` with mode 0600."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel

from config.settings import Settings


class Credentials(BaseModel):
    """Secrets of one installation. ``api_key`` is the first admin key of the API."""

    postgres_password: str
    api_key: str
    exchange_key: str
    exchange_secret: str


def credentials_path(settings: Settings) -> Path:
    return settings.data_dir / "credentials"


def load_or_create_credentials(settings: Settings) -> Credentials:
    """The installation's secrets, made on first use. Raises OSError when ``data_dir`` can't be written."""
    path = credentials_path(settings)
    if path.exists():
        return Credentials.model_validate_json(path.read_text())
    made = Credentials(
        postgres_password=secrets.token_urlsafe(24),
        api_key=f"ats_{secrets.token_urlsafe(32)}",
        exchange_key=secrets.token_hex(9),
        exchange_secret=secrets.token_hex(18),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made.model_dump(), file, indent=1)
    try:
        os.link(temporary, path)  # the first of two racing processes wins, both read its file
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return Credentials.model_validate_json(path.read_text())


def postgres_dsn(settings: Settings) -> str:
    """DSN of the database: the given one, or the embedded server's with its made password."""
    if settings.postgres.dsn is not None:
        return settings.postgres.dsn.get_secret_value()
    password = load_or_create_credentials(settings).postgres_password
    return f"postgresql://ats:{password}@127.0.0.1:{settings.postgres.port}/ats"


def exchange_keys(settings: Settings) -> tuple[str, str]:
    """(key, secret) for the exchange: the given ones, or in paper mode the made ones."""
    ex = settings.exchange
    if ex.api_key is not None and ex.api_secret is not None:
        return ex.api_key.get_secret_value(), ex.api_secret.get_secret_value()
    made = load_or_create_credentials(settings)
    return made.exchange_key, made.exchange_secret


def api_key(settings: Settings) -> str:
    """The key UI and CLI send: the given one, or the made admin key."""
    if settings.api.key is not None:
        return settings.api.key.get_secret_value()
    return load_or_create_credentials(settings).api_key

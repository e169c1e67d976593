"""Where the API is and which key to send: from the environment, else from the installation's credentials file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from client.problems import CredentialsMissing

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Connection:
    """Base address of the API and the key to send with every request."""

    url: str
    key: str = field(repr=False)


def find_connection(environment: Mapping[str, str] | None = None) -> Connection:
    """The connection ``ATS_API__URL`` / ``ATS_API__PORT`` and ``ATS_API__KEY`` name.

    Without a key in the environment it is read from ``<ATS_DATA_DIR or .ats>/credentials``, which the stack writes at
    its first start. Raises CredentialsMissing when there is none.
    """
    given = os.environ if environment is None else environment
    url = given.get("ATS_API__URL") or _local_url(given.get("ATS_API__PORT"))
    key = given.get("ATS_API__KEY") or _stored_key(Path(given.get("ATS_DATA_DIR") or ".ats") / "credentials")
    return Connection(url.rstrip("/"), key)


def _local_url(port: str | None) -> str:
    return f"http://127.0.0.1:{port}" if port else DEFAULT_URL


def _stored_key(path: Path) -> str:
    try:
        key = json.loads(path.read_text())["api_key"]
    except FileNotFoundError:
        raise CredentialsMissing(
            f"no API key: {path} does not exist; start the stack (make up) or set ATS_API__KEY"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CredentialsMissing(f"no API key: {path} can't be read ({error}); set ATS_API__KEY") from error
    return str(key)

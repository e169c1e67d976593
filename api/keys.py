"""API keys as values: their shape, their argon2 hashes, and what each role may do.

A key is ``ats_<8 public characters><at least 24 secret ones>``. The public part is the row's id; the hash covers the
whole key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PREFIX = "ats_"
PUBLIC_LENGTH = len(PREFIX) + 8
MIN_LENGTH = PUBLIC_LENGTH + 24

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# verified against when the id is unknown, so that an unknown id takes as long as a wrong secret
_NOBODY = _hasher.hash("no key has this secret")


class Role(StrEnum):
    """Viewers look, operators trade, admins do everything. Each includes the ones before."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key's public id, its name and its role."""

    key_id: str
    name: str
    role: Role

    @property
    def who(self) -> str:
        """How audit rows name the caller."""
        return f"key:{self.name}"


def key_id_of(key: str) -> str:
    """The public part. Raises ValueError when ``key`` has not the shape of one."""
    if not key.startswith(PREFIX) or len(key) < MIN_LENGTH or len(key) > 200 or not key.isascii():
        raise ValueError(f"an API key is {PREFIX} and at least {MIN_LENGTH - len(PREFIX)} characters")
    return key[:PUBLIC_LENGTH]


def hash_key(key: str) -> str:
    """Argon2id hash of the whole key (about 20 ms of CPU)."""
    return _hasher.hash(key)


def matches(key: str, hashed: str | None) -> bool:
    """Whether ``key`` is the one hashed. Without a hash it takes the same time and says no."""
    try:
        return _hasher.verify(hashed or _NOBODY, key) and hashed is not None
    except (Argon2Error, InvalidHashError):
        return False

from __future__ import annotations

import logging
import math
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...exceptions import ConfigurationError

__all__ = ["HashSummary", "Hasher", "above", "check_ceiling", "django_salt", "is_weak_salt", "mask", "refuse"]

logger = logging.getLogger("asgiauth")

COLUMN = 128
"""Characters of a stored hash: the column of Django (row A1.1)."""
SALT_CHARACTERS = string.ascii_letters + string.digits
SALT_BITS = 128


@dataclass(frozen=True)
class HashSummary:
    """What may be shown of a stored hash (Django row A13.3): its parameters, with salt and hash masked."""

    algorithm: str
    parameters: Mapping[str, Any]
    salt: str
    hash: str


class Hasher(Protocol):
    """One way to store a password. `encode` and `verify` run in a worker thread.

    A hasher may also have `prepare()`, called when it is to make the hashes of an `Auth`: it raises
    `ConfigurationError` if it cannot. And `reason_against(password)`: the `Reason` for which `encode` would refuse that
    password, or None; it runs on the event loop.
    """

    algorithm: str

    def identify(self, encoded: str) -> bool:
        """Is this stored string mine, and whole? Only such strings are given to the other methods."""

    def encode(self, password: str) -> str:
        """A fresh hash, at most 128 characters (the column of Django). Raises `PasswordRejected` for a password that it
        could not tell from another one."""

    def verify(self, password: str, encoded: str) -> bool:
        """Exact bytes, compared in constant time. Never raises: what it will not run, or cannot, is False, and
        `is_weaker`."""

    def is_weaker(self, encoded: str) -> bool:
        """Would `encode` make a stronger one? Equal or stronger stays: a hash is never downgraded (D-01)."""

    def describe(self, encoded: str) -> HashSummary: ...


def django_salt() -> str:
    """22 letters and digits, 131 bits (Django row A15.10)."""
    characters = math.ceil(SALT_BITS / math.log2(len(SALT_CHARACTERS)))
    return "".join(secrets.choice(SALT_CHARACTERS) for _ in range(characters))


def is_weak_salt(salt: str) -> bool:
    """Less than 128 bits, if it is made of letters and digits (rows A15.10, A15.14)."""
    return len(salt) * math.log2(len(SALT_CHARACTERS)) < SALT_BITS


def mask(text: str, show: int = 6) -> str:
    """`secrethash` -> `secret****`."""
    return text[:show] + "*" * max(len(text) - show, 0)


def above(costs: Mapping[str, tuple[int, int]]) -> str:
    """The first of `{name: (stored, ceiling)}` that is above its ceiling, in words; blank if none is."""
    return next((f"{name} {stored} > {ceiling}" for name, (stored, ceiling) in costs.items() if stored > ceiling), "")


def check_ceiling(hasher: object, excess: str) -> None:
    """Raises `ConfigurationError` where a hasher would make what others of its class would not run: once it was
    replaced by a cheaper one, nobody could log in any more."""
    if excess:
        raise ConfigurationError(
            f"{type(hasher).__name__} would make hashes that cost more than asgiauth will spend on a stored one "
            f"({excess}): lower that, or raise the ceiling in a subclass, and keep it as long as its hashes are stored"
        )


def refuse(algorithm: str, excess: str) -> bool:
    """False, and a line in the log: whoever can write a hash must not be able to make a login cost gigabytes."""
    logger.error(
        "a stored %s hash costs more than asgiauth will spend (%s), so no password verifies: set that password anew, "
        "or, if your own hashes are that dear, raise the ceiling in a subclass of the hasher",
        algorithm,
        excess,
    )
    return False

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...exceptions import ConfigurationError
from .argon2 import Argon2Hasher
from .base import COLUMN, SALT_CHARACTERS, Hasher, HashSummary, django_salt
from .pbkdf2 import PBKDF2Hasher
from .recompute import recomputed

__all__ = ["OldScheme", "WrappedHasher", "old_scheme"]

OldScheme = Literal["md5", "sha1", "unsalted_md5", "unsalted_sha1"]
"""What can be wrapped, by Django's names (rows A15.7, A15.9)."""

_OLD: Mapping[OldScheme, re.Pattern[str]] = {
    "md5": re.compile(r"md5\$([^$\ud800-\udfff]{1,128})\$([0-9a-fA-F]{32})"),
    "sha1": re.compile(r"sha1\$([^$\ud800-\udfff]{1,128})\$([0-9a-fA-F]{40})"),
    "unsalted_md5": re.compile(r"(?:md5\$\$)?()([0-9a-fA-F]{32})"),
    "unsalted_sha1": re.compile(r"sha1\$()\$([0-9a-fA-F]{40})"),
}
_WRAPPED = re.compile(r"(argon2_wrapped|pbkdf2_wrapped(?:_unsalted)?)_(md5|sha1)\$(.+)", re.DOTALL)
_SALT_BYTES = 16


@dataclass(frozen=True)
class _Parsed:
    reader: Hasher
    hash: str = field(repr=False)
    """As `reader` stores it."""
    old: str
    salt: bytes = field(repr=False)
    """The one of the old hash, blank where that had none."""


class WrappedHasher:
    """An old hash, hashed: `md5$salt$hash` becomes strong without the password (Django row A15.16). A login rewrites it
    as the policy's first hasher does.

    `wrap` makes it with `outer`; either kind of `outer` is read. `pbkdf2_wrapped_md5$iterations$salt$hash` is what the
    recipe in Django's documentation stores, so each side reads what the other has wrapped.
    `argon2_wrapped_md5$argon2id$v=19$...` is made in a fraction of the time.
    """

    algorithm = "wrapped"

    def __init__(self, outer: Argon2Hasher | PBKDF2Hasher | None = None) -> None:
        self.outer = outer or Argon2Hasher()
        if self.outer.algorithm not in (Argon2Hasher.algorithm, PBKDF2Hasher.algorithm):
            raise ConfigurationError("WrappedHasher(...) takes an Argon2Hasher or a PBKDF2Hasher: give one of them")
        self._readers: list[Hasher] = [self.outer, Argon2Hasher(), PBKDF2Hasher()]

    def identify(self, encoded: str) -> bool:
        return self._parsed(encoded) is not None

    def encode(self, password: str) -> str:
        """As if an old hash of `md5` had been wrapped. Nobody needs new ones: this hasher is never the first."""
        salt = django_salt()
        return self.wrap(f"md5${salt}${_digest('md5', salt.encode(), password)}")

    def verify(self, password: str, encoded: str) -> bool:
        found = self._parsed(encoded)
        return found is not None and found.reader.verify(_digest(found.old, found.salt, password), found.hash)

    def is_weaker(self, encoded: str) -> bool:
        """Always: what it hashes is no password but a digest of one."""
        return True

    def describe(self, encoded: str) -> HashSummary:
        found = self._parsed(encoded)
        if found is None:
            return HashSummary("unknown", {}, "", "")
        summary = found.reader.describe(found.hash)
        return HashSummary(encoded.partition("$")[0], summary.parameters, summary.salt, summary.hash)

    def wrap(self, encoded: str) -> str:
        """What to store in the place of an old hash. Takes as long as any hash: call it in a worker thread.

        Raises `ValueError`, which does not show the hash, for one of no old scheme, and for one whose salt is so long
        that the column could not hold the outcome.
        """
        parts = _parts(encoded)
        if parts is None:
            raise ValueError("not a hash of " + ", ".join(_OLD))
        scheme, salt, old = parts
        if isinstance(self.outer, PBKDF2Hasher):
            made = recomputed(old, f"pbkdf2_sha256${self.outer.iterations}${salt or django_salt()}$")
            wrapped = f"pbkdf2_wrapped_{scheme}{made.removeprefix('pbkdf2_sha256')}"
        else:
            made = self.outer._hasher.hash(old, salt=_filled(salt).encode())
            wrapped = f"argon2_wrapped_{scheme.removeprefix('unsalted_')}{made}"
        if len(wrapped) > COLUMN:
            raise ValueError(f"wrapped it would have {len(wrapped)} characters, and the column has {COLUMN}")
        return wrapped

    def _parsed(self, encoded: str) -> _Parsed | None:
        found = _WRAPPED.fullmatch(encoded)
        if found is None:
            return None
        kind, old, rest = found.groups()
        is_argon2 = kind == "argon2_wrapped"
        hashed = f"argon2${rest}" if is_argon2 else f"pbkdf2_sha256${rest}"
        reader = next((reader for reader in self._readers if reader.identify(hashed)), None)
        if reader is None:
            return None
        if not is_argon2:
            return _Parsed(reader, hashed, old, b"" if "unsalted" in kind else rest.split("$")[1].encode())
        own = hashed.split("$")[-2]
        salt, colon, _ = base64.b64decode(own + "=" * (-len(own) % 4)).rpartition(b":")
        return _Parsed(reader, hashed, old, salt) if colon else None


def old_scheme(encoded: str) -> OldScheme | None:
    """The scheme that a stored string is of; None for any other."""
    parts = _parts(encoded)
    return parts and parts[0]


def _parts(encoded: str) -> tuple[OldScheme, str, str] | None:
    """Scheme, salt and hash of an old one."""
    for scheme, pattern in _OLD.items():
        if found := pattern.fullmatch(encoded):
            return scheme, found[1], found[2].lower()
    return None


def _filled(salt: str) -> str:
    """Argon2 wants a salt of 16 bytes, and the old one may be short, or blank: a fresh one stands behind it."""
    return f"{salt}:" + "".join(secrets.choice(SALT_CHARACTERS) for _ in range(_SALT_BYTES - 1 - len(salt)))


def _digest(scheme: str, salt: bytes, password: str) -> str:
    return hashlib.new(scheme, salt + password.encode(), usedforsecurity=False).hexdigest()

from __future__ import annotations

import hashlib
import hmac
import re

from .base import HashSummary, django_salt, is_weak_salt, mask

__all__ = ["MD5Hasher"]

_ENCODED = re.compile(r"md5\$[^$\ud800-\udfff]{1,128}\$[0-9a-f]{32}")


class MD5Hasher:
    """`md5$salt$hash` (row A15.7): as good as the password itself, and in no default list. For tests that share their
    users with a Django whose tests use it."""

    algorithm = "md5"

    def identify(self, encoded: str) -> bool:
        return _ENCODED.fullmatch(encoded) is not None

    def encode(self, password: str) -> str:
        salt = django_salt()
        return f"md5${salt}${_hash(password, salt)}"

    def verify(self, password: str, encoded: str) -> bool:
        _, salt, expected = encoded.split("$")
        return hmac.compare_digest(_hash(password, salt), expected)

    def is_weaker(self, encoded: str) -> bool:
        return is_weak_salt(encoded.split("$")[1])

    def describe(self, encoded: str) -> HashSummary:
        _, salt, digest = encoded.split("$")
        return HashSummary("md5", {}, mask(salt, show=2), mask(digest))


def _hash(password: str, salt: str) -> str:
    return hashlib.md5((salt + password).encode(), usedforsecurity=False).hexdigest()

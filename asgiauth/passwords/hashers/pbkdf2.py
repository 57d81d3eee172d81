from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import ClassVar

from ...exceptions import ConfigurationError
from .base import HashSummary, above, check_ceiling, django_salt, is_weak_salt, mask, refuse

__all__ = ["MAX_ITERATIONS", "PBKDF2Hasher", "PBKDF2SHA1Hasher"]

MAX_ITERATIONS = 10_000_000
"""A hash of more is neither run nor made: about four seconds of SHA-256, and seven times Django's 1,500,000."""


class PBKDF2Hasher:
    """`pbkdf2_sha256$iterations$salt$hash`, Django's default; 1,500,000 iterations as Django 6.1 (row A15.1).

    HMAC fills a short key up with NULs (RFC 2104), so PBKDF2 cannot tell a password from the same one with NULs at its
    end: neither can Django.
    """

    algorithm = "pbkdf2_sha256"
    max_iterations = MAX_ITERATIONS
    _digest: ClassVar[str] = "sha256"
    _encoded: ClassVar[re.Pattern[str]] = re.compile(
        r"pbkdf2_sha256\$([1-9][0-9]{0,9})\$([^$\ud800-\udfff]{1,128})\$([A-Za-z0-9+/]{43}=)"
    )

    def __init__(self, *, iterations: int = 1_500_000) -> None:
        if not 1 <= iterations < 2**31:
            raise ConfigurationError(
                f"{type(self).__name__}(iterations=...) is from 1 to 2147483647; leave it out for Django's number"
            )
        check_ceiling(self, self._above(iterations))
        self.iterations = iterations

    def identify(self, encoded: str) -> bool:
        return self._encoded.fullmatch(encoded) is not None

    def encode(self, password: str) -> str:
        salt = django_salt()
        return f"{self.algorithm}${self.iterations}${salt}${self._hash(password, salt, self.iterations)}"

    def verify(self, password: str, encoded: str) -> bool:
        if excess := self._excess(encoded):
            return refuse(self.algorithm, excess)
        _, iterations, salt, expected = encoded.split("$")
        return hmac.compare_digest(self._hash(password, salt, int(iterations)), expected)

    def is_weaker(self, encoded: str) -> bool:
        _, iterations, salt, _ = encoded.split("$")
        return int(iterations) < self.iterations or is_weak_salt(salt) or bool(self._excess(encoded))

    def describe(self, encoded: str) -> HashSummary:
        _, iterations, salt, digest = encoded.split("$")
        return HashSummary(self.algorithm, {"iterations": int(iterations)}, mask(salt), mask(digest))

    def _excess(self, encoded: str) -> str:
        return self._above(int(encoded.split("$")[1]))

    def _above(self, iterations: int) -> str:
        return above({"iterations": (iterations, self.max_iterations)})

    def _hash(self, password: str, salt: str, iterations: int) -> str:
        digest = hashlib.pbkdf2_hmac(self._digest, password.encode(), salt.encode(), iterations)
        return base64.b64encode(digest).decode()


class PBKDF2SHA1Hasher(PBKDF2Hasher):
    """`pbkdf2_sha1$iterations$salt$hash`: for the hashes of old Django sites (row A15.2). Not for new ones."""

    algorithm = "pbkdf2_sha1"
    _digest = "sha1"
    _encoded = re.compile(r"pbkdf2_sha1\$([1-9][0-9]{0,9})\$([^$\ud800-\udfff]{1,128})\$([A-Za-z0-9+/]{27}=)")

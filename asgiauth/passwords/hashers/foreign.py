"""Formats that other frameworks have left behind: read here, and rewritten at a login."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import NoReturn

from ...exceptions import ConfigurationError
from .base import HashSummary, above, mask, refuse
from .pbkdf2 import MAX_ITERATIONS
from .scrypt import is_scrypt, scrypt, scrypt_excess

__all__ = ["PasslibReader", "WerkzeugReader"]

_SALT = r"([^$\ud800-\udfff]{1,128})"
_NUMBER = r"([1-9][0-9]{0,9})"
_BASE64 = r"((?:[A-Za-z0-9./]{4}){0,21}(?:[A-Za-z0-9./]{2,3})?)"
_PASSLIB = re.compile(rf"\$pbkdf2(|-sha256|-sha512)\${_NUMBER}\${_BASE64}\${_BASE64}")
_WERKZEUG_PBKDF2 = re.compile(rf"pbkdf2:(sha1|sha256|sha512):{_NUMBER}\${_SALT}\$([0-9a-f]{{40,128}})")
_WERKZEUG_SCRYPT = re.compile(rf"scrypt:{_NUMBER}:{_NUMBER}:{_NUMBER}\${_SALT}\$([0-9a-f]{{128}})")
_MAX_ITERATIONS = MAX_ITERATIONS // 2
"""SHA-512 takes twice the time of SHA-256."""
_SIZES = {"sha1": 20, "sha256": 32, "sha512": 64}


class PasslibReader:
    """passlib's PBKDF2: `$pbkdf2-sha256$rounds$salt$hash`, `$pbkdf2-sha512$...`, and `$pbkdf2$...`, which is SHA-1.
    Reads only: it cannot be the first hasher. A stored hash of more than `max_iterations` is not run."""

    algorithm = "passlib_pbkdf2"
    max_iterations = _MAX_ITERATIONS

    def prepare(self) -> NoReturn:
        _refuse_to_encode(self)

    def identify(self, encoded: str) -> bool:
        found = _PASSLIB.fullmatch(encoded)
        return found is not None and len(found[4]) == -(-_SIZES[_digest_name(encoded)] * 4 // 3)

    def encode(self, password: str) -> NoReturn:
        _refuse_to_encode(self)

    def verify(self, password: str, encoded: str) -> bool:
        _, _, iterations, salt, expected = encoded.split("$")
        if excess := above({"iterations": (int(iterations), self.max_iterations)}):
            return refuse(self.algorithm, excess)
        made = _pbkdf2(_digest_name(encoded), password, _from_base64(salt), int(iterations))
        return hmac.compare_digest(_to_base64(made), expected)

    def is_weaker(self, encoded: str) -> bool:
        return True

    def describe(self, encoded: str) -> HashSummary:
        _, _, iterations, salt, digest = encoded.split("$")
        return HashSummary(f"pbkdf2_{_digest_name(encoded)}", {"iterations": int(iterations)}, mask(salt), mask(digest))


class WerkzeugReader:
    """Werkzeug's (Flask's) `pbkdf2:sha256:iterations$salt$hash`, with SHA-1 and SHA-512 as well, and
    `scrypt:N:r:p$salt$hash`. Reads only: it cannot be the first hasher. What scrypt makes there has 162 characters, and
    Django's column 128, so it takes a wider one. What costs more than asgiauth's own hashers would run is not run."""

    algorithm = "werkzeug"
    max_iterations = _MAX_ITERATIONS

    def prepare(self) -> NoReturn:
        _refuse_to_encode(self)

    def identify(self, encoded: str) -> bool:
        if found := _WERKZEUG_PBKDF2.fullmatch(encoded):
            return len(found[4]) == 2 * _SIZES[found[1]]
        return _WERKZEUG_SCRYPT.fullmatch(encoded) is not None and is_scrypt(*_scrypt_costs(encoded))

    def encode(self, password: str) -> NoReturn:
        _refuse_to_encode(self)

    def verify(self, password: str, encoded: str) -> bool:
        if excess := self._excess(encoded):
            return refuse(self.algorithm, excess)
        method, salt, expected = encoded.split("$")
        if method.startswith("scrypt"):
            made = scrypt(password, salt, *_scrypt_costs(encoded))
        else:
            _, name, iterations = method.split(":")
            made = _pbkdf2(name, password, salt.encode(), int(iterations))
        return hmac.compare_digest(made.hex(), expected)

    def is_weaker(self, encoded: str) -> bool:
        return True

    def describe(self, encoded: str) -> HashSummary:
        method, salt, digest = encoded.split("$")
        name, *costs = method.split(":")
        if name == "scrypt":
            work, block, lanes = map(int, costs)
            parameters = {"work factor": work, "block size": block, "parallelism": lanes}
        else:
            name, parameters = f"pbkdf2_{costs[0]}", {"iterations": int(costs[1])}
        return HashSummary(name, parameters, mask(salt), mask(digest))

    def _excess(self, encoded: str) -> str:
        if encoded.startswith("scrypt"):
            return scrypt_excess(*_scrypt_costs(encoded))
        method, _, _ = encoded.split("$")
        return above({"iterations": (int(method.rpartition(":")[2]), self.max_iterations)})


def _refuse_to_encode(hasher: object) -> NoReturn:
    raise ConfigurationError(
        f"{type(hasher).__name__} reads hashes and makes none: put Argon2Hasher() before it in `hashers`"
    )


def _digest_name(encoded: str) -> str:
    """Of passlib's `$pbkdf2-sha256$`."""
    return encoded.split("$")[1].removeprefix("pbkdf2").removeprefix("-") or "sha1"


def _scrypt_costs(encoded: str) -> tuple[int, int, int]:
    method, _, _ = encoded.split("$")
    _, work, block, lanes = method.split(":")
    return int(work), int(block), int(lanes)


def _pbkdf2(digest: str, password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations)


def _from_base64(text: str) -> bytes:
    """passlib writes a full stop for the plus, and no padding."""
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4))


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").replace(b"+", b".").decode()

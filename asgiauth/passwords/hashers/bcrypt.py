from __future__ import annotations

import hashlib
import hmac
import re
from types import ModuleType
from typing import ClassVar

from ...exceptions import ConfigurationError, MissingDependency, PasswordRejected, Reason
from .base import HashSummary, above, check_ceiling, logger, mask, refuse

__all__ = ["BCryptHasher", "BCryptSHA256Hasher"]

_MODULAR = r"(\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[A-Za-z0-9./]{21}[.Oeu])([A-Za-z0-9./]{31})"
"""The last character of the salt has two bits of it, and four that are zero. `$2x$` marks the hashes of a faulty
implementation, which no correct one can make again."""
_MAX_BYTES = 72


class BCryptSHA256Hasher:
    """`bcrypt_sha256$$2b$12$...`: bcrypt of the password's SHA-256, in hexadecimal, as Django has it (row A15.4). Takes
    passwords of any length and any bytes.

    Needs the extra `bcrypt`, only once there is something to hash or to verify. Without it `encode` raises
    `MissingDependency`, and a stored hash verifies as False, which is logged once. A stored hash of more rounds than
    `max_rounds` is not run, and none is made; a subclass may raise it.
    """

    algorithm = "bcrypt_sha256"
    max_rounds = 15
    """Each one doubles the time: two or three seconds."""
    _encoded: ClassVar[re.Pattern[str]] = re.compile(r"bcrypt_sha256\$" + _MODULAR)

    def __init__(self, *, rounds: int = 12) -> None:
        if not 4 <= rounds <= 31:
            raise ConfigurationError(f"{type(self).__name__}(rounds=...) is from 4 to 31; leave it out for Django's 12")
        check_ceiling(self, self._above(rounds))
        self.rounds = rounds
        self._has_told = False

    def prepare(self) -> None:
        """Raises `MissingDependency` without the package."""
        _library()

    def identify(self, encoded: str) -> bool:
        return self._encoded.fullmatch(encoded) is not None

    def encode(self, password: str) -> str:
        bcrypt = _library()
        if reason := self.reason_against(password):
            raise PasswordRejected([reason])
        made: bytes = bcrypt.hashpw(self._secret(password), bcrypt.gensalt(self.rounds))
        return f"{self.algorithm}${made.decode()}"

    def reason_against(self, password: str) -> Reason | None:
        """Why bcrypt could not tell the password from another one, if so."""
        return _unfit(self._secret(password))

    def verify(self, password: str, encoded: str) -> bool:
        if excess := self._excess(encoded):
            return refuse(self.algorithm, excess)
        try:
            bcrypt = _library()
        except MissingDependency as missing:
            return self._tell(missing)
        salt, checksum = self._parts(encoded)
        secret = self._secret(password)
        made: bytes = bcrypt.hashpw(secret[:_MAX_BYTES], salt.encode())
        return hmac.compare_digest(made.decode(), salt + checksum) and _unfit(secret) is None

    def is_weaker(self, encoded: str) -> bool:
        return _rounds(encoded) < self.rounds or encoded.startswith("$") or bool(self._excess(encoded))

    def describe(self, encoded: str) -> HashSummary:
        salt, checksum = self._parts(encoded)
        return HashSummary(self.algorithm, {"work factor": _rounds(encoded)}, mask(salt[7:]), mask(checksum))

    def _secret(self, password: str) -> bytes:
        return hashlib.sha256(password.encode()).hexdigest().encode()

    def _excess(self, encoded: str) -> str:
        return self._above(_rounds(encoded))

    def _above(self, rounds: int) -> str:
        return above({"rounds": (rounds, self.max_rounds)})

    def _tell(self, missing: MissingDependency) -> bool:
        if not self._has_told:
            self._has_told = True
            logger.error("stored %s hashes do not verify: %s", self.algorithm, missing)
        return False

    def _parts(self, encoded: str) -> tuple[str, str]:
        """The salt with its `$2b$12$`, and the checksum."""
        return encoded[-60:-31], encoded[-31:]


class BCryptHasher(BCryptSHA256Hasher):
    """`bcrypt$$2b$12$...`, Django's plain bcrypt (row A15.5), and the bare `$2a$`, `$2b$` and `$2y$` of other tools
    (bcrypt, passlib, pwdlib, PHP), which count as weaker so that a login rewrites them.

    bcrypt reads 72 bytes and no more, and begins anew after a NUL. So a longer password, or one with a NUL, is refused
    when it is hashed, and wrong at a login, as it is with Django and bcrypt 5 (D-04, ASVS 6.2.8): otherwise another one
    with the same beginning would be right too. `BCryptSHA256Hasher` has no such limit.
    """

    algorithm = "bcrypt"
    _encoded = re.compile(r"(?:bcrypt\$)?" + _MODULAR)

    def _secret(self, password: str) -> bytes:
        return password.encode()


def _library() -> ModuleType:
    try:
        import bcrypt
    except ImportError:
        raise MissingDependency("bcrypt", "bcrypt") from None
    return bcrypt


def _rounds(encoded: str) -> int:
    return int(encoded[-56:-54])


def _unfit(secret: bytes) -> Reason | None:
    """Why bcrypt could not tell it from another password, if so."""
    if len(secret) > _MAX_BYTES:
        return Reason("password_too_long", {"max_bytes": _MAX_BYTES})
    return Reason("password_null_characters") if b"\0" in secret else None

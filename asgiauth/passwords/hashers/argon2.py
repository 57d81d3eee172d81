from __future__ import annotations

import base64
import re

import argon2
from argon2.exceptions import VerificationError

from ...exceptions import ConfigurationError
from .base import HashSummary, above, check_ceiling, mask, refuse

__all__ = ["Argon2Hasher"]

_ENCODED = re.compile(
    r"(?:argon2)?\$argon2(?:id|i|d)(?:\$v=(?:16|19))?\$m=([1-9][0-9]{0,9}),t=[1-9][0-9]{0,9},p=([1-9][0-9]{0,7})"
    r"\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{16,86})"
)
_SALT_BYTES = 16


class Argon2Hasher:
    """Argon2id (RFC 9106) in Django's encoded form, `argon2$argon2id$v=19$m=...` (row A15.3). The `$argon2id$...`,
    `$argon2i$...` and `$argon2d$...` of other tools (argon2-cffi, pwdlib, PHP, libsodium) verify too, and count as
    weaker so that a login rewrites them in Django's form.

    The defaults are OWASP's: 19 MiB, 2 passes, 1 lane (D-01). `memory_cost` is in KiB. Django's own are `time_cost=2,
    memory_cost=102400, parallelism=8, salt_len=22`: a salt of less than 22 bytes is weak to Django, which then rewrites
    the hash at its next login there.

    A stored hash that costs more than the `max_` attributes below is not run: False. Parameters above them are a
    `ConfigurationError`; a subclass may raise them.
    """

    algorithm = "argon2"
    max_memory_cost = 256 * 1024
    """KiB that one stored hash may take: 256 MiB, libsodium's MODERATE."""
    max_work = 1024 * 1024
    """KiB times passes, as 256 MiB four times: a second and a half of one core."""
    max_time_cost = 64
    max_parallelism = 32
    """Each lane is a thread, started four times a pass."""

    def __init__(
        self, *, time_cost: int = 2, memory_cost: int = 19456, parallelism: int = 1, salt_len: int = _SALT_BYTES
    ) -> None:
        if min(time_cost, parallelism) < 1 or memory_cost < 8 * parallelism or not _SALT_BYTES <= salt_len <= 32:
            raise ConfigurationError(
                "Argon2Hasher needs time_cost and parallelism of at least 1, memory_cost of at least 8 KiB for each "
                "lane, and salt_len from 16 to 32; leave them out for OWASP's parameters"
            )
        check_ceiling(self, self._above(memory_cost, time_cost, parallelism))
        self._hasher = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism, hash_len=32, salt_len=salt_len
        )

    def identify(self, encoded: str) -> bool:
        found = _ENCODED.fullmatch(encoded)
        if found is None:
            return False
        memory, lanes, salt, digest = found.groups()
        return int(memory) >= 8 * int(lanes) and _is_canonical(salt) and _is_canonical(digest)

    def encode(self, password: str) -> str:
        return "argon2" + self._hasher.hash(password)

    def verify(self, password: str, encoded: str) -> bool:
        if excess := self._excess(encoded):
            return refuse(self.algorithm, excess)
        try:
            return self._hasher.verify(_phc(encoded), password)
        except VerificationError:
            return False

    def is_weaker(self, encoded: str) -> bool:
        found = argon2.extract_parameters(_phc(encoded))
        mine = self._hasher
        return (
            encoded.startswith("$")
            or found.type is not argon2.Type.ID
            or found.version < argon2.low_level.ARGON2_VERSION
            or found.memory_cost * found.time_cost < mine.memory_cost * mine.time_cost
            or found.salt_len < _SALT_BYTES
            or bool(self._excess(encoded))
        )

    def describe(self, encoded: str) -> HashSummary:
        found = argon2.extract_parameters(_phc(encoded))
        salt, digest = encoded.rsplit("$", 2)[-2:]
        parameters = {
            "variety": f"argon2{found.type.name.lower()}",
            "version": found.version,
            "memory cost": found.memory_cost,
            "time cost": found.time_cost,
            "parallelism": found.parallelism,
        }
        return HashSummary("argon2", parameters, mask(salt), mask(digest))

    def _excess(self, encoded: str) -> str:
        found = argon2.extract_parameters(_phc(encoded))
        return self._above(found.memory_cost, found.time_cost, found.parallelism)

    def _above(self, memory_cost: int, time_cost: int, parallelism: int) -> str:
        return above(
            {
                "memory cost": (memory_cost, self.max_memory_cost),
                "memory cost x time cost": (memory_cost * time_cost, self.max_work),
                "time cost": (time_cost, self.max_time_cost),
                "parallelism": (parallelism, self.max_parallelism),
            }
        )


def _phc(encoded: str) -> str:
    return encoded.removeprefix("argon2") if not encoded.startswith("$") else encoded


def _is_canonical(text: str) -> bool:
    """Base64 as Argon2 writes it: no bits left over. Anything else it refuses before it has done any work."""
    if len(text) % 4 == 1:
        return False
    return base64.b64encode(base64.b64decode(text + "=" * (-len(text) % 4))).rstrip(b"=").decode() == text

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from ...exceptions import ConfigurationError
from .base import COLUMN, HashSummary, above, check_ceiling, django_salt, is_weak_salt, mask, refuse

__all__ = ["MAX_MEMORY", "MAX_WORK", "ScryptHasher", "is_scrypt", "scrypt"]

MAX_MEMORY = 256 * 1024 * 1024
"""Bytes that a stored hash may take, 128 x N x r; OWASP's first choice (N = 2^17, r = 8) takes half of it."""
MAX_WORK = 2**22
"""N x r x p of a stored hash: two seconds of one core, and six times Django's."""
MAX_BLOCKS = 2**10
"""r x p of a stored hash, of which each takes 128 bytes of PBKDF2 twice; Django has 40, OWASP at most 80."""

_ENCODED = re.compile(
    r"scrypt\$([1-9][0-9]{0,9})\$([^$\ud800-\udfff]{1,128})\$([1-9][0-9]{0,9})\$([1-9][0-9]{0,9})"
    r"\$([A-Za-z0-9+/]{86}==)"
)


class ScryptHasher:
    """`scrypt$N$salt$r$p$hash` (RFC 7914) in Django's form, with Django's N = 2^14, r = 8, p = 5 (row A15.6), one of
    OWASP's choices. 16 MiB of memory. PBKDF2 is a part of scrypt: it cannot tell NULs at a password's end either.

    Such a hash has exactly 128 characters, Django's column: parameters with one digit more do not fit and are refused.
    One that takes more than `max_memory` or `max_work` is neither run nor made; a subclass may raise them.
    """

    algorithm = "scrypt"
    max_memory = MAX_MEMORY
    max_work = MAX_WORK

    def __init__(self, *, work_factor: int = 2**14, block_size: int = 8, parallelism: int = 5) -> None:
        self.work_factor, self.block_size, self.parallelism = work_factor, block_size, parallelism
        head = f"{self.algorithm}${work_factor}${django_salt()}${block_size}${parallelism}$"
        fits = len(head) + 88 <= COLUMN and block_size * parallelism <= MAX_BLOCKS
        if not fits or not is_scrypt(work_factor, block_size, parallelism):
            raise ConfigurationError(
                "ScryptHasher needs a work_factor that is a power of two, and block_size and parallelism from 1 on, "
                "their product at most 1024, and all of them so short that the stored hash fits 128 characters; "
                "leave them out for Django's"
            )
        check_ceiling(self, self._above(work_factor, block_size, parallelism))

    def identify(self, encoded: str) -> bool:
        return _ENCODED.fullmatch(encoded) is not None and is_scrypt(*_costs(encoded))

    def encode(self, password: str) -> str:
        salt, costs = django_salt(), (self.work_factor, self.block_size, self.parallelism)
        digest = base64.b64encode(scrypt(password, salt, *costs)).decode()
        return f"{self.algorithm}${costs[0]}${salt}${costs[1]}${costs[2]}${digest}"

    def verify(self, password: str, encoded: str) -> bool:
        if excess := self._excess(encoded):
            return refuse(self.algorithm, excess)
        _, _, salt, _, _, expected = encoded.split("$")
        return hmac.compare_digest(base64.b64encode(scrypt(password, salt, *_costs(encoded))).decode(), expected)

    def is_weaker(self, encoded: str) -> bool:
        work, block, lanes = _costs(encoded)
        mine = self.work_factor * self.block_size * self.parallelism
        return work * block * lanes < mine or is_weak_salt(encoded.split("$")[2]) or bool(self._excess(encoded))

    def describe(self, encoded: str) -> HashSummary:
        _, work, salt, block, lanes, digest = encoded.split("$")
        parameters = {"work factor": int(work), "block size": int(block), "parallelism": int(lanes)}
        return HashSummary(self.algorithm, parameters, mask(salt), mask(digest))

    def _excess(self, encoded: str) -> str:
        return self._above(*_costs(encoded))

    def _above(self, work_factor: int, block_size: int, parallelism: int) -> str:
        return scrypt_excess(work_factor, block_size, parallelism, self.max_memory, self.max_work)


def _costs(encoded: str) -> tuple[int, int, int]:
    _, work, _, block, lanes, _ = encoded.split("$")
    return int(work), int(block), int(lanes)


def is_scrypt(work_factor: int, block_size: int, parallelism: int) -> bool:
    """RFC 7914, section 2: N is a power of two above 1 and below 2^(16 r), p at most 2^30 / r."""
    return (
        min(work_factor - 1, block_size, parallelism) >= 1
        and work_factor & (work_factor - 1) == 0
        and work_factor.bit_length() <= 16 * block_size
        and block_size * parallelism < 2**30
    )


def scrypt_excess(
    work_factor: int, block_size: int, parallelism: int, max_memory: int = MAX_MEMORY, max_work: int = MAX_WORK
) -> str:
    """Why a stored hash of these parameters is not run; blank if it is."""
    return above(
        {
            "bytes of memory": (128 * work_factor * block_size, max_memory),
            "work factor x block size x parallelism": (work_factor * block_size * parallelism, max_work),
            "block size x parallelism": (block_size * parallelism, MAX_BLOCKS),
        }
    )


def scrypt(password: str, salt: str, work_factor: int, block_size: int, parallelism: int) -> bytes:
    """64 bytes. The limit of OpenSSL, 32 MiB unless told, is what these parameters take."""
    memory = 128 * block_size * (work_factor + parallelism + 2)
    return hashlib.scrypt(
        password.encode(), salt=salt.encode(), n=work_factor, r=block_size, p=parallelism, maxmem=memory, dklen=64
    )

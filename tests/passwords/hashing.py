"""Hashers of Django's formats at the lowest cost there is, and a look at the work that the libraries do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import argon2
import bcrypt
import pytest

from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    ScryptHasher,
)

CHEAPEST: list[Hasher] = [
    Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),
    PBKDF2Hasher(iterations=1),
    PBKDF2SHA1Hasher(iterations=1),
    BCryptSHA256Hasher(rounds=4),
    BCryptHasher(rounds=4),
    ScryptHasher(work_factor=2, block_size=1, parallelism=1),
    MD5Hasher(),
]
ARGON2, PBKDF2, PBKDF2_SHA1, BCRYPT_SHA256, BCRYPT, SCRYPT, MD5 = CHEAPEST

every = pytest.mark.parametrize("hasher", CHEAPEST, ids=lambda hasher: hasher.algorithm)


@contextmanager
def watched() -> Iterator[list[tuple[str, int]]]:
    """Every run of a password hash meanwhile, as (function, cost). The real functions do the work."""
    runs: list[tuple[str, int]] = []

    def pbkdf2(name: str, password: bytes, salt: bytes, iterations: int, dklen: int | None = None) -> bytes:
        runs.append((f"pbkdf2-{name}", iterations))
        return real_pbkdf2(name, password, salt, iterations, dklen)

    def scrypt(*args: Any, n: int, r: int, p: int, **options: Any) -> bytes:
        runs.append(("scrypt", n * r * p))
        return real_scrypt(*args, n=n, r=r, p=p, **options)

    def hash_argon2(self: argon2.PasswordHasher, *args: Any, **options: Any) -> str:
        runs.append(("argon2", self.time_cost * self.memory_cost))
        return real_argon2(self, *args, **options)

    def verify_argon2(self: argon2.PasswordHasher, encoded: str, password: str) -> bool:
        found = argon2.extract_parameters(encoded)
        runs.append(("argon2", found.time_cost * found.memory_cost))
        return real_verify(self, encoded, password)

    def hash_bcrypt(password: bytes, salt: bytes) -> bytes:
        runs.append(("bcrypt", 2 ** int(salt[4:6])))
        return real_bcrypt(password, salt)

    real_pbkdf2, real_scrypt, real_bcrypt = hashlib.pbkdf2_hmac, hashlib.scrypt, bcrypt.hashpw
    real_argon2, real_verify = argon2.PasswordHasher.hash, argon2.PasswordHasher.verify
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "pbkdf2_hmac", pbkdf2)
        patch.setattr(hashlib, "scrypt", scrypt)
        patch.setattr(bcrypt, "hashpw", hash_bcrypt)
        patch.setattr(argon2.PasswordHasher, "hash", hash_argon2)
        patch.setattr(argon2.PasswordHasher, "verify", verify_argon2)
        yield runs

"""What a login makes of an older hash, and a hasher of one's own."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest

from asgiauth import PasswordPolicy
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    HashSummary,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    ScryptHasher,
    preferring,
)

from .hashing import CHEAPEST, MD5, PBKDF2

PREFERRED: list[Hasher] = [
    Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1),
    PBKDF2Hasher(iterations=3),
    PBKDF2SHA1Hasher(iterations=3),
    BCryptSHA256Hasher(rounds=5),
    BCryptHasher(rounds=5),
    ScryptHasher(work_factor=4, block_size=2, parallelism=3),
]


def passwords(*hashers: Hasher) -> Passwords:
    return Passwords(PasswordPolicy(hashers=hashers, validators=()))


@pytest.mark.parametrize("hasher", PREFERRED, ids=lambda hasher: hasher.algorithm)
async def test_A15_14_a_login_rewrites_what_is_weaker_and_nothing_else(hasher: Hasher) -> None:
    """D-01, D-04: another algorithm, or this one at a lower cost. Nothing for a wrong password."""
    known = passwords(*preferring(hasher), MD5)
    for older in CHEAPEST:
        encoded = older.encode("l\u00e8tmein")
        assert await known.verify_and_upgrade("l\u00e8tmeinz", encoded) == (False, None)
        right, stronger = await known.verify_and_upgrade("l\u00e8tmein", encoded)
        assert right
        assert stronger is not None
        assert hasher.identify(stronger)
        assert not hasher.is_weaker(stronger)
        assert await known.verify_and_upgrade("l\u00e8tmein", stronger) == (True, None)


class Harder(PBKDF2Hasher):
    """As Django's documentation tunes one: a subclass, first in the list."""

    def __init__(self) -> None:
        super().__init__(iterations=PBKDF2Hasher().iterations // 100_000)


async def test_A15_17_a_tuned_hasher_comes_first_and_the_old_hashes_follow_it() -> None:
    """By a subclass or by an argument: the form is the same, and one hasher of it is enough."""
    for tuned in (Harder(), PBKDF2Hasher(iterations=15)):
        known = passwords(*preferring(tuned))
        right, stronger = await known.verify_and_upgrade("right", PBKDF2.encode("right"))
        assert right
        assert stronger is not None
        assert stronger.startswith("pbkdf2_sha256$15$")
        assert await known.verify_and_upgrade("right", PBKDF2Hasher(iterations=16).encode("right")) == (True, None)


class Keyed:
    """A format of an application's own: HMAC-SHA-256 under a key that is not in the database."""

    algorithm = "keyed"

    def identify(self, encoded: str) -> bool:
        return re.fullmatch(r"keyed\$[0-9a-f]{64}", encoded) is not None

    def encode(self, password: str) -> str:
        return f"keyed${hmac.new(b'key', password.encode(), hashlib.sha256).hexdigest()}"

    def verify(self, password: str, encoded: str) -> bool:
        return hmac.compare_digest(self.encode(password), encoded)

    def is_weaker(self, encoded: str) -> bool:
        return False

    def describe(self, encoded: str) -> HashSummary:
        return HashSummary("keyed", {}, "", encoded[6:12] + "*" * 58)


@pytest.mark.parametrize("first", [True, False], ids=["preferred", "only read"])
async def test_A15_17_a_hasher_of_ones_own(first: bool) -> None:
    """Any object with these methods: no base class, and nothing of the library to import."""
    own = Keyed()
    argon2 = PREFERRED[0]
    known = passwords(*((own, argon2) if first else (argon2, own)))
    encoded = own.encode("right")
    right, stronger = await known.verify_and_upgrade("right", encoded)
    assert (right, stronger is None) == (True, first)
    assert await known.verify_and_upgrade("wrong", encoded) == (False, None)
    assert own.identify(await known.hash("right")) is first
    assert known.describe(encoded) == own.describe(encoded)


async def test_A15_18_an_unknown_hasher_is_no_hasher() -> None:
    """Hashers are objects in a list, so none is asked for by a name: what none of them knows is unknown, and False."""
    known = passwords(PREFERRED[0])
    for encoded in ("lolcat$salt$hash", MD5.encode("right"), "argon2"):
        assert await known.verify_and_upgrade("right", encoded) == (False, None)
        assert known.describe(encoded) == HashSummary("unknown", {}, "", "")

"""Whatever lies in the column, a login answers no, and not 500."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgiauth import PasswordPolicy
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    PasslibReader,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    Pepper,
    ScryptHasher,
    WerkzeugReader,
)
from asgiauth.passwords.hashers.recompute import recomputed
from asgiauth.passwords.pepper import PepperedHasher

from .hashing import CHEAPEST, watched


class Argon2(Argon2Hasher):
    max_memory_cost = max_work = max_time_cost = 200


class PBKDF2(PBKDF2Hasher):
    max_iterations = 100


class PBKDF2SHA1(PBKDF2SHA1Hasher):
    max_iterations = 100


class BCryptSHA256(BCryptSHA256Hasher):
    max_rounds = 5


class BCrypt(BCryptHasher):
    max_rounds = 5


class Scrypt(ScryptHasher):
    max_memory = max_work = 100_000


class Passlib(PasslibReader):
    max_iterations = 1000


class Werkzeug(WerkzeugReader):
    max_iterations = 1000


HASHERS: list[Hasher] = [
    Argon2(time_cost=1, memory_cost=9),
    PBKDF2(iterations=1),
    PBKDF2SHA1(iterations=1),
    BCryptSHA256(rounds=4),
    BCrypt(rounds=4),
    Scrypt(work_factor=2, block_size=1, parallelism=1),
    MD5Hasher(),
    Passlib(),
    Werkzeug(),
]
PREFERRED = ("argon2", 9)

FOREIGN = json.loads((Path(__file__).parent / "golden" / "foreign.json").read_text())["vectors"]
RIGHT = "correct horse battery staple"
VALID = [hasher.encode(RIGHT) for hasher in [*CHEAPEST, HASHERS[0]]]
VALID += [pairs[0][1] for name, pairs in FOREIGN.items() if name not in ("werkzeug scrypt", "pwdlib argon2", "werkzeug pbkdf2", "werkzeug scrypt:1024:8:1")]  # fmt: skip
PEPPER = ["k" * 40]
PEPPERED = PepperedHasher([PBKDF2Hasher(iterations=1)], Pepper(PEPPER))
ANY_LETTERS = PEPPERED.renewed(RIGHT, recomputed(RIGHT, "pbkdf2_sha256$1$" + "\u00e4" * 22 + "$"))
VALID += [PEPPERED.encode(RIGHT), ANY_LETTERS]
TAILS = {re.split(r"[$:]", encoded)[-1][-20:] for encoded in VALID}
ALPHABET = "$=,:./+!\0\n \u00e9\u0663 0123456789-abcdefgimnoprstvxypk"


@st.composite
def stored(draw: st.DrawFn) -> str:
    """A real hash, one with a piece replaced, a piece of one, the head of one before the tail of another, or noise."""
    encoded = draw(st.sampled_from(VALID))
    start = draw(st.integers(0, len(encoded)))
    end = draw(st.integers(start, len(encoded)))
    piece = draw(
        st.text(max_size=8) | st.text(ALPHABET, max_size=8) | st.sampled_from(["$$", "4294967296", "0", "\ud800"])
    )
    other = draw(st.sampled_from(VALID))
    return draw(
        st.sampled_from(
            [
                encoded,
                encoded[:start] + piece + encoded[end:],
                encoded[start:end],
                encoded[:start] + other[start:],
                piece,
            ]
        )
    )


def login(password: str, encoded: str) -> tuple[bool, list[tuple[str, int]]]:
    passwords = Passwords(
        PasswordPolicy(
            hashers=HASHERS, validators=(), hash_slots=1, hash_patience=60, pepper=Pepper(PEPPER, active=False)
        )
    )
    with watched() as runs:
        right, _ = asyncio.run(passwords.verify_and_upgrade(password, encoded))
    return right, runs


@settings(deadline=None, max_examples=300)
@given(stored(), st.sampled_from([RIGHT, RIGHT + " ", "", "\ud800"]))
@example("", RIGHT)
@example(ANY_LETTERS, RIGHT)
@example(ANY_LETTERS, RIGHT + " ")
@example(VALID[0] + "\u00e9", RIGHT)
@example(VALID[1] + "\n", RIGHT)
@example(VALID[0][:40] + "\0" + VALID[0][40:], RIGHT)
@example("pbkdf2_sha256$1$salt\ud800$" + "A" * 43 + "=", RIGHT)
@example("pbkdf2_sha256$0$salt$" + "A" * 43 + "=", RIGHT)
@example("pbkdf2_sha256$\u0661$salt$" + "A" * 43 + "=", RIGHT)
@example("argon2$argon2id$v=19$m=8,t=1,p=0$" + "A" * 22 + "$" + "A" * 43, RIGHT)
@example("argon2$argon2id$v=19$m=99999999999999999999,t=1,p=1$" + "A" * 22 + "$" + "A" * 43, RIGHT)
@example("scrypt$2$salt$1073741823$1$" + "A" * 86 + "==", RIGHT)
@example("$" * 200_000, RIGHT)
@example("pbkdf2_sha256$1$" + "s" * 200_000, RIGHT)
@example("$pbkdf2-sha256$1$" + "A" * 200_000, RIGHT)
def test_a_damaged_hash_verifies_as_false_and_never_raises(encoded: str, password: str) -> None:
    """A15.13, D-20: it is right only with a whole hash and the right password, and a no costs the preferred hash."""
    right, runs = login(password, encoded)
    if right:
        assert password == RIGHT
        assert encoded[-20:] in TAILS
    else:
        assert runs.count(PREFERRED) >= 1
    assert len(runs) <= 2


@pytest.mark.parametrize("encoded", VALID, ids=range(len(VALID)))
def test_the_whole_hashes_among_them_verify(encoded: str) -> None:
    assert login(RIGHT, encoded)[0]
    assert not login(RIGHT + " ", encoded)[0]


@settings(deadline=None)
@given(stored())
def test_describe_and_is_weaker_never_raise(encoded: str) -> None:
    """An administrator's page shows it for whatever lies in the column."""
    Passwords(PasswordPolicy(hashers=HASHERS, validators=(), hash_slots=1)).describe(encoded)
    known = [hasher for hasher in HASHERS if hasher.identify(encoded)]
    assert len(known) <= 1
    assert all(hasher.is_weaker(encoded) in (True, False) for hasher in known)

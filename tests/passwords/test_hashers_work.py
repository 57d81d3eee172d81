"""What a verification may cost: one hash of the preferred cost whatever is stored, and never gigabytes or minutes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from typing import Any

import pytest

from asgiauth import PasswordPolicy
from asgiauth.exceptions import ConfigurationError
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
    ScryptHasher,
    WerkzeugReader,
    preferring,
)
from asgiauth.passwords.service import unusable

from .hashing import CHEAPEST, every, watched

PREFERRED: list[tuple[Hasher, tuple[str, int]]] = [
    (Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1), ("argon2", 32)),
    (PBKDF2Hasher(iterations=30), ("pbkdf2-sha256", 30)),
    (PBKDF2SHA1Hasher(iterations=30), ("pbkdf2-sha1", 30)),
    (BCryptSHA256Hasher(rounds=5), ("bcrypt", 32)),
    (BCryptHasher(rounds=5), ("bcrypt", 32)),
    (ScryptHasher(work_factor=4, block_size=2, parallelism=3), ("scrypt", 24)),
]
preferred = pytest.mark.parametrize(("hasher", "run"), PREFERRED, ids=[hasher.algorithm for hasher, _ in PREFERRED])

A22, A43, A86 = "A" * 22, "A" * 43, "A" * 86
HOSTILE = {
    "argon2, 4 GiB": f"argon2$argon2id$v=19$m=4194304,t=1,p=1${A22}${A43}",
    "argon2, 9 TiB": f"argon2$argon2id$v=19$m=9999999999,t=1,p=1${A22}${A43}",
    "argon2, a million passes": f"argon2$argon2id$v=19$m=8,t=1000000,p=1${A22}${A43}",
    "argon2, 65 passes": f"argon2$argon2id$v=19$m=8,t=65,p=1${A22}${A43}",
    "argon2, 256 MiB five times": f"argon2$argon2id$v=19$m=262144,t=5,p=1${A22}${A43}",
    "argon2, 10,000 threads": f"argon2$argon2id$v=19$m=80000,t=1,p=10000${A22}${A43}",
    "argon2i, bare": f"$argon2i$v=19$m=4194304,t=1,p=1${A22}${A43}",
    "argon2d, old": f"$argon2d$m=4194304,t=1,p=1${A22}${A43}",
    "pbkdf2": f"pbkdf2_sha256$1000000000${A22}${A43}=",
    "pbkdf2, just above": f"pbkdf2_sha256$10000001${A22}${A43}=",
    "pbkdf2, 34 bits": f"pbkdf2_sha256$9999999999${A22}${A43}=",
    "pbkdf2_sha1": f"pbkdf2_sha1$1000000000${A22}${'A' * 27}=",
    "bcrypt": f"bcrypt$$2b$31${A22[1:]}.{'A' * 31}",
    "bcrypt, just above": f"bcrypt$$2b$16${A22[1:]}.{'A' * 31}",
    "bcrypt, bare": f"$2y$31${A22[1:]}.{'A' * 31}",
    "bcrypt_sha256": f"bcrypt_sha256$$2b$31${A22[1:]}.{'A' * 31}",
    "scrypt, 1 TiB": f"scrypt$1073741824${A22}$8$1${A86}==",
    "scrypt, wide blocks": f"scrypt$2${A22}$1048577$1${A86}==",
    "scrypt, many lanes": f"scrypt$16384${A22}$8$100000000${A86}==",
    "scrypt, many blocks": f"scrypt$2${A22}$1$1025${A86}==",
    "scrypt, just above": f"scrypt$262144${A22}$8$3${A86}==",
    "passlib": f"$pbkdf2-sha512$1000000000${A22}${A86}",
    "passlib, just above": f"$pbkdf2-sha256$5000001${A22}${A43}",
    "passlib, sha1": f"$pbkdf2$4294967295${A22}${'A' * 27}",
    "werkzeug pbkdf2": f"pbkdf2:sha256:1000000000${A22}${'0' * 64}",
    "werkzeug scrypt": f"scrypt:1073741824:8:1${A22}${'0' * 128}",
}
hostile = pytest.mark.parametrize("encoded", HOSTILE.values(), ids=HOSTILE)

UNKNOWN = {
    "no such user": "",
    "unusable": unusable(),
    "unusable, and typed": "!",
    "no hash at all": "right",
    "another's format": "lolcat$salt$hash",
    "crypt": "$6$salt$" + A86,
    "argon2, cut off": f"argon2$argon2id$v=19$m=16,t=2,p=1${A22}",
    "argon2, too little memory for its lanes": f"argon2$argon2id$v=19$m=16,t=2,p=3${A22}${A43}",
    "argon2, of the future": f"argon2$argon2id$v=20$m=16,t=2,p=1${A22}${A43}",
    "argon2, bits left over": f"argon2$argon2id$v=19$m=16,t=2,p=1${A22[1:]}B${A43}",
    "argon2, no base64": f"argon2$argon2id$v=19$m=16,t=2,p=1${A22}${'A' * 41}",
    "pbkdf2, cut off": f"pbkdf2_sha256$30${A22}${A43}",
    "pbkdf2, without salt": f"pbkdf2_sha256$30$${A43}=",
    "pbkdf2, with twenty digits": f"pbkdf2_sha256$99999999999999999999${A22}${A43}=",
    "scrypt, no power of two": f"scrypt$5${A22}$2$3${A86}==",
    "scrypt, no block": f"scrypt$4${A22}$0$3${A86}==",
    "bcrypt, cut off": f"bcrypt$$2b$05${A22[1:]}.{'A' * 30}",
    "bcrypt, faulty": f"$2x$05${A22[1:]}.{'A' * 31}",
    "A15.9, unsalted md5": "5f4dcc3b5aa765d61d8327deb882cf99",
    "A15.9, md5 without salt": "md5$$5f4dcc3b5aa765d61d8327deb882cf99",
    "A15.9, sha1 without salt": "sha1$$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
    "A15.9, sha1": "sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8",
}


def passwords(*hashers: Hasher) -> Passwords:
    return Passwords(PasswordPolicy(hashers=hashers, validators=(), hash_slots=1, hash_patience=60))


def all_after(hasher: Hasher) -> Sequence[Hasher]:
    return (*preferring(hasher), *([] if isinstance(hasher, MD5Hasher) else [MD5Hasher()]))


async def work(hashers: Sequence[Hasher], password: str, encoded: str) -> tuple[bool, list[tuple[str, int]]]:
    """The answer of a login, and what it has cost."""
    with watched() as runs:
        right, _ = await passwords(*hashers).verify_and_upgrade(password, encoded)
    return right, runs


@preferred
async def test_D_20_a_login_runs_one_hash_of_the_preferred_cost(hasher: Hasher, run: tuple[str, int]) -> None:
    """T01, A15.13, A15.15: right or wrong, known or not, and whatever algorithm an older hash was made with."""
    hashers = all_after(hasher)
    stored = hasher.encode("right")
    assert await work(hashers, "right", stored) == (True, [run])
    assert await work(hashers, "wrong", stored) == (False, [run])
    for older in CHEAPEST:
        old = older.encode("right")
        for password in ("right", "wrong"):
            right, runs = await work(hashers, password, old)
            assert right is (password == "right")
            assert (runs.count(run), len(runs)) == (1, 1 if isinstance(older, MD5Hasher) else 2)


@preferred
@pytest.mark.parametrize("encoded", UNKNOWN.values(), ids=UNKNOWN)
async def test_D_20_what_cannot_verify_costs_one_hash_too(hasher: Hasher, run: tuple[str, int], encoded: str) -> None:
    """A15.9, A15.12, A15.13, V-021, V-030."""
    assert await work(all_after(hasher), "right", encoded) == (False, [run])
    assert passwords(*all_after(hasher)).describe(encoded).algorithm in ("unusable", "unknown")


@preferred
async def test_D_06_a_password_that_cannot_be_costs_one_hash_too(hasher: Hasher, run: tuple[str, int]) -> None:
    """V-103: 1,025 bytes, a megabyte, lone surrogates, nothing at all."""
    stored = hasher.encode("right")
    for password in ("x" * 1025, "x" * 1_000_000, "right\ud800", ""):
        assert await work(all_after(hasher), password, stored) == (False, [run])


@hostile
@preferred
async def test_a_hostile_hash_is_not_run(
    hasher: Hasher, run: tuple[str, int], encoded: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever can write to the column must not be able to spend gigabytes or minutes with a login. The log says so, and
    does not show the hash."""
    assert await work(all_after(hasher), "right", encoded) == (False, [run])
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asgiauth", logging.ERROR)
    assert "costs more than asgiauth will spend" in record.getMessage()
    assert not [piece for piece in encoded.split("$") if len(piece) > 20 and piece in record.getMessage()]


@hostile
def test_a_hostile_hash_is_described(encoded: str) -> None:
    """So that an administrator sees why nobody gets in; that costs nothing."""
    with watched() as runs:
        summary = passwords(*PasswordPolicy().hashers).describe(encoded)
    assert summary.algorithm not in ("unknown", "unusable")
    assert summary.parameters
    assert runs == []


@pytest.mark.parametrize(
    ("own", "ceilings"),
    [
        (Argon2Hasher(time_cost=2, memory_cost=64, parallelism=2), {"max_memory_cost": 64}),
        (Argon2Hasher(time_cost=2, memory_cost=64, parallelism=2), {"max_work": 128}),
        (Argon2Hasher(time_cost=2, memory_cost=64, parallelism=2), {"max_time_cost": 2}),
        (Argon2Hasher(time_cost=2, memory_cost=64, parallelism=2), {"max_parallelism": 2}),
        (PBKDF2Hasher(iterations=9), {"max_iterations": 9}),
        (PBKDF2SHA1Hasher(iterations=9), {"max_iterations": 9}),
        (BCryptSHA256Hasher(rounds=5), {"max_rounds": 5}),
        (BCryptHasher(rounds=5), {"max_rounds": 5}),
        (ScryptHasher(work_factor=16, block_size=2, parallelism=3), {"max_memory": 128 * 16 * 2}),
        (ScryptHasher(work_factor=16, block_size=2, parallelism=3), {"max_work": 16 * 2 * 3}),
    ],
)
def test_a_ceiling_is_the_last_that_is_run(own: Hasher, ceilings: dict[str, int]) -> None:
    """What is not run is worth rewriting."""
    encoded = own.encode("right")
    cheap = next(one for one in CHEAPEST if one.algorithm == own.algorithm)
    at, below = copy(cheap), copy(cheap)
    vars(at).update(ceilings)
    vars(below).update({name: ceiling - 1 for name, ceiling in ceilings.items()})
    assert (at.verify("right", encoded), at.is_weaker(encoded)) == (True, False)
    assert (below.verify("right", encoded), below.is_weaker(encoded)) == (False, True)


@pytest.mark.parametrize(
    ("kind", "at", "above"),
    [
        (Argon2Hasher, {"time_cost": 4, "memory_cost": 2**18}, {"memory_cost": 2**18 + 1}),
        (Argon2Hasher, {"time_cost": 16, "memory_cost": 2**16}, {"time_cost": 30, "memory_cost": 2**16}),
        (Argon2Hasher, {"time_cost": 64, "memory_cost": 8}, {"time_cost": 65, "memory_cost": 8}),
        (Argon2Hasher, {"parallelism": 32}, {"parallelism": 33}),
        (PBKDF2Hasher, {"iterations": 10_000_000}, {"iterations": 10_000_001}),
        (PBKDF2SHA1Hasher, {"iterations": 10_000_000}, {"iterations": 10_000_001}),
        (BCryptSHA256Hasher, {"rounds": 15}, {"rounds": 16}),
        (BCryptHasher, {"rounds": 15}, {"rounds": 16}),
        (ScryptHasher, {"work_factor": 2**16, "parallelism": 8}, {"work_factor": 2**16, "parallelism": 9}),
    ],
)
def test_no_hasher_makes_what_its_class_would_not_run(kind: Any, at: dict[str, int], above: dict[str, int]) -> None:
    """Everybody would be locked out once the cost is lowered, or by a server that still has the old policy."""
    assert isinstance(kind(**at), kind)
    with pytest.raises(ConfigurationError, match="raise the ceiling in a subclass"):
        kind(**above)
    ceilings = {name: 2**40 for name in dir(kind) if name.startswith("max_")}
    assert isinstance(type("Dear", (kind,), ceilings)(**above), kind)


class Strict(PBKDF2Hasher):
    max_iterations = 5


class Patient(Strict):
    max_iterations = 6


def test_a_subclass_may_move_a_ceiling() -> None:
    """The cure that the log names, for hashes that are as dear as that on purpose."""
    encoded = f"pbkdf2_sha256$6${A22}${A43}="
    for hasher, expected in ((Strict(iterations=1), []), (Patient(iterations=1), [("pbkdf2-sha256", 6)])):
        with watched() as runs:
            assert not hasher.verify("x", encoded)
        assert runs == expected


@pytest.mark.parametrize(
    ("reader", "encoded"),
    [
        (PasslibReader(), "$pbkdf2-sha256$2$c2FsdA$jWaVkAFzLxAzCbO8hYJkDfMDqZuhfL8pW4tRk2vOQd8"),
        (WerkzeugReader(), f"pbkdf2:sha256:2$salt${'0' * 64}"),
    ],
    ids=["passlib", "werkzeug"],
)
def test_a_reader_has_a_ceiling_too(reader: Hasher, encoded: str) -> None:
    lowered = copy(reader)
    vars(lowered).update(max_iterations=1)
    for one, count in ((reader, 1), (lowered, 0)):
        with watched() as runs:
            assert not one.verify("x", encoded)
        assert len(runs) == count


@every
def test_whatever_stands_before_a_hash_is_not_run(hasher: Hasher) -> None:
    """A hash is known as a whole or not at all."""
    encoded = hasher.encode("right")
    cut = (
        encoded[:-2] if "argon2" in encoded else encoded[:-1]
    )  # base64 without padding: one less may be 31 whole bytes
    for damaged in (f" {encoded}", f"{encoded} ", f"{encoded}\n", f"\0{encoded}", encoded.upper(), cut):
        assert not hasher.identify(damaged)

"""Named costs, and the cost below which nobody goes (D-01, ASVS 11.4.2)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    ScryptHasher,
    WrappedHasher,
    preferring,
    profile,
)
from asgiauth.passwords.calibration import calibrated, seconds_of
from asgiauth.passwords.profiles import LEAST_MEMORY, PROFILES, cheap
from asgiauth.testing import fast_passwords

from ..conftest import BASE_URL, SECRET_KEYS
from .test_passwords import Counting


def bare_auth(policy: PasswordPolicy) -> Auth:
    return Auth("sqlite:///never.db", secret_keys=SECRET_KEYS, base_url=BASE_URL, passwords=policy)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("owasp", "argon2$argon2id$v=19$m=19456,t=2,p=1$"),
        ("rfc9106_low", "argon2$argon2id$v=19$m=65536,t=3,p=4$"),
        ("django", "argon2$argon2id$v=19$m=102400,t=2,p=8$"),
    ],
)
async def test_D_01_a_profile_hashes_at_its_cost_and_reads_every_format(name: str, head: str) -> None:
    passwords = Passwords(PasswordPolicy(hashers=profile(name), hash_patience=60))
    encoded = await passwords.hash("correct horse")
    assert encoded.startswith(head)
    assert await passwords.verify("correct horse", encoded)
    assert await passwords.verify("correct horse", PBKDF2Hasher(iterations=1).encode("correct horse"))


async def test_D_01_owasp_is_the_default() -> None:
    assert (await Passwords(PasswordPolicy()).hash("x" * 8)).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_D_01_an_unknown_profile_is_told_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match="owasp, rfc9106_low, django"):
        profile("fast")


async def test_D_01_a_hash_of_a_dearer_profile_is_never_downgraded() -> None:
    passwords = Passwords(PasswordPolicy(hashers=profile("owasp"), hash_patience=60))
    for name in ("rfc9106_low", "django"):
        assert await passwords.verify_and_upgrade("right", PROFILES[name].encode("right")) == (True, None)


CHEAP: dict[str, Hasher] = {
    "little memory": Argon2Hasher(time_cost=64, memory_cost=7167),
    "one pass": Argon2Hasher(time_cost=1, memory_cost=47103),
    "OWASP's, less a KiB": Argon2Hasher(memory_cost=19455),
    "pbkdf2_sha256": PBKDF2Hasher(iterations=599_999),
    "pbkdf2_sha1": PBKDF2SHA1Hasher(iterations=1_299_999),
    "bcrypt_sha256": BCryptSHA256Hasher(rounds=9),
    "bcrypt": BCryptHasher(rounds=9),
    "scrypt": ScryptHasher(parallelism=4),
    "md5": MD5Hasher(),
    "wrapped": WrappedHasher(),
}
ENOUGH: dict[str, Hasher] = {
    **{f"{passes} passes": Argon2Hasher(time_cost=passes, memory_cost=least) for passes, least in LEAST_MEMORY.items()},
    "nine passes": Argon2Hasher(time_cost=9, memory_cost=7168),
    "pbkdf2_sha256": PBKDF2Hasher(iterations=600_000),
    "pbkdf2_sha1": PBKDF2SHA1Hasher(),
    "bcrypt_sha256": BCryptSHA256Hasher(rounds=10),
    "scrypt": ScryptHasher(),
    "more scrypt": ScryptHasher(work_factor=2**15, parallelism=3),
    "of the application": Counting(),
    **PROFILES,
}


@pytest.mark.parametrize("hasher", CHEAP.values(), ids=CHEAP)
def test_D_01_what_costs_less_than_owasps_least_is_refused_at_the_start(hasher: Hasher) -> None:
    with pytest.raises(ConfigurationError, match="fast_passwords"):
        bare_auth(PasswordPolicy(hashers=[hasher]))
    assert bare_auth(PasswordPolicy(hashers=[hasher], for_tests=True)).passwords.policy.hashers == [hasher]


@pytest.mark.parametrize("hasher", ENOUGH.values(), ids=ENOUGH)
def test_D_01_owasps_choices_and_the_hashers_of_an_application_are_not_refused(hasher: Hasher) -> None:
    assert cheap(hasher) == ""
    assert bare_auth(PasswordPolicy(hashers=[hasher, *CHEAP.values()][:-1])).passwords.policy.hashers[0] is hasher


def test_D_01_wrapping_may_not_be_cheap_either() -> None:
    with pytest.raises(ConfigurationError, match="PBKDF2Hasher makes hashes with 1 iterations"):
        bare_auth(PasswordPolicy(hashers=[Argon2Hasher(), WrappedHasher(PBKDF2Hasher(iterations=1))]))


async def test_tests_hash_fast() -> None:
    assert (await bare_auth(fast_passwords()).passwords.hash("x" * 8)).startswith("argon2$argon2id$v=19$m=8,t=1,p=1$")


def simulated(per_mib: float) -> Any:
    """A machine that needs so many seconds for a MiB and a pass, and the more the more slots are busy."""

    def timer(hasher: Argon2Hasher, slots: int) -> float:
        made = hasher._hasher
        assert made.parallelism == 1
        assert made.memory_cost >= LEAST_MEMORY[min(made.time_cost, 5)]
        return made.memory_cost / 1024 * made.time_cost * per_mib * slots

    return timer


def test_calibrate_proposes_the_most_memory_that_the_target_allows() -> None:
    """RFC 9106, section 4: first the memory, then as many passes as there is time for."""
    found = calibrated(0.25, memory=256, slots=2, timer=simulated(0.001))
    assert (found.best.memory_cost, found.best.time_cost, found.is_within) == (98304, 1, True)
    for row in found.rows:
        assert row.memory_cost * 2 <= 256 * 1024
        assert row.seconds <= 0.25 or row.time_cost == 1
    (small,) = [row for row in found.rows if row.memory_cost == 19456]
    assert small.time_cost == 6
    assert cheap(Argon2Hasher(time_cost=found.best.time_cost, memory_cost=found.best.memory_cost)) == ""


def test_calibrate_keeps_to_the_memory_there_is() -> None:
    found = calibrated(10, memory=64, slots=4, timer=simulated(0.001))
    assert max(row.memory_cost for row in found.rows) == 12288
    assert found.best == found.rows[-1]
    with pytest.raises(ConfigurationError, match="28 MiB at least"):
        calibrated(1, memory=27, slots=4, timer=simulated(0.001))


def test_calibrate_goes_never_below_owasps_least() -> None:
    """D-01: a slow machine is told that the target is too short."""
    found = calibrated(0.01, memory=1024, slots=2, timer=simulated(0.01))
    assert found.is_within is False
    assert found.best.seconds == min(row.seconds for row in found.rows)
    assert all(row.memory_cost >= LEAST_MEMORY[min(row.time_cost, 5)] for row in found.rows)


def test_calibrate_takes_passes_back_that_cost_more_than_the_first_ones() -> None:
    def timer(hasher: Argon2Hasher, slots: int) -> float:
        return float(hasher._hasher.time_cost) ** 2

    found = calibrated(30.0, memory=7, slots=1, timer=timer)
    assert [(row.memory_cost, row.time_cost, row.seconds) for row in found.rows] == [(7168, 5, 25.0)]
    found = calibrated(50.0, memory=7, slots=1, timer=timer)
    assert [row.time_cost for row in found.rows] == [6]


@pytest.mark.parametrize("target", [0.3, 10.0])
def test_calibrate_measures_each_amount_of_memory_four_times_at_most(target: float) -> None:
    """However few passes hit the target: here never more than the least."""
    asked: list[int] = []

    def timer(hasher: Argon2Hasher, slots: int) -> float:
        made = hasher._hasher
        asked.append(made.memory_cost)
        least = min(passes for passes, memory in LEAST_MEMORY.items() if memory <= made.memory_cost)
        return target / 40 if made.time_cost == least else target * 1.01

    found = calibrated(target, memory=256, slots=1, timer=timer)
    assert max(Counter(asked).values()) == 4
    assert all(row.seconds <= target for row in found.rows)


def test_calibrate_proposes_nothing_above_the_ceiling() -> None:
    """On a machine as fast as none; the hasher itself would refuse it."""
    found = calibrated(10, memory=256, slots=1, timer=simulated(1e-9))
    assert [row.time_cost for row in found.rows][-4:] == [10, 8, 5, 4]
    assert max(row.time_cost for row in found.rows) == Argon2Hasher.max_time_cost


def test_a_real_machine_can_be_measured() -> None:
    assert seconds_of(Argon2Hasher(time_cost=1, memory_cost=8), 2) > 0
    assert len(calibrated(0.001, memory=8, slots=1).rows) == 1


async def test_preferring_wraps_as_it_hashes() -> None:
    kinds = {
        hasher: [one.outer for one in preferring(hasher) if isinstance(one, WrappedHasher)]
        for hasher in (Argon2Hasher(), PBKDF2Hasher(), PBKDF2SHA1Hasher(), ScryptHasher())
    }
    assert [[one.algorithm for one in outer] for outer in kinds.values()] == [
        ["argon2"],
        ["pbkdf2_sha256"],
        ["argon2"],
        ["argon2"],
    ]
    for hasher, (outer,) in list(kinds.items())[:2]:
        assert outer is hasher

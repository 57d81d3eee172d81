"""Named costs of hashing, and the cost below which nobody should go (D-01)."""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import ConfigurationError
from .hashers import (
    Argon2Hasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    PBKDF2Hasher,
    ScryptHasher,
    WrappedHasher,
    preferring,
)
from .policy import PasswordPolicy

__all__ = ["LEAST_MEMORY", "PROFILES", "cheap", "check_cost", "profile"]

PROFILES: Mapping[str, Argon2Hasher] = {
    "owasp": Argon2Hasher(),
    "rfc9106_low": Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=4),
    "django": Argon2Hasher(time_cost=2, memory_cost=100 * 1024, parallelism=8, salt_len=22),
}
"""OWASP's first choice for little memory; the second choice of RFC 9106, which is argon2-cffi's default; Django's."""

LEAST_MEMORY = {1: 47104, 2: 19456, 3: 12288, 4: 9216, 5: 7168}
"""KiB for so many passes, and for more than five: OWASP's equivalent choices (Password Storage Cheat Sheet), of which
ASVS 5.0, appendix C, has the first three."""
_LEAST_ITERATIONS = {"pbkdf2_sha256": 600_000, "pbkdf2_sha1": 1_300_000}
_LEAST_ROUNDS = 10
_LEAST_SCRYPT = {2**17: 1, 2**16: 2, 2**15: 3, 2**14: 5, 2**13: 10}
"""Lanes for each N, with r = 8."""


def profile(name: str) -> tuple[Hasher, ...]:
    """The hashers for `PasswordPolicy(hashers=profile("rfc9106_low"))`: Argon2id at that cost makes hashes, and every
    format that asgiauth knows verifies.

    `owasp`: 19 MiB, 2 passes, 1 lane, the default. `rfc9106_low`: 64 MiB, 3 passes, 4 lanes. `django`: 100 MiB, 2
    passes, 8 lanes, as Django's `Argon2PasswordHasher`; for Django's own order, with PBKDF2 first, there is
    `PasswordPolicy.django()`. Raises `ConfigurationError` for another name.
    """
    if name not in PROFILES:
        raise ConfigurationError(f"profile({name!r}): there are {', '.join(PROFILES)}")
    return preferring(PROFILES[name])


def check_cost(policy: PasswordPolicy) -> None:
    """Raises `ConfigurationError` when new or wrapped hashes would cost less than OWASP's least (D-01, ASVS 11.4.2)."""
    wrapping = [hasher.outer for hasher in policy.hashers if isinstance(hasher, WrappedHasher)]
    for hasher in () if policy.for_tests else (policy.hashers[0], *wrapping):
        if reason := cheap(hasher):
            raise ConfigurationError(
                f"{type(hasher).__name__} makes hashes with {reason}: whoever steals them guesses passwords fast. "
                "Leave PasswordPolicy(hashers=...) out; asgiauth.testing.fast_passwords() is for tests"
            )


def cheap(hasher: Hasher) -> str:
    """What is less than OWASP's least, in words; blank if nothing is, or for a hasher that is not ours."""
    match hasher:
        case Argon2Hasher(_hasher=made):
            least = LEAST_MEMORY[min(made.time_cost, 5)]
            few = made.memory_cost < least
            return (
                f"{made.memory_cost} KiB of memory for {made.time_cost} passes, and OWASP asks for {least}"
                if few
                else ""
            )
        case PBKDF2Hasher(iterations=iterations):
            least = _LEAST_ITERATIONS.get(hasher.algorithm, 0)
            return f"{iterations} iterations, and OWASP asks for {least}" if iterations < least else ""
        case BCryptSHA256Hasher(rounds=rounds):
            return f"a work factor of {rounds}, and OWASP asks for {_LEAST_ROUNDS}" if rounds < _LEAST_ROUNDS else ""
        case ScryptHasher(work_factor=work, block_size=block, parallelism=lanes):
            enough = any(
                work >= least and block >= 8 and lanes >= least_lanes for least, least_lanes in _LEAST_SCRYPT.items()
            )
            return "" if enough else "a work factor below OWASP's choices"
        case MD5Hasher() | WrappedHasher():
            return "a digest that is no password hash"
    return ""

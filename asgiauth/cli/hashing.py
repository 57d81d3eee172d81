"""Is what hashes new passwords good enough? Ours are asked for their cost, an application's own is tried."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Sequence

from ..checks import Finding
from ..passwords.hashers import Hasher, WrappedHasher
from ..passwords.profiles import cheap

__all__ = ["of_hashers"]

_PROBE = "a quick brown probe 7"
_LEAST_SECONDS = 0.001
"""What guards a password takes tens of milliseconds (OWASP), and a digest some microseconds."""


def of_hashers(hashers: Sequence[Hasher]) -> Iterator[Finding]:
    """Of those that write: the first, and those that `passwords wrap` hashes old hashes with. Others only verify."""
    wrapping = [hasher.outer for hasher in hashers if isinstance(hasher, WrappedHasher)]
    for hasher in (hashers[0], *wrapping):
        if reason := cheap(hasher):
            yield _cheap(f"{type(hasher).__name__} makes hashes with {reason}")
        elif not type(hasher).__module__.startswith("asgiauth."):
            yield from _of_stranger(hasher)


def _of_stranger(hasher: Hasher) -> Iterator[Finding]:
    name = type(hasher).__name__
    began = time.perf_counter()
    first = hasher.encode(_PROBE)
    seconds = [time.perf_counter() - began]
    if any(spelling in first for spelling in _spellings()):
        yield Finding(
            "hashing_plain",
            "error",
            f"{name} stores passwords as they are: a stolen database gives them all away.",
            "Leave PasswordPolicy(hashers=...) out.",
        )
        return
    for _ in range(2):  # the fastest counts: a machine that is busy is not a dear hash
        began = time.perf_counter()
        again = hasher.encode(_PROBE)
        seconds.append(time.perf_counter() - began)
    if again == first:
        yield Finding(
            "hashing_unsalted",
            "error",
            f"{name} makes the same hash of the same password each time: one table breaks them all.",
            "Leave PasswordPolicy(hashers=...) out, or salt each hash with at least 128 random bits.",
        )
    if min(seconds) < _LEAST_SECONDS:
        yield _cheap(f"{name} makes a hash in less than a thousandth of a second")


def _spellings() -> list[str]:
    raw = _PROBE.encode()
    digests = [
        hashlib.new(name, raw, usedforsecurity=False).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")
    ]
    return [_PROBE, _PROBE[::-1], raw.hex(), base64.b64encode(raw).decode().rstrip("="), *digests]


def _cheap(what: str) -> Finding:
    return Finding(
        "hashing_cheap",
        "error",
        f"{what}: a stolen database gives its passwords away.",
        "Leave PasswordPolicy(hashers=...) and (for_tests=...) out; asgiauth.testing.fast_passwords() is for tests.",
    )

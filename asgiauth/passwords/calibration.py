"""Which cost of Argon2id this machine can afford."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from ..exceptions import ConfigurationError
from .hashers import Argon2Hasher
from .profiles import LEAST_MEMORY

__all__ = ["Calibration", "Measured", "Timer", "calibrated", "seconds_of"]

Timer = Callable[[Argon2Hasher, int], float]
"""Seconds that a hash takes while so many are made at once."""

_MEMORY = (7168, 9216, 12288, 19456, 32768, 47104, 65536, 98304, 131072, 196608, 262144)
"""KiB: OWASP's choices, and more up to what `Argon2Hasher` will run."""
_MEASUREMENTS = 4
"""Of each amount of memory, at most."""
_ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """A cost of Argon2id with one lane: more of them would only fight for the processors of a busy server (D-01).
    `memory_cost` in KiB."""

    memory_cost: int
    time_cost: int
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """`rows`: for each amount of memory as many passes as the target allows. `best`: of those within it the one with
    the most memory, as RFC 9106, section 4, chooses; where none is, the cheapest that OWASP allows."""

    slots: int
    rows: Sequence[Measured]
    best: Measured
    is_within: bool


def calibrated(target: float, *, memory: int, slots: int, timer: Timer | None = None) -> Calibration:
    """Measures, and proposes. `target`: seconds that a hash may take while all `slots` are busy; `memory`: MiB that all
    of them may take together. Each amount of memory is measured four times at most, mostly twice, in three rounds: that
    takes some fifty times `target` in all, and is nothing for an event loop.

    Never less than OWASP's least (D-01). Raises `ConfigurationError` where `memory` is too little even for that.
    """
    affordable = [cost for cost in _MEMORY if cost * slots <= memory * 1024]
    if not affordable:
        raise ConfigurationError(
            f"{slots} hashes at once need {slots * min(_MEMORY) // 1024} MiB at least: allow more memory or fewer slots"
        )
    rows = [_row(cost, target, slots, timer or seconds_of) for cost in affordable]
    within = [row for row in rows if row.seconds <= target]
    best = within[-1] if within else min(rows, key=lambda row: row.seconds)
    return Calibration(slots, rows, best, bool(within))


def seconds_of(hasher: Argon2Hasher, slots: int) -> float:
    """The shortest of a few rounds: whatever else the machine does makes it longer."""

    def work(_: int) -> None:
        hasher.encode("correct horse battery staple")

    times = []
    with ThreadPoolExecutor(slots) as threads:
        for _ in range(_ROUNDS):
            began = perf_counter()
            list(threads.map(work, range(slots)))
            times.append(perf_counter() - began)
    return min(times)


def _row(memory_cost: int, target: float, slots: int, timer: Timer) -> Measured:
    least = min(passes for passes, memory in LEAST_MEMORY.items() if memory <= memory_cost)

    def measure(passes: int) -> Measured:
        return Measured(memory_cost, passes, timer(Argon2Hasher(time_cost=passes, memory_cost=memory_cost), slots))

    row = measure(least)
    most = min(Argon2Hasher.max_time_cost, Argon2Hasher.max_work // memory_cost)
    passes = min(most, int(least * target / row.seconds))
    for _ in range(_MEASUREMENTS - 1):
        if passes <= least:
            break
        more = measure(passes)
        if more.seconds <= target:
            return more
        # the time of a pass is not quite the same for many: between the two that were measured
        share = (target - row.seconds) / (more.seconds - row.seconds)
        passes = min(passes - 1, least + int((passes - least) * share))
    return row

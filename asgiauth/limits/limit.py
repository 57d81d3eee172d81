"""What a limit is, and what a store of limits must do.

A limit is a bucket that leaks (GCRA): each reservation fills it by one place, and it empties evenly, one place each
`per / count`. So never more than `count` at once, `count` in each `per` in the long run, and no moment at which the
whole count is free again, as at the edge of a fixed window. All that has to be kept is one number, when the bucket will
be empty, which one conditional statement can compare and raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from ..exceptions import ConfigurationError

__all__ = ["Limit", "LimitStore", "Place"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Limit:
    """`Limit(5, timedelta(minutes=15))`: five at once, then one each three minutes. Raises `ConfigurationError` for
    less than one, and for no span of time."""

    count: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or self.per <= timedelta(0):
            raise ConfigurationError(f"{self}: give a count of at least 1, and a span of time longer than nothing")

    @property
    def step(self) -> int:
        """Microseconds after which one more place is free; rounded up."""
        return -(-(self.per // _MICROSECOND) // self.count)


@dataclass(frozen=True)
class Place:
    """One place in the bucket called `key`, 32 bytes that do not tell whose it is. It fills the bucket for `step`
    microseconds, and fits if the bucket is empty `room` microseconds from now at the latest."""

    key: bytes
    step: int
    room: int


class LimitStore(Protocol):
    """Where buckets are kept. It does not know what time it is: `now` is in microseconds since 1970 UTC. Raises
    `Unavailable` when it cannot answer."""

    async def take(self, places: Sequence[Place], now: int) -> int:
        """Takes all of the places, as one step that nothing comes between, or none of them: 0, or the microseconds
        until they would fit."""

    async def give_back(self, places: Sequence[Place], now: int) -> None:
        """Makes the buckets, as far as they are not empty, emptier by these places."""

    async def purge(self, now: int) -> int:
        """Forgets the buckets that are empty; how many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .limit import Place

__all__ = ["LocalLimits"]

MAX_KEYS = 10_000
_FULL = 1_000_000
"""Microseconds to wait where there is no room for one more bucket."""


class LocalLimits:
    """Buckets in the memory of this process: what holds while the database does not answer. At most `max_keys` that are
    not empty; beyond that, whoever is not known yet is refused."""

    def __init__(self, *, max_keys: int = MAX_KEYS) -> None:
        self._empty_at: dict[bytes, int] = {}
        self._max_keys = max_keys
        self._full_until = 0

    async def take(self, places: Sequence[Place], now: int) -> int:
        taken: dict[bytes, int] = {}
        wait = 0
        for place in places:
            empty_at = max(now, taken.get(place.key) or self._empty_at.get(place.key, 0))
            wait = max(wait, empty_at - now - place.room)
            taken[place.key] = empty_at + place.step
        if not wait and not self._has_room(taken.keys(), now):
            wait = _FULL
        if not wait:
            self._empty_at |= taken
        return wait

    def _has_room(self, keys: Collection[bytes], now: int) -> bool:
        new = len(set(keys) - self._empty_at.keys())
        if new and len(self._empty_at) + new > self._max_keys and now >= self._full_until:
            self._purge(now)  # looks at every bucket: not for each of a flood of strangers
            self._full_until = now + _FULL
        return not new or len(self._empty_at) + new <= self._max_keys

    async def give_back(self, places: Sequence[Place], now: int) -> None:
        for place in places:
            if self._empty_at.get(place.key, 0) > now:
                self._empty_at[place.key] -= place.step

    async def purge(self, now: int) -> int:
        return self._purge(now)

    def _purge(self, now: int) -> int:
        empty = [key for key, empty_at in self._empty_at.items() if empty_at <= now]
        for key in empty:
            del self._empty_at[key]
        return len(empty)

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..db import SerializationFailure
from ..exceptions import TooManyAttempts, Unavailable
from .limit import Limit, LimitStore, Place
from .local import LocalLimits

__all__ = ["Limits", "Reservation"]

logger = logging.getLogger("asgiauth")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAUSE = timedelta(seconds=1)
"""For so long the store is not asked after it has failed (T16: it is back within 2 s)."""
_TOLD_EVERY = timedelta(minutes=1)
_PAUSES_WHEN_BUSY = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Seconds at most, beyond the tries of the unit of work itself."""


@dataclass(eq=False)
class Reservation:
    """Places that were taken: `places`, in which `store`, and when, in microseconds since 1970 UTC."""

    places: tuple[Place, ...]
    store: LimitStore
    at: int


class Limits:
    """`core.limits`: how often something may be tried. Reserve before it is tried, not after: of fifty at once no more
    pass than are allowed (D-16).

        reservation = await core.limits.reserve(f"pin:{user.id}", Limit(5, timedelta(minutes=15)))
        if await verify(pin):
            await core.limits.refund(reservation)

    Kept in the database, so that all processes count together. While that does not answer, each process counts for
    itself, by the same limits (D-23). A key is stored as a MAC, from which no name and no address can be read, not even
    by trying all of them.
    """

    def __init__(self, store: LimitStore, *, mac: Callable[[bytes], bytes], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._local = LocalLimits()
        self._mac = mac
        self._clock = clock
        self._failed_at = self._told_at = datetime.min.replace(tzinfo=UTC)

    async def reserve(self, key: str, limit: Limit) -> Reservation:
        """Takes one place of what `key` names. The same key under another limit is another bucket.

        Raises `TooManyAttempts` where none is free, `retry_after` seconds before one is; `RuntimeError` inside of a
        unit of work, which could roll it back; `NotReady` before the database is connected and has its tables.
        """
        return await self.reserve_all([(key, limit)])

    async def reserve_all(self, wanted: Sequence[tuple[str, Limit]]) -> Reservation:
        """Takes one place of each, or none at all: a name's and an address's, a minute's and an hour's. Raises as
        `reserve` does, with the longest of the waits."""
        places = tuple(self._place(key, limit) for key, limit in wanted)
        now = self._clock()
        store, wait = await self._take(places, now)
        if wait:
            raise TooManyAttempts(retry_after=-(-wait // 1_000_000))
        return Reservation(places, store, _microseconds(now))

    async def refund(self, reservation: Reservation) -> None:
        """Gives the places back, once; one that has become free by itself meanwhile is not given back again. Never
        raises for a database that does not answer: then they stay taken."""
        now = self._clock()
        elapsed = _microseconds(now) - reservation.at
        places = [place for place in reservation.places if elapsed < place.step]
        reservation.places = ()
        if not places:
            return
        try:
            await reservation.store.give_back(places, _microseconds(now))
        except Unavailable as error:
            self._tell(error, now)

    async def purge_expired(self) -> int:
        """Forgets what limits nobody any more; how many. Raises `Unavailable` when the database cannot answer."""
        now = _microseconds(self._clock())
        await self._local.purge(now)
        return await self._store.purge(now)

    async def _take(self, places: Sequence[Place], now: datetime) -> tuple[LimitStore, int]:
        if not timedelta(0) <= now - self._failed_at < _PAUSE:  # a clock that was set back does not keep it out
            try:
                return self._store, await self._take_stored(places, _microseconds(now))
            except SerializationFailure:  # it is busy, not away: who is refused may try again, nobody is let through
                raise
            except Unavailable as error:
                self._failed_at = now
                self._tell(error, now)
        return self._local, await self._local.take(places, _microseconds(now))

    async def _take_stored(self, places: Sequence[Place], now: int) -> int:
        """MariaDB lets one of two that insert the same key at once wait, and sacrifices the other."""
        for pause in _PAUSES_WHEN_BUSY:
            with suppress(SerializationFailure):
                return await self._store.take(places, now)
            await asyncio.sleep(pause)
        return await self._store.take(places, now)

    def _tell(self, error: Exception, now: datetime) -> None:
        if not timedelta(0) <= now - self._told_at < _TOLD_EVERY:
            self._told_at = now
            logger.error("limits count in each process for itself, until the database answers: %s", error)

    def _place(self, key: str, limit: Limit) -> Place:
        name = f"{limit.count}/{limit.per // _MICROSECOND}:{key}"
        digest = self._mac(name.encode("utf-8", "surrogatepass"))  # whatever a client has typed
        return Place(digest, limit.step, limit.step * (limit.count - 1))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND

"""How often something may be tried: counted before it is, given back where it was right."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from asgiauth import Auth
from asgiauth.db import SerializationFailure
from asgiauth.exceptions import ConfigurationError, NotReady, TooManyAttempts, Unavailable
from asgiauth.limits import Limit, Limits, LimitStore, LocalLimits, Place, SqlLimits, network_of
from asgiauth.testing import Clock

from ..conftest import make_auth
from ..databases import SERVERS, create_database, drop_database
from ..login.helpers import Extension
from ..sites import run

FIVE = Limit(5, timedelta(minutes=15))
KEYS = [bytes([number]) * 32 for number in range(3)]
NOW = 1_800_000_000_000_000


@pytest.fixture(params=["local", *SERVERS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LimitStore]:
    """Each implementation; the database's on each server."""
    if request.param == "local":
        yield LocalLimits()
        return
    name = f"asgiauth_{secrets.token_hex(6)}"
    async with make_auth(await create_database(request.param, name, tmp_path)) as auth:
        await auth.create_tables()
        yield SqlLimits(auth._database, auth.tables.limit)
    await drop_database(request.param, name)


def a_place(key: bytes = KEYS[0], *, count: int = 3, step: int = 10) -> Place:
    return Place(key, step, step * (count - 1))


async def takes(store: LimitStore, *moments: int, place: Place | None = None) -> list[int]:
    """What each attempt is told, at these microseconds after NOW."""
    return [await store.take([place or a_place()], NOW + moment) for moment in moments]


async def test_a_store_takes_no_more_than_there_is_room_for(store: LimitStore) -> None:
    """At once the whole count; then one more for each step that has passed, and never two counts at an edge."""
    assert await takes(store, 0, 0, 0, 0, 0) == [0, 0, 0, 10, 10]
    assert await takes(store, 1, 9, 10, 10) == [9, 1, 0, 10]
    assert await takes(store, 30, 30, 30) == [0, 0, 10]
    assert await takes(store, 1_000, 1_000, 1_000, 1_000) == [0, 0, 0, 10]


async def test_a_store_keeps_one_bucket_for_each_key(store: LimitStore) -> None:
    assert await takes(store, 0, 0, place=a_place(KEYS[1], count=1)) == [0, 10]
    assert await takes(store, 0, 0, place=a_place(KEYS[2], count=1)) == [0, 10]


async def test_a_store_takes_all_of_several_places_or_none(store: LimitStore) -> None:
    """And tells the longest of the waits."""
    one, two, three = (a_place(key, count=1, step=step) for key, step in zip(KEYS, (10, 20, 30), strict=True))
    assert await takes(store, 0, place=two) == [0]
    assert await store.take([one, two, three], NOW) == 20
    assert await store.take([three, one], NOW) == 0
    assert await store.take([one, two, three], NOW) == 30
    assert await store.take([], NOW) == 0


async def test_a_store_counts_a_key_that_is_wanted_twice_twice(store: LimitStore) -> None:
    assert await store.take([a_place(count=1), a_place(count=1)], NOW) > 0
    assert await store.take([a_place(count=2), a_place(count=2)], NOW) == 0
    assert await takes(store, 0, place=a_place(count=2)) == [10]


async def test_a_store_gives_back_what_is_still_taken(store: LimitStore) -> None:
    """And makes no bucket emptier than empty, nor one that is not there."""
    assert await takes(store, 0, 0, 0, 0) == [0, 0, 0, 10]
    await store.give_back([a_place()], NOW)
    assert await takes(store, 0, 0) == [0, 10]
    await store.give_back([a_place(), a_place(KEYS[1])], NOW + 30)
    assert await takes(store, 30, 30, 30, 30) == [0, 0, 0, 10]
    assert await takes(store, 30, 30, place=a_place(KEYS[1], count=1)) == [0, 10]


async def test_a_store_forgets_what_is_empty(store: LimitStore) -> None:
    await takes(store, 0, 0)
    await takes(store, 0, place=a_place(KEYS[1]))
    assert await store.purge(NOW + 9) == 0
    assert await store.purge(NOW + 10) == 1
    assert await takes(store, 10, 10, 10) == [0, 0, 10]
    assert await store.purge(NOW + 1_000) == 1
    assert await store.purge(NOW + 1_000) == 0


async def test_memory_is_bounded_and_who_is_new_is_refused_when_it_is_full() -> None:
    store = LocalLimits(max_keys=2)
    assert [await store.take([a_place(key)], NOW) for key in KEYS] == [0, 0, 1_000_000]
    assert await store.take([a_place(KEYS[0])], NOW) == 0
    assert await store.take([a_place(KEYS[2])], NOW + 10) == 1_000_000  # it is looked through once a second at most
    later = NOW + 1_000_000
    assert await store.take([a_place(KEYS[2])], later) == 0  # the first two are empty again by then
    assert await store.take([a_place(KEYS[1])], later) == 0
    assert await store.take([a_place(KEYS[0])], later) == 1_000_000


def test_a_limit_never_allows_a_fraction_more() -> None:
    """The step is rounded up, and the room is that of `count` whole steps."""
    assert Limit(60, timedelta(minutes=1)).step == 1_000_000
    assert Limit(3, timedelta(seconds=1)).step == 333_334
    assert Limit(6, timedelta(microseconds=10)).step == 2


@pytest.mark.parametrize(("count", "per"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_a_limit_that_limits_nothing_is_a_configuration_error(count: int, per: int) -> None:
    with pytest.raises(ConfigurationError, match="count of at least 1"):
        Limit(count, timedelta(seconds=per))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_D16_a_client_is_its_ipv4_address_or_the_64_bits_that_are_its_own(address: str, network: str) -> None:
    """Where it cannot be told, all are one."""
    assert network_of(address) == network


class Broken:
    """A store that answers while `down` is False, and notes each question."""

    def __init__(self) -> None:
        self.down = True
        self.asked = 0
        self._store = LocalLimits()

    async def take(self, places: Sequence[Place], now: int) -> int:
        self._ask()
        return await self._store.take(places, now)

    async def give_back(self, places: Sequence[Place], now: int) -> None:
        self._ask()
        await self._store.give_back(places, now)

    async def purge(self, now: int) -> int:
        self._ask()
        return await self._store.purge(now)

    def _ask(self) -> None:
        self.asked += 1
        if self.down:
            raise Unavailable("the store is down")


class Busy(LocalLimits):
    """Sacrifices the first transactions to others, as MariaDB does: more often than a test could make it."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def take(self, places: Sequence[Place], now: int) -> int:
        self.times -= 1
        if self.times >= 0:
            raise SerializationFailure("the transaction met another one; try again")
        return await super().take(places, now)


def limits_on(store: LimitStore, clock: Clock) -> Limits:
    return Limits(store, mac=lambda name: name[-32:].rjust(32), clock=clock)


async def refused(limits: Limits, key: str = "ann", limit: Limit = FIVE) -> int:
    """The seconds to wait."""
    with pytest.raises(TooManyAttempts) as caught:
        await limits.reserve(key, limit)
    return caught.value.retry_after


async def test_D16_five_then_none_then_one_at_a_time(auth: Auth) -> None:
    limits, clock = auth._limits, Clock()
    limits._clock = clock
    for _ in range(5):
        await limits.reserve("ann", FIVE)
    assert await refused(limits) == 180
    clock.advance(seconds=179.5)
    assert await refused(limits) == 1
    clock.advance(seconds=0.5)
    await limits.reserve("ann", FIVE)
    assert await refused(limits) == 180
    await limits.reserve("bob", FIVE)
    await limits.reserve("ann", Limit(6, FIVE.per))  # another limit is another bucket


async def test_D16_a_store_that_is_busy_is_asked_again_and_nobody_is_let_through_by_another_count() -> None:
    limits = limits_on(Busy(5), Clock())
    for _ in range(5):
        await limits.reserve("ann", FIVE)
    assert await refused(limits) == 180
    with pytest.raises(Unavailable, match="try again"):
        await limits_on(Busy(6), Clock()).reserve("ann", FIVE)


async def test_a_refund_counts_once_and_only_while_it_is_one() -> None:
    """A success gives back its own place, and no other one, however often it is said."""
    clock = Clock()
    limits = limits_on(LocalLimits(), clock)
    first, *others = [await limits.reserve("ann", FIVE) for _ in range(5)]
    await limits.refund(first)
    await limits.refund(first)
    await limits.reserve("ann", FIVE)
    assert await refused(limits) == 180
    clock.advance(minutes=3)  # one has become free by itself: whose, nobody can tell
    await limits.refund(others[0])
    await limits.reserve("ann", FIVE)
    assert await refused(limits) == 180


async def test_several_are_reserved_together_or_not_at_all(auth: Auth) -> None:
    """A name's, its address's by the minute and by the hour: whoever one refuses spends nothing of the others."""
    limits = auth._limits
    minute, hour = Limit(20, timedelta(minutes=5)), Limit(1, timedelta(hours=1))
    reservation = await limits.reserve_all([("ann", FIVE), ("203.0.113.7", minute), ("203.0.113.7", hour)])
    for _ in range(9):
        with pytest.raises(TooManyAttempts) as caught:
            await limits.reserve_all([("ann", FIVE), ("203.0.113.7", minute), ("203.0.113.7", hour)])
        assert 3590 < caught.value.retry_after <= 3600
    await limits.refund(reservation)
    await limits.reserve_all([("ann", FIVE), ("203.0.113.7", minute), ("203.0.113.7", hour)])
    for _ in range(4):
        await limits.reserve("ann", FIVE)
    assert await refused(limits) <= 180


async def test_D23_while_the_store_is_down_each_process_counts_by_the_same_limits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line a minute in the log; the store is asked again within two seconds (T16)."""
    store, clock = Broken(), Clock()
    limits = limits_on(store, clock)
    with caplog.at_level(logging.INFO, "asgiauth"):
        reservations = [await limits.reserve("ann", FIVE) for _ in range(5)]
        assert await refused(limits) == 180
        assert store.asked == 1  # in this second, whoever comes does not wait for it
        clock.advance(seconds=1)
        assert await refused(limits) == 179
        assert store.asked == 2
        await limits.refund(reservations[0])
        await limits.reserve("ann", FIVE)
        clock.advance(seconds=58.9)
        assert await refused(limits) == 121
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == (
        "ERROR",
        "limits count in each process for itself, until the database answers: the store is down",
    )
    clock.advance(seconds=0.1)
    assert await refused(limits) == 120
    clock.advance(seconds=1)
    assert await refused(limits) == 119
    assert len(caplog.records) == 2
    store.down = False
    clock.advance(seconds=1)
    await limits.reserve("ann", FIVE)
    asked = store.asked
    await limits.refund(reservations[1])  # where it was taken: in the memory of this process
    assert store.asked == asked


async def test_a_clock_that_is_set_back_does_not_keep_the_store_out() -> None:
    store, clock = Broken(), Clock()
    limits = limits_on(store, clock)
    await limits.reserve("ann", FIVE)
    clock.advance(hours=-1)
    store.down = False
    await limits.reserve("ann", FIVE)
    assert store.asked == 2


async def test_a_refund_that_the_store_cannot_take_leaves_the_place_taken(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = Broken(), Clock()
    limits = limits_on(store, clock)
    store.down = False
    reservation = await limits.reserve("ann", Limit(1, FIVE.per))
    store.down = True
    await limits.refund(reservation)
    assert "the store is down" in caplog.text
    store.down = False
    assert await refused(limits, limit=Limit(1, FIVE.per)) == 900


async def test_what_is_purged_is_both_here_and_there() -> None:
    store, clock = Broken(), Clock()
    limits = limits_on(store, clock)
    await limits.reserve("ann", FIVE)
    store.down = False
    clock.advance(seconds=1)
    await limits.reserve("ann", FIVE)
    await limits.reserve("bob", FIVE)
    clock.advance(hours=1)
    assert await limits.purge_expired() == 2
    assert limits._local._empty_at == {}


async def test_no_name_and_no_address_is_in_the_database(auth: Auth, url: str) -> None:
    """Nor their SHA-256, which who has a copy could find by trying all names and addresses."""
    feature = Extension()
    own = make_auth(url, features=[feature])
    async with own:
        await feature.core.limits.reserve("ann@site.example", FIVE)
        await feature.core.limits.reserve("203.0.113.7", FIVE)
        await feature.core.limits.reserve("\ud800", FIVE)  # whatever a client types
    other = make_auth(url, secret_keys=["8fFQb0nZk1bqhQ5s2RrGdJYV7XoM3uTtCwLPeAiDxEg"], features=[feature])
    async with other:
        await feature.core.limits.reserve("203.0.113.7", FIVE)
    rows = await run(url, select(auth.tables.limit))
    assert len({row["key"] for row in rows}) == 4
    assert all(len(row["key"]) == 32 and b"ann" not in row["key"] for row in rows)


async def test_before_there_is_a_table_nothing_is_limited_and_nothing_is_let_through(sqlite_url: str) -> None:
    """Forgotten `create_tables()` is a mistake of the set-up, and no outage: it must not go unseen."""
    auth: Any = make_auth(sqlite_url)
    with pytest.raises(NotReady, match="not connected"):
        await auth._limits.reserve("ann", FIVE)
    async with auth:
        with pytest.raises(NotReady, match="create_tables"):
            await auth._limits.reserve("ann", FIVE)

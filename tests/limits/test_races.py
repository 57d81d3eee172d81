"""Reservations that meet: each other, a transaction of the caller, a database that does not answer."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asgiauth import Auth
from asgiauth.exceptions import TooManyAttempts
from asgiauth.limits import Limit, Limits, LocalLimits, SqlLimits
from asgiauth.testing import Clock

from ..conftest import make_auth
from ..contracts.conftest import app_database
from ..databases import engine_url
from ..sites import count

FIVE = Limit(5, timedelta(minutes=15))
TEN = Limit(10, timedelta(hours=1))


async def admitted(*attempts: Any) -> list[bool]:
    """Which of them, all at once."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    others = [result for result in results if isinstance(result, BaseException)]
    assert [error for error in others if not isinstance(error, TooManyAttempts)] == []
    return [not isinstance(result, BaseException) for result in results]


@pytest.fixture
async def processes(url: str, auth: Auth) -> Any:
    """Four, on one database: each with connections of its own, two of them SQLAlchemy's."""
    engines = [create_async_engine(engine_url(url)) for _ in range(2)]
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(make_auth(database)) for database in (url, url, *engines)]
    for engine in engines:
        await engine.dispose()


def counts_locally(auth: Auth) -> bool:
    return bool(auth._limits._local._empty_at)


async def test_T13_of_fifty_at_once_exactly_five_are_admitted(processes: list[Auth]) -> None:
    """In four processes, three times over; not one of them counts for itself."""
    for attempt in range(3):
        wanted = [processes[number % 4]._limits.reserve(f"name {attempt}", FIVE) for number in range(50)]
        assert sum(await admitted(*wanted)) == 5
    assert not any(map(counts_locally, processes))


async def test_T13_fifty_at_once_for_two_limits_spend_both_alike(processes: list[Auth]) -> None:
    """In whichever order they name them. Nothing is spent by those that are refused."""
    orders = [[("name", FIVE), ("address", TEN)], [("address", TEN), ("name", FIVE)]]
    wanted = [processes[number % 4]._limits.reserve_all(orders[number % 2]) for number in range(50)]
    assert sum(await admitted(*wanted)) == 5
    assert sum(await admitted(*(one._limits.reserve("address", TEN) for one in processes * 5))) == 5
    assert not any(map(counts_locally, processes))


async def test_T13_refunds_at_the_same_time_neither_win_nor_lose_a_place(processes: list[Auth]) -> None:
    """Twenty succeed and give back, while four fail."""

    async def succeed(limits: Limits) -> None:
        await limits.refund(await limits.reserve("ann", TEN))

    failing = [one._limits.reserve("ann", TEN) for one in processes]
    taken = sum((await admitted(*failing, *(succeed(one._limits) for one in processes * 5)))[:4])
    assert sum(await admitted(*(one._limits.reserve("ann", TEN) for one in processes * 5))) == 10 - taken


async def test_purging_meanwhile_lets_nobody_in_twice(processes: list[Auth]) -> None:
    purge, *others = processes
    wanted = [one._limits.reserve("ann", FIVE) for one in others * 10]
    await asyncio.gather(*(purge._limits.purge_expired() for _ in range(10)))
    assert sum(await admitted(*wanted, *(purge._limits.purge_expired() for _ in range(10)))) == 15


async def test_a_reservation_inside_of_a_unit_of_work_is_refused(auth: Auth, url: str) -> None:
    """It would be rolled back with it: an attacker's tries would not count."""
    async with auth._database.unit():
        with pytest.raises(RuntimeError, match="reserve before it begins"):
            await auth._limits.reserve("ann", FIVE)
    engine = create_async_engine(engine_url(url))
    try:
        async with AsyncSession(engine) as session, auth.joined(session):
            with pytest.raises(RuntimeError, match=r"outside of auth\.joined"):
                await auth._limits.reserve("ann", FIVE)
    finally:
        await engine.dispose()
    assert await count(url, auth.tables.limit) == 0


async def test_a_refund_inside_of_a_unit_of_work_is_part_of_it(auth: Auth) -> None:
    """Rolled back, the place stays taken."""
    once = Limit(1, timedelta(hours=1))
    reservation = await auth._limits.reserve("ann", once)
    with pytest.raises(KeyError):
        async with auth._database.unit():
            await auth._limits.refund(reservation)
            raise KeyError
    assert await admitted(auth._limits.reserve("ann", once)) == [False]
    second = await auth._limits.reserve("bob", once)
    async with auth._database.unit():
        await auth._limits.refund(second)
    assert await admitted(auth._limits.reserve("bob", once)) == [True]


async def test_a_reservation_outlives_a_transaction_of_the_application(url: str) -> None:
    """Which is rolled back around it: it stands on a connection of its own."""
    database = app_database(url)
    async with make_auth(database) as auth:
        await auth.create_tables()
        with pytest.raises(KeyError):
            async with database.transaction():
                await auth._limits.reserve("ann", FIVE)
                raise KeyError
        assert await count(url, auth.tables.limit) == 1
        assert not counts_locally(auth)


async def test_a_cancelled_reservation_costs_no_connection(auth: Auth) -> None:
    for _ in range(5):
        task = asyncio.create_task(auth._limits.reserve("ann", TEN))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert sum(await admitted(*(auth._limits.reserve("bob", FIVE) for _ in range(20)))) == 5


async def test_D23_a_database_that_is_locked_leaves_the_limits_of_this_process(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really locked, by somebody else; back again, the database counts on."""
    monkeypatch.setattr("asgiauth.db.sources._PATIENCE", 50)
    clock = Clock()
    async with make_auth(sqlite_url, clock=clock) as auth:
        await auth.create_tables()
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            here = [await auth._limits.reserve("ann", FIVE) for _ in range(5)]
            assert await admitted(auth._limits.reserve("ann", FIVE)) == [False]
            assert {type(reservation.store) for reservation in here} == {LocalLimits}
            other.execute("ROLLBACK")
        clock.advance(seconds=1)
        assert isinstance((await auth._limits.reserve("ann", FIVE)).store, SqlLimits)

"""What the seam promises to many tasks at once, and to those that are cancelled or fail."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import anyio
import pytest
from sqlalchemy import (
    Delete,
    Update,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asgiauth.db import Database
from asgiauth.db.schema import create_tables
from asgiauth.exceptions import ConfigurationError, Conflict, Unavailable

from .conftest import assert_pool_is_whole, connected, open_transactions, within
from .tables import item, late, metadata, owner


async def test_a_unit_is_seen_by_its_own_task_alone(source: Database) -> None:
    """Others read what was there before, and a task started inside the unit does not share it."""

    async def names() -> list[str]:
        return [row["name"] for row in await source.fetch(select(item.c.name))]

    async with source.unit() as unit:
        await unit.insert(item, {"name": "new"})
        assert await names() == ["new"]
        assert await within(30, names()) == []
    assert await within(30, names()) == ["new"]


@pytest.mark.parametrize("spend", ["update", "delete"])
async def test_a_token_raced_by_50_tasks_has_one_winner(source: Database, spend: str) -> None:
    """Spent by one conditional statement with an exact row count."""
    statements: dict[str, Update | Delete] = {
        "update": update(item).where(item.c.name == "token", item.c.amount == 7).values(amount=0),
        "delete": item.delete().where(item.c.name == "token"),
    }
    async with source.unit() as unit:
        await unit.insert(item, {"name": "token"})

    async def race() -> int:
        async with source.unit() as unit:
            return await unit.changed(statements[spend])

    assert sorted(await asyncio.gather(*(race() for _ in range(50)))) == [0] * 49 + [1]


async def test_32_concurrent_increments_are_32(source: Database) -> None:
    """Read, modify and write in a unit: none is lost, none is refused, over a pool of three or one writer."""
    async with source.unit() as unit:
        await unit.insert(item, {"name": "counter", "amount": 0})

    async def increment() -> None:
        async with source.unit() as unit:
            row = await unit.row(select(item.c.amount).with_for_update())
            assert row is not None
            await unit.changed(update(item).values(amount=row["amount"] + 1))

    await asyncio.gather(*(increment() for _ in range(32)))
    assert await source.fetch(select(item.c.amount)) == [{"amount": 32}]


async def test_500_cancellations_lose_no_connection(source: Database, shared_url: str) -> None:
    """At random points of units and reads, by asyncio and anyio: then every connection of the pool works, no
    transaction is open on the server, no unit was half done, and disconnecting does not hang."""
    random = Random(500)

    async def unit(number: int) -> None:
        async with source.unit() as unit:
            key = await unit.insert(item, {"name": f"{number} a", "amount": number})
            await source.fetch(select(item).where(item.c.amount == number))
            async with source.unit():
                await unit.changed(update(item).where(item.c.id == key).values(revision=1))
            await unit.insert(item, {"name": f"{number} b", "amount": number})

    async def read(_: int) -> None:
        await source.fetch(select(item).limit(5))

    async def cancelled(number: int) -> None:
        work = unit if number % 3 else read
        delay = random.random() * 0.02
        match number % 4:
            case 0:
                task = asyncio.create_task(work(number))
                await asyncio.sleep(delay)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
            case 1:
                with anyio.move_on_after(delay):
                    await work(number)
            case 2:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await work(number)
            case _:
                async with anyio.create_task_group() as group:
                    group.start_soon(work, number)
                    await asyncio.sleep(delay)
                    group.cancel_scope.cancel()

    async def worker(first: int) -> None:
        for number in range(first, 500, 10):
            await cancelled(number)

    async def workers() -> None:
        await asyncio.gather(*(worker(first) for first in range(10)))

    await within(100, workers())
    await assert_pool_is_whole(source)
    rows = await source.fetch(select(item.c.amount, func.count().label("n")).group_by(item.c.amount))
    assert {row["n"] for row in rows} <= {2}
    assert len(rows) < 450
    assert await open_transactions(shared_url) == 0
    await within(30, source.disconnect())


async def test_a_cancellation_while_a_nested_unit_ends_breaks_nothing(source: Database) -> None:
    """A savepoint whose release has begun is released; who swallows the cancellation can go on."""

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with source.unit() as unit:
            await unit.insert(item, {"name": "before"})
            with contextlib.suppress(asyncio.CancelledError):
                async with source.unit():
                    await unit.insert(item, {"name": "nested"})
                    asyncio.get_running_loop().call_soon(task.cancel)
            task.uncancel()
            await unit.insert(item, {"name": "after"})

    await within(30, work())
    assert len(await source.fetch(select(item))) == 3
    await assert_pool_is_whole(source)


async def test_a_connection_that_cannot_roll_back_is_replaced(source: Database) -> None:
    """Here because the transaction had been ended inside the unit; the first error is the one that comes out."""

    async def work() -> None:
        async with source.unit() as unit:
            await unit.text("ROLLBACK")
            raise ZeroDivisionError

    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            await within(30, work())
    await assert_pool_is_whole(source)


async def test_a_failing_commit_loses_no_connection(source: Database) -> None:
    """Ten deferred foreign keys in a row are refused by COMMIT, more than the pool has connections. (MariaDB and MySQL
    do not defer: there it is the INSERT.)"""
    for _ in range(10):
        with pytest.raises(Conflict) as caught:
            async with source.unit() as unit:
                await unit.insert(item, {"name": "gone"})
                await unit.insert(late, {"owner_id": 1})
        assert caught.value.kind == "foreign_key"
    assert await source.fetch(select(item)) == []
    await assert_pool_is_whole(source)


async def test_a_unit_with_a_statement_cut_off_is_not_committed(source: Database) -> None:
    """Swallowing the timeout does not make its work complete: what follows and leaving the unit raise, and are not
    themselves a cancellation."""
    counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000) SELECT count(i) FROM n"
    slow = {"sqlite": counting, "postgresql": "SELECT pg_sleep(1)", "mysql": "SELECT SLEEP(1)"}[source.dialect]
    with pytest.raises(Unavailable):
        async with source.unit() as unit:
            await unit.insert(item, {"name": "gone"})
            with anyio.move_on_after(0.05):
                await unit.text(slow)
            with contextlib.suppress(Unavailable):
                await unit.insert(item, {"name": "gone too"})
    assert await source.fetch(select(item)) == []
    await assert_pool_is_whole(source)


async def test_an_engine_with_one_connection_mixes_nothing() -> None:
    """In memory, as applications' tests have it: a read of another task neither ends the unit nor sees into it."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with connected(engine) as database:
        await create_tables(database, metadata, [owner])
        async with database.unit() as unit:
            await unit.insert(owner, {"name": "a"})
            reading = asyncio.create_task(database.fetch(select(owner.c.name)))
            await asyncio.wait([reading], timeout=0.2)
            await unit.insert(owner, {"name": "b"})
        assert len(await database.fetch(select(owner.c.name))) == 2
        assert len(await reading) in (0, 2)
    await engine.dispose()


async def test_before_it_is_connected_the_cure_is_named(source: Database, shared_url: str) -> None:
    """And after it was disconnected likewise; connecting again works."""
    await source.disconnect()

    async def unit() -> None:
        async with source.unit():
            raise AssertionError

    async def joined() -> None:
        async with AsyncSession() as session, source.joined(session):
            raise AssertionError

    for use in (source.fetch(select(item)), source.atomic(lambda unit: unit.rows(select(item))), unit(), joined()):
        with pytest.raises(ConfigurationError, match="async with auth"):
            await use
    await source.connect()
    await assert_pool_is_whole(source)

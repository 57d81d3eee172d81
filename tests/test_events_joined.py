"""Inside the application's own transactions: events are told when those are durable, and sessions take no part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import databases
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from asgiauth import Auth
from asgiauth.events import UserCreated, UserLoggedIn, UserUpdated, after_commit
from asgiauth.testing import client

from .contracts.conftest import app_database, app_engine
from .login.helpers import PASSWORD, Broken, Told, log_in, opened, site, user_named


@asynccontextmanager
async def inside(place: str, url: str) -> AsyncIterator[tuple[Auth, Told, Any]]:
    """An `Auth` and a transaction of the application."""
    told = Told()
    if place == "databases":
        async with app_database(url) as database, opened(database, features=[told.feature]) as auth:
            yield auth, told, database
        return
    engine = app_engine(url)
    try:
        async with opened(engine, features=[told.feature]) as auth:
            target: Any = AsyncSession(engine) if place == "session" else engine.connect()
            async with target:
                yield auth, told, target
    finally:
        await engine.dispose()


PLACES = ["session", "connection"]


async def names(auth: Auth) -> list[str]:
    return [user.username for user in (await auth.users.page()).items]


@pytest.mark.parametrize("place", PLACES)
async def test_joined_the_applications_commit_is_what_after_commit_waits_for(url: str, place: str) -> None:
    """Told once, right after it; a transaction that is rolled back tells nothing, then or later."""
    async with inside(place, url) as (auth, told, target):
        for ending in ("rollback", "commit"):
            async with auth.joined(target):
                await auth.users.create(f"{ending} 1".replace(" ", ""))
            async with auth.joined(target):
                await auth.users.create(f"{ending}2")
            assert told.after == []
            await (target.commit() if ending == "commit" else target.rollback())
        told_names = [event.user.username for event in told.after if isinstance(event, UserCreated)]
        assert told_names == await names(auth) == ["commit1", "commit2"]
        async with auth.joined(target):
            await names(auth)
        await target.commit()
        assert len(told.after) == 2


@pytest.mark.parametrize("place", PLACES)
async def test_joined_a_rollback_to_a_savepoint_drops_what_came_since(url: str, place: str) -> None:
    """The application's own savepoints, around blocks: what they take back is not told."""
    async with inside(place, url) as (auth, told, target):

        async def create(name: str) -> None:
            async with auth.joined(target):
                await auth.users.create(name)

        await create("kept1")
        for name in ("dropped1", "kept2"):
            point = await target.begin_nested()
            await create(name)
            await (point.commit() if name == "kept2" else point.rollback())
        outer = await target.begin_nested()
        inner = await target.begin_nested()
        await create("dropped2")
        await inner.commit()
        await outer.rollback()
        await target.commit()
        kept = [event.user.username for event in told.after if isinstance(event, UserCreated)]
        assert kept == await names(auth) == ["kept1", "kept2"]


@pytest.mark.parametrize("place", PLACES)
async def test_joined_a_savepoint_of_the_application_inside_of_a_block_takes_back_what_we_did(
    url: str, place: str
) -> None:
    """A session sends SAVEPOINT only with its next statement; what asgiauth does meanwhile belongs to it as well."""
    async with inside(place, url) as (auth, told, target):
        async with auth.joined(target):
            await auth.users.create("kept1")
            for name in ("dropped1", "kept2"):
                point = await target.begin_nested()
                await auth.users.create(name)
                await (point.commit() if name == "kept2" else point.rollback())
        await target.commit()
        kept = [event.user.username for event in told.after if isinstance(event, UserCreated)]
        assert kept == await names(auth) == ["kept1", "kept2"]


@pytest.mark.parametrize("place", PLACES)
async def test_joined_an_exception_in_our_unit_drops_what_it_had_to_tell(url: str, place: str) -> None:
    async with inside(place, url) as (auth, told, target):
        async with auth.joined(target):
            await auth.users.create("ann")
            told.breaks = True
            with pytest.raises(Broken):
                await auth.users.create("bob")
        await target.commit()
        assert [type(event) for event in told.after] == [UserCreated]
        assert await names(auth) == ["ann"]


@pytest.mark.parametrize("place", PLACES)
async def test_joined_a_listener_after_the_commit_may_use_the_database(url: str, place: str) -> None:
    """Also when the application commits inside of the block."""
    async with inside(place, url) as (auth, _, target):

        async def rename(event: UserCreated) -> None:
            await auth.users.update(event.user, first_name="Told")

        auth.events.on(UserCreated, after_commit(rename))
        async with auth.joined(target):
            await auth.users.create("ann")
            await target.commit()
        async with auth.joined(target):
            await auth.users.create("bob")
        await target.commit()
        assert [(await user_named(auth, name)).first_name for name in ("ann", "bob")] == ["Told", "Told"]


async def test_a_transaction_of_databases_tells_at_its_own_commit(url: str) -> None:
    """Nested ones too: the outermost counts, and one that is rolled back drops what was its own."""
    async with inside("databases", url) as (auth, told, database):
        for ending in ("rollback", "commit"):
            outer = await database.transaction()
            await auth.users.create(f"{ending}1")
            async with database.transaction():
                await auth.users.create(f"{ending}2")
                await auth.users.update(await user_named(auth, f"{ending}2"), first_name="x")
            with pytest.raises(Broken):
                async with database.transaction():
                    await auth.users.create(f"{ending}3")
                    raise Broken
            assert told.after == []
            await (outer.commit() if ending == "commit" else outer.rollback())
        assert [type(event) for event in told.after] == [UserCreated, UserCreated, UserUpdated]
        assert await names(auth) == ["commit1", "commit2"]
        await auth.users.create("later")
        assert len(told.after) == 4


async def test_force_rollback_counts_as_a_commit(url: str) -> None:
    """The transaction around a whole test, that no commit ever ends: what waits is told, and it is all undone."""
    told = Told()
    async with opened(url):
        pass
    database: databases.Database = app_database(url, force_rollback=True)
    async with database, opened(database, features=[told.feature]) as auth:
        await auth.users.create("ann")
        assert len(told.after) == 1
        async with database.transaction():
            await auth.users.create("bob")
            assert len(told.after) == 1
        assert len(told.after) == 2
        assert await names(auth) == ["ann", "bob"]
    async with opened(url) as auth:
        assert await names(auth) == []


@pytest.mark.parametrize("action", ["login", "logout", "flush", "cycle_key"])
@pytest.mark.parametrize("place", PLACES)
async def test_no_session_changes_inside_joined(sqlite_url: str, place: str, action: str) -> None:
    """DESIGN 6: RuntimeError with the cure, whichever way it is asked for; who was logged in stays so."""
    async with inside(place, sqlite_url) as (auth, told, target):
        ann = await auth.users.create("ann", password=PASSWORD)

        async def act(request: Request) -> None:
            does: dict[str, Callable[[], Awaitable[Any]]] = {
                "login": lambda: request.auth.login(ann),
                "logout": request.auth.logout,
                "flush": request.session.flush,  # type: ignore[attr-defined]
                "cycle_key": request.session.cycle_key,  # type: ignore[attr-defined]
            }
            async with auth.joined(target):
                with pytest.raises(RuntimeError, match="commit"):
                    await does[action]()
            await target.rollback()

        browser = client(site(auth, act=act))
        await log_in(browser)
        await browser.get("/act")
        assert (await browser.get("/who")).json()[0] == "ann"
        assert [type(event) for event in told.after] == [UserCreated, UserLoggedIn]

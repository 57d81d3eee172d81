"""T17: a client that goes away at any await leaves nothing half done, and no connection behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
import httpx2
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from asgiauth import Auth, Core
from asgiauth.events import Event, PasswordChanged, UserLoggedIn, UserLoggedOut
from asgiauth.testing import Client, client

from ..contracts.conftest import POOL, open_transactions, within
from ..login.helpers import (
    CHANGE,
    LOGIN,
    LOGOUT,
    PASSWORD,
    SESSION,
    Extension,
    Step,
    cookies_of,
    log_in,
    opened,
    prove,
    site,
    steps,
    user_named,
)

T = TypeVar("T")

NEW = "another horse"
ENOUGH = 300
"""Awaits: far more than any of these requests has."""


class _Counted(Generic[T]):
    """A coroutine that calls `cancel` while it waits for the `at`-th time."""

    def __init__(self, work: Awaitable[T], at: int, cancel: Callable[[], object]) -> None:
        self._work, self._at, self._cancel = work, at, cancel

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._work.__await__()
        seen = 0
        resume: Callable[[], Any] = partial(next, inner)
        while True:
            try:
                waits_for = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            seen += 1
            if seen == self._at:
                self._cancel()
            try:
                yield waits_for
            except BaseException as error:
                resume = partial(inner.throw, error)
            else:
                resume = partial(next, inner)


@dataclass
class Aborting:
    """The application, whose next request is cancelled at its `at`-th await: once, as asyncio does it, or again at each
    await until it is over, as anyio does."""

    app: ASGIApp
    by: str
    at: int = 0
    arrived: bool = field(default=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        at, self.at = self.at, 0
        if not at:
            await self.app(scope, receive, send)
            return
        self.arrived = False

        def cancel(cancel: Callable[[], object]) -> Callable[[], object]:
            def now() -> None:
                self.arrived = True
                cancel()

            return now

        task = asyncio.current_task()
        assert task is not None
        if self.by == "asyncio":
            await _Counted(self.app(scope, receive, send), at, cancel(task.cancel))
            return
        with anyio.CancelScope() as cancel_scope:
            await _Counted(self.app(scope, receive, send), at, cancel(cancel_scope.cancel))


@dataclass
class Place:
    """An application on a small pool, with a listener that writes down what it is told, in the same unit of work."""

    url: str
    auth: Auth
    core: Core
    diary: Table
    app: Aborting
    tasks_before: set[asyncio.Task[Any]] = field(default_factory=set)

    def browser(self) -> Client:
        return Client(self.app.app, transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=True))

    async def rows(self, table: Table, *conditions: Any) -> int:
        return len(await self.core.db.fetch(table.select().where(*conditions)))

    async def told(self, kind: type[Event]) -> int:
        return await self.rows(self.diary, self.diary.c.kind == kind.__name__)

    async def abort(self, request: Callable[[], Awaitable[httpx2.Response]], at: int) -> httpx2.Response | None:
        """The answer; None for a request that was cut off."""
        self.app.at = at
        task = asyncio.ensure_future(request())
        done, _ = await asyncio.wait([task], timeout=60)
        assert done, "a cancelled request hangs"
        if task.cancelled():
            return None
        error = task.exception()
        if isinstance(error, AssertionError) and self.app.by == "anyio":
            return None  # the transport's own, for an application that has not answered
        return task.result()

    async def assert_whole(self) -> None:
        """Every connection of the pool works, at once, and the server has no transaction open."""
        together = asyncio.Barrier(1 if self.core.db.dialect == "sqlite" else POOL)

        async def use() -> None:
            async with self.core.db.unit() as unit:
                await unit.changed(self.diary.delete().where(self.diary.c.id == -1))
                await within(60, _wait(together))
            await self.auth.users.get(1)

        await within(60, _all(use, together.parties))
        assert await open_transactions(self.url) == 0
        for _ in range(3000):
            if asyncio.all_tasks() - self.tasks_before:  # a driver may be about to say goodbye
                await asyncio.sleep(0.01)
        assert asyncio.all_tasks() - self.tasks_before == set()


async def _wait(barrier: asyncio.Barrier) -> None:
    await barrier.wait()


async def _all(work: Callable[[], Awaitable[None]], count: int) -> None:
    await asyncio.gather(*(work() for _ in range(count)))


def _diary(metadata: MetaData) -> None:
    Table("diary", metadata, Column("id", Integer, primary_key=True), Column("kind", String(50), nullable=False))


@asynccontextmanager
async def at(url: str, by: str) -> AsyncIterator[Place]:
    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "cat"))
    diary = Extension(_diary)
    diary.name = "diary"
    small = url if url.startswith("sqlite:") else f"{url}?max_size={POOL}"
    async with opened(small, "ann", "cat", features=[feature, diary]) as auth:
        table = auth.metadata.tables["diary"]

        async def note(event: Event) -> None:
            async with diary.core.db.unit() as unit:
                await unit.insert(table, {"kind": type(event).__name__})

        async def keep(request: Request) -> None:
            request.session[request.query_params["key"]] = 1

        auth.events.on(Event, note)
        yield Place(url, auth, diary.core, table, Aborting(site(auth, keep=keep), by))


@pytest.fixture(params=["asyncio", "anyio"])
async def place(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with at(url, request.param) as place:
        yield place


async def sweep(place: Place, once: Callable[[int], Awaitable[bool]]) -> int:
    """Calls `once(k)` for k = 1, 2, ... until a request is through before its k-th await; how many were cut off."""
    place.tasks_before = asyncio.all_tasks()
    for k in range(1, ENOUGH):
        cut_off = not await once(k)
        if not place.app.arrived:
            assert not cut_off
            await place.assert_whole()
            return k - 1
        if k % 10 == 0:
            await place.assert_whole()
    raise AssertionError("there is no end to the awaits")


async def test_T17_a_login_is_whole_or_not_at_all(place: Place) -> None:
    """Session, last_login and what a listener wrote: all or nothing; the password still works after each."""
    sessions = place.auth.tables.session

    async def once(k: int) -> bool:
        before = await place.rows(sessions), await place.told(UserLoggedIn)
        seen = (await user_named(place.auth, "ann")).last_login
        answer = await place.abort(lambda: log_in(place.browser()), k)
        opened = await place.rows(sessions) - before[0]
        assert opened == await place.told(UserLoggedIn) - before[1] in (0, 1)
        assert ((await user_named(place.auth, "ann")).last_login != seen) == bool(opened)
        assert answer is None or opened
        return answer is not None

    assert await sweep(place, once) >= 3
    browser = place.browser()
    await log_in(browser)
    assert (await browser.get("/who")).json()[0] == "ann"


async def test_T17_a_login_over_another_session_ends_it_or_not(place: Place) -> None:
    """The browser's old session ends exactly when the new one is there: never both, never neither."""
    sessions = place.auth.tables.session

    async def once(k: int) -> bool:
        await place.auth.sessions.revoke_all(await user_named(place.auth, "ann"))
        browser = place.browser()
        await log_in(browser)
        (old,) = await place.auth.sessions.list(await user_named(place.auth, "ann"))
        answer = await place.abort(lambda: log_in(browser), k)
        (left,) = await place.auth.sessions.list(await user_named(place.auth, "ann"))
        assert await place.rows(sessions) == 1
        assert answer is None or left.id != old.id
        is_in = (await browser.get("/who")).json()[0] == "ann"
        assert is_in == (left.id == old.id or answer is not None)
        return answer is not None

    assert await sweep(place, once) >= 3


async def test_T17_a_logout_is_whole_or_not_at_all(place: Place) -> None:
    """Out, and written down as out; or in."""
    sessions = place.auth.tables.session

    async def once(k: int) -> bool:
        browser = place.browser()
        await log_in(browser)
        before = await place.told(UserLoggedOut)
        answer = await place.abort(lambda: browser.post(LOGOUT), k)
        ended = await place.told(UserLoggedOut) - before
        assert await place.rows(sessions) == 1 - ended
        assert ((await browser.get("/who")).json()[0] == "") == bool(ended)
        assert answer is None or ended
        if not ended:
            await browser.post(LOGOUT)
        return answer is not None

    assert await sweep(place, once) >= 3


async def test_T17_a_password_change_is_whole_or_not_at_all(place: Place) -> None:
    """The hash, the end of all other sessions and what a listener wrote go together; one of the two passwords works."""
    ann = await user_named(place.auth, "ann")
    sessions = place.auth.tables.session

    async def once(k: int) -> bool:
        await place.auth.users.set_password(ann, PASSWORD)
        before = await place.told(PasswordChanged)
        browser, other = place.browser(), place.browser()
        await log_in(browser)
        await log_in(other)
        passwords = {"old_password": PASSWORD, "new_password": NEW}
        answer = await place.abort(lambda: browser.post(CHANGE, json=passwords), k)
        changed = await place.told(PasswordChanged) - before
        assert await place.auth.users.check_password(ann, NEW if changed else PASSWORD)
        assert await place.rows(sessions) == (1 if changed else 2)
        assert ((await other.get("/who")).json()[0] == "") == bool(changed)
        is_in = (await browser.get("/who")).json()[0] == "ann"
        assert is_in == (not changed or answer is not None), "a cookie that was never sent logs nobody in"
        assert answer is None or (answer.status_code, changed) == (204, 1)
        return answer is not None

    assert await sweep(place, once) >= 3


async def test_T17_a_step_is_whole_or_not_at_all(place: Place) -> None:
    """The session is there exactly when the pending login is gone; one that is left can still be completed."""
    sessions, pending = place.auth.tables.session, place.auth.tables.pending_login
    cat = await user_named(place.auth, "cat")

    async def once(k: int) -> bool:
        await place.auth.sessions.revoke_all(cat)
        browser = place.browser()
        await browser.post(LOGIN, json={"username": "cat", "password": PASSWORD})
        before = await place.told(UserLoggedIn)
        answer = await place.abort(lambda: prove(browser, "totp"), k)
        opened = await place.told(UserLoggedIn) - before
        assert (await place.rows(sessions), await place.rows(pending)) == (opened, 1 - opened)
        if not opened:
            assert (await browser.get("/who")).json()[0] == ""
            assert (await prove(browser, "totp")).status_code == 200
        assert answer is None or opened
        return answer is not None

    assert await sweep(place, once) >= 3


@pytest.mark.parametrize("stored", [False, True], ids=["first", "changed"])
async def test_T17_what_a_session_remembers_is_saved_or_not(place: Place, stored: bool) -> None:
    """A visitor's first value, and one more in a session that is there."""
    sessions = place.auth.tables.session
    browser = place.browser()
    if stored:
        await browser.get("/keep?key=first")

    async def once(k: int) -> bool:
        asks = browser if stored else place.browser()
        before = await place.rows(sessions)
        answer = await place.abort(lambda: asks.get(f"/keep?key=k{k}"), k)
        assert await place.rows(sessions) - before in ((0,) if stored else (0, 1))
        remembered = (await asks.get("/who")).json()[3]
        assert stored == ("first" in remembered)
        assert answer is None or f"k{k}" in remembered
        return answer is not None

    assert await sweep(place, once) >= 3


async def test_T17_places_for_hashes_are_free_again(sqlite_url: str) -> None:
    """A login whose client goes away while its password is hashed gives the place back when the thread is done."""
    async with at(sqlite_url, "asyncio") as place:
        browser = place.browser()
        before = threading.active_count()
        tasks = [asyncio.create_task(log_in(browser)) for _ in range(30)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0.001 * (number % 3))
            task.cancel()
        await asyncio.wait(tasks)
        await within(60, _all(lambda: _log_in(place), 20))
        assert threading.active_count() <= before + 10


async def _log_in(place: Place) -> None:
    browser = client(place.app.app)
    assert cookies_of(await log_in(browser))[SESSION]

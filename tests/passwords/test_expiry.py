"""B4.6: a password that must become another one before its user is in again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from starlette.requests import Request

from asgiauth import Auth, PasswordPolicy, StepRequired, User
from asgiauth.backends import PasswordBackend
from asgiauth.db import Unit
from asgiauth.events import Event
from asgiauth.exceptions import ConfigurationError, LoginRefused, NotFound
from asgiauth.testing import Client, Clock, client, force_login

from ..conftest import FAST
from ..login.helpers import (
    ANN,
    CHANGE,
    LOGIN,
    PASSWORD,
    Extension,
    Site,
    another,
    error,
    opened,
    site,
    user_named,
)
from ..login.renewing import AGED, NEW, STEP, flagged_at, place, renew, state_of
from ..wire import outline, watched


@pytest.fixture
async def flagged(url: str) -> AsyncIterator[Site]:
    """Ann must choose another password; on each server."""
    async with flagged_at(url) as site:
        yield site


# The flag


async def test_any_change_of_the_password_does_what_the_flag_asks(flagged: Site) -> None:
    """By its user in a live session, or by the staff; none of a password takes the flag away without one."""
    auth, ann = flagged.auth, await user_named(flagged.auth, "ann")
    await auth.users.update(ann, email="ann@example.com")
    assert await auth.users.check_password(ann, PASSWORD)
    assert await state_of(auth, ann) == (True, None)
    await auth.users.set_password(ann, NEW)
    assert await state_of(auth, ann) == (False, None)
    assert (await flagged.browser.post(LOGIN, json={**ANN, "password": NEW})).status_code == 200
    await auth.users.require_password_change(ann)
    assert (await flagged.browser.get("/who")).json()[0] == "ann", "a live session goes on"
    body = {"old_password": NEW, "new_password": PASSWORD}
    assert (await flagged.browser.post(CHANGE, json=body)).status_code == 204
    assert (await another(flagged.browser).post(LOGIN, json=ANN)).status_code == 200


@pytest.mark.parametrize("asked", ["flag", "age"])
async def test_the_same_password_is_no_change(sqlite_url: str, asked: str) -> None:
    """With no history either: what was asked for stays asked for. The application may set it again."""
    policy = AGED if asked == "age" else FAST
    async with place(sqlite_url, passwords=policy) as at:
        ann = await user_named(at.auth, "ann")
        await at.browser.post(LOGIN, json=ANN)
        at.clock.advance(days=89)
        await at.browser.get("/who")
        await at.auth.users.require_password_change(ann, required=asked == "flag")
        await force_login(at.browser, ann)
        before = await state_of(at.auth, ann)
        answer = await at.browser.post(CHANGE, json={"old_password": PASSWORD, "new_password": PASSWORD})
        assert (answer.status_code, answer.json()["detail"]["fields"]) == (422, {"new_password": ["password_reused"]})
        assert await state_of(at.auth, ann) == before
        wrong = await at.browser.post(CHANGE, json={"old_password": NEW, "new_password": NEW})
        assert wrong.json()["detail"]["fields"] == {"old_password": ["incorrect"]}
        await at.auth.users.set_password(ann, PASSWORD)
        assert await state_of(at.auth, ann) == (False, at.clock() if asked == "age" else None)


async def test_the_flag_of_a_password_that_is_no_more_is_not_set(auth: Auth) -> None:
    ann = await auth.users.create("ann", password=PASSWORD)
    await auth.users.require_password_change(ann, stored=ann.password)
    assert await state_of(auth, ann) == (True, None)
    bob = await auth.users.create("bob", password=PASSWORD)
    await auth.users.set_password(bob, NEW)
    with pytest.raises(NotFound):
        await auth.users.require_password_change(bob, stored=bob.password)
    assert await state_of(auth, bob) is None


async def test_the_flag_beside_an_epoch_keeps_both(flagged: Site) -> None:
    """One row holds both, whichever was first; a user that is gone has none."""
    auth = flagged.auth
    ann, bob = [await user_named(auth, name) for name in ("ann", "bob")]
    await auth.sessions.bump_epoch(ann)
    await auth.sessions.bump_epoch(bob)
    await auth.users.require_password_change(bob)
    table = auth.tables.user_state
    rows = await auth._database.fetch(select(table.c.epoch, table.c.must_change_password).order_by(table.c.user_id))
    assert [tuple(row.values()) for row in rows] == [(1, True), (1, True)]
    await auth.users.delete(bob)
    with pytest.raises(NotFound):
        await auth.users.require_password_change(bob)


async def test_many_flags_at_once_are_one(auth: Auth) -> None:
    ann = await auth.users.create("ann", password=PASSWORD)
    await asyncio.gather(*(auth.users.require_password_change(ann) for _ in range(10)))
    assert await state_of(auth, ann) == (True, None)


async def test_a_row_that_somebody_writes_meanwhile_is_used(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not there when it was to be changed, and is when it is to be made: its epoch stays."""
    ann = await auth.users.create("ann", password=PASSWORD)
    await auth.sessions.bump_epoch(ann)
    changed, missed = Unit.changed, list[Any]()

    async def too_early(unit: Unit, statement: Any, /, **parameters: Any) -> int:
        if not missed:
            missed.append(statement)
            return 0
        return await changed(unit, statement, **parameters)

    monkeypatch.setattr(Unit, "changed", too_early)
    await auth.users.require_password_change(ann)
    table = auth.tables.user_state
    (row,) = await auth._database.fetch(select(table.c.epoch, table.c.must_change_password))
    assert tuple(row.values()) == (1, True)


async def test_a_test_may_log_in_whom_it_likes(flagged: Site) -> None:
    """`force_login` asks for nothing."""
    await force_login(flagged.browser, await user_named(flagged.auth, "ann"))
    assert (await flagged.browser.get("/who")).json()[0] == "ann"


class Elsewhere:
    """Knows by something else than a password."""

    name = "elsewhere"
    auth: Auth

    async def authenticate(self, connection: Any, *, ticket: str) -> User | None:
        return await self.auth.users.find(ticket)


class Anything(Elsewhere):
    """Takes whatever it is given, and keeps passwords of its own, as a directory does."""

    name = "anything"

    async def authenticate(self, connection: Any, **credentials: str) -> User | None:
        return await self.auth.users.find(credentials.get("username", ""))


class Local(Elsewhere):
    """Says that it verifies what is stored."""

    name = "local"
    proves_password = True

    async def authenticate(self, connection: Any, *, number: str) -> User | None:  # type: ignore[override]
        return await self.auth.users.find(number)


@pytest.mark.parametrize(
    ("credentials", "asked"),
    [
        ({"username": "ann", "password": PASSWORD}, True),
        ({"username": "ann", "password": "a directory's"}, False),
        ({"username": "ann"}, False),
        ({"number": "ann"}, True),
        ({"ticket": "ann"}, False),
    ],
)
async def test_who_has_proved_no_password_is_not_given_one(
    sqlite_url: str, credentials: dict[str, str], asked: bool
) -> None:
    """Another site's word, or a passkey, is not the old password: the next login by password asks. Nor is a
    directory's. A name for the method changes nothing; a backend counts that says so."""
    elsewhere, anything, local = Elsewhere(), Anything(), Local()
    backends = [elsewhere, PasswordBackend[Any](), local, anything]
    async with opened(sqlite_url, "ann", backends=backends) as auth:
        elsewhere.auth = anything.auth = local.auth = auth
        await auth.users.require_password_change(await user_named(auth, "ann"))

        async def enter(request: Request) -> bool:
            user = await request.auth.authenticate(**credentials)
            return isinstance(await request.auth.login(user, method="my own"), StepRequired)

        assert (await client(site(auth, enter=enter)).get("/enter")).json() == asked


async def test_who_has_no_password_here_has_none_to_change(sqlite_url: str) -> None:
    """Whatever a backend says that lets in."""
    backend = Local()
    async with opened(sqlite_url, "ann", backends=[backend], passwords=AGED, clock=(clock := Clock())) as auth:
        backend.auth = auth
        ann = await auth.users.set_password(await user_named(auth, "ann"), None)
        await auth.users.require_password_change(ann)
        clock.advance(days=1000)

        async def enter(request: Request) -> bool:
            known = await request.auth.authenticate(number="ann")
            return isinstance(await request.auth.login(known), StepRequired)

        assert (await client(site(auth, enter=enter)).get("/enter")).json() is False


# Its age


@asynccontextmanager
async def aged(url: str, **options: Any) -> AsyncIterator[Site]:
    async with place(url, passwords=AGED, **options) as at:
        yield at


async def asks(at: Site, password: str = PASSWORD, name: str = "ann") -> bool:
    answer = await another(at.browser).post(LOGIN, json={"username": name, "password": password})
    if answer.status_code == 200:
        return False
    assert error(answer) == (401, "step_required")
    return bool(answer.json()["detail"]["steps"] == [STEP])


async def test_B4_6_a_password_that_is_too_old_must_become_another_one(url: str) -> None:
    """To the second; and the new one lasts as long again."""
    async with aged(url) as at:
        at.clock.advance(days=90, seconds=-1)
        assert not await asks(at)
        at.clock.advance(seconds=1)
        assert await asks(at)
        await at.password()
        assert (await renew(at.browser)).status_code == 200
        assert not await asks(at, NEW)
        at.clock.advance(days=90, seconds=-1)
        assert not await asks(at, NEW)
        at.clock.advance(seconds=1)
        assert await asks(at, NEW)
        await at.auth.users.set_password(await user_named(at.auth, "ann"), PASSWORD)
        assert not await asks(at)


async def test_without_a_note_a_password_is_as_old_as_the_account(url: str) -> None:
    """Nobody knows when Django, or we before there was a policy, have set it: it cannot be older than that."""
    async with aged(url) as at:
        async with at.auth._database.unit() as unit:
            await unit.changed(delete(at.auth.tables.user_state))
        assert not await asks(at)
        at.clock.advance(days=90)
        assert await asks(at)


async def test_a_new_account_has_a_new_password_whenever_it_says_that_it_joined(url: str) -> None:
    """An import keeps `date_joined`, and sets a password now."""
    async with aged(url) as at:
        joined = datetime(2001, 2, 3, tzinfo=UTC)
        await at.auth.users.create("old", password=PASSWORD, date_joined=joined)
        assert not await asks(at, name="old")


@pytest.mark.parametrize("options", [{"history": 2}, {"max_age": timedelta(days=1)}])
async def test_a_change_is_noted_where_the_policy_has_a_history_or_an_age(sqlite_url: str, options: Any) -> None:
    """So that an age which is wanted later has something to begin with; without either nothing is written."""
    async with place(sqlite_url, passwords=replace(FAST, **options)) as at:
        ann = await user_named(at.auth, "ann")
        assert await state_of(at.auth, ann) == (False, at.clock())
        at.clock.advance(hours=1)
        await at.auth.users.set_password(ann, NEW)
        assert await state_of(at.auth, ann) == (False, at.clock())
    async with place(f"{sqlite_url}-2") as at:
        ann = await user_named(at.auth, "ann")
        await at.auth.users.set_password(ann, NEW)
        assert await state_of(at.auth, ann) is None


async def test_an_upgrade_of_the_hash_is_no_change(sqlite_url: str) -> None:
    """The password is the same, and so is its age, and what was asked of it."""
    async with aged(sqlite_url) as at:
        before = at.clock()
        ann = await user_named(at.auth, "ann")
    preferred = replace(AGED, hashers=FAST.hashers[::-1])
    async with opened(sqlite_url, passwords=preferred, clock=at.clock) as auth:
        await auth.users.require_password_change(ann)
        assert await auth.users.check_password(ann, PASSWORD)
        assert (await user_named(auth, "ann")).password.startswith("pbkdf2")
        assert await state_of(auth, ann) == (True, before)


@pytest.mark.parametrize("max_age", [timedelta(0), timedelta(seconds=59), -timedelta(days=1)])
def test_an_age_that_would_let_nobody_in_is_refused(max_age: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="max_age"):
        PasswordPolicy(max_age=max_age)


# What it costs


async def test_the_step_costs_nothing_where_nobody_is_asked(server: str, url: str) -> None:
    """What says so comes with the epoch that a login reads anyway: as many statements as ever."""
    async with watched(server, url) as (auth, statements), client(site(auth)) as browser:
        ann = await auth.users.create("ann", password=PASSWORD)

        async def needs(request: Any) -> list[str]:
            statements.clear()
            await request
            return outline(statements)

        opened = ["SELECT", "BEGIN", "UPDATE auth_user", "SELECT", "INSERT INTO asgiauth_session", "COMMIT"]
        await browser.post(LOGIN, json=ANN)
        assert await needs(another(browser).post(LOGIN, json=ANN)) == opened
        await auth.users.require_password_change(ann)
        taken_back = ["SELECT", "BEGIN", "UPDATE auth_user", "SELECT", "ROLLBACK"]
        waits = ["SELECT", "BEGIN", "INSERT INTO asgiauth_pending_login", "COMMIT"]
        assert await needs(browser.post(LOGIN, json=ANN)) == ["SELECT", *taken_back, *waits]


def _told(told: list[str]) -> Extension:
    async def tell(event: Event) -> None:
        told.append(repr(event))

    return Extension(listeners=[(Event, tell)])


async def test_no_password_is_told_to_anybody(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    with caplog.at_level("DEBUG"):
        async with opened(sqlite_url, "ann", features=[_told(told)]) as auth, client(site(auth)) as browser:
            await auth.users.require_password_change(await user_named(auth, "ann"))
            await browser.post(LOGIN, json=ANN)
            assert (await renew(browser)).status_code == 200
    assert len(told) == 3
    assert not any(password in text for password in (PASSWORD, NEW) for text in [*told, caplog.text])


async def test_the_service_refuses_a_login_that_does_not_wait_for_it(flagged: Site) -> None:
    """Also where somebody holds a `PendingLogin` that waits for something else."""

    async def view(request: Request) -> str:
        pending = request.auth.pending
        login = request.auth._speaker.login
        try:
            await login.renew_password(replace(pending, steps=()), NEW, request.auth._state.visit())
        except LoginRefused as refused:
            return str(refused)
        return ""

    flagged.browser = Client(site(flagged.auth, view=view))
    await flagged.password()
    assert "does not wait" in (await flagged.browser.get("/view")).json()

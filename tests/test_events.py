"""What happens to an account is told once, lives and dies with the transaction, and betrays nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgiauth import Auth
from asgiauth.db.drivers import SerializationFailure
from asgiauth.events import (
    Event,
    LoginFailed,
    PasswordChanged,
    SessionRevoked,
    SessionsRevoked,
    UserCreated,
    UserDeleted,
    UserLoggedIn,
    UserLoggedOut,
    UserUpdated,
    after_commit,
)
from asgiauth.exceptions import Unavailable
from asgiauth.testing import client

from .conftest import SECRET_KEYS
from .login.helpers import (
    ANN,
    CHANGE,
    LOGIN,
    LOGOUT,
    PASSWORD,
    SESSION,
    Broken,
    Extension,
    Told,
    log_in,
    opened,
    site,
    user_named,
)

Kind = type[Event]


# What is told


async def created(auth: Auth) -> None:
    await auth.users.create("new", password=PASSWORD)


async def updated(auth: Auth) -> None:
    await auth.users.update(await user_named(auth, "bob"), first_name="Bob", last_name="Builder")


async def deactivated(auth: Auth) -> None:
    await auth.users.update(await user_named(auth, "bob"), is_active=False)


async def deleted(auth: Auth) -> None:
    await auth.users.delete(await user_named(auth, "bob"))


async def password_set(auth: Auth) -> None:
    await auth.users.set_password(await user_named(auth, "bob"), "another horse")


async def password_made_unusable(auth: Auth) -> None:
    await auth.users.set_password(await user_named(auth, "bob"), None)


async def revoked(auth: Auth) -> None:
    (session,) = await auth.sessions.list(await user_named(auth, "bob"))
    assert await auth.sessions.revoke(session.id)


async def all_revoked(auth: Auth) -> None:
    assert await auth.sessions.revoke_all(await user_named(auth, "bob")) == 1


async def logged_in(auth: Auth) -> None:
    await log_in(client(site(auth)), "bob")


async def logged_out(auth: Auth) -> None:
    await bobs_browser(auth).post(LOGOUT)


async def changed_by_user(auth: Auth) -> None:
    passwords = {"old_password": PASSWORD, "new_password": "another horse"}
    assert (await bobs_browser(auth).post(CHANGE, json=passwords)).status_code == 204


async def login_failed(auth: Auth) -> None:
    await client(site(auth)).post(LOGIN, json={**ANN, "password": "wrong horse"})


CHANGES: dict[Callable[[Auth], Awaitable[None]], Kind] = {
    created: UserCreated,
    updated: UserUpdated,
    deactivated: UserUpdated,
    deleted: UserDeleted,
    password_set: PasswordChanged,
    password_made_unusable: PasswordChanged,
    changed_by_user: PasswordChanged,
    revoked: SessionRevoked,
    all_revoked: SessionsRevoked,
    logged_in: UserLoggedIn,
    logged_out: UserLoggedOut,
    login_failed: LoginFailed,
}
each_change = pytest.mark.parametrize(("change", "kind"), CHANGES.items(), ids=[one.__name__ for one in CHANGES])

BOB = "__bob__"


def bobs_browser(auth: Auth) -> Any:
    browser = client(site(auth))
    browser.headers["cookie"] = getattr(auth, BOB)
    return browser


@asynccontextmanager
async def with_bob(database: Any, told: Told) -> AsyncIterator[Auth]:
    """Bob is logged in, and what told so is forgotten."""
    async with opened(database, "ann", "bob", features=[told.feature]) as auth:
        browser = client(site(auth))
        await log_in(browser, "bob")
        setattr(auth, BOB, f"{SESSION}={browser.cookies[SESSION]}")
        told.inside.clear()
        told.after.clear()
        yield auth


async def everything(auth: Auth, feature: Extension) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    rows = {table.name: await feature.core.db.fetch(table.select()) for table in auth.tables.all()}
    return {name: sorted(found, key=repr) for name, found in rows.items()}


@each_change
async def test_each_event_is_told_once(url: str, change: Callable[[Auth], Awaitable[None]], kind: Kind) -> None:
    """In the unit of work and after it, with the same facts, and with the time."""
    told = Told()
    async with with_bob(url, told) as auth:
        await change(auth)
    assert told.kinds() == [kind]
    assert told.after == told.inside
    assert told.inside[0].at.tzinfo is not None


@each_change
async def test_a_listener_that_raises_takes_everything_back(
    url: str, change: Callable[[Auth], Awaitable[None]], kind: Kind
) -> None:
    """DESIGN 10: its exception comes out, nothing is half written, nothing is told as durable."""
    told = Told()
    async with with_bob(url, told) as auth:
        before = await everything(auth, told.feature)
        told.breaks = True
        with pytest.raises(Broken):
            await change(auth)
        assert await everything(auth, told.feature) == before
        assert (told.kinds(), told.after) == ([kind], [])
        told.breaks = False
        await change(auth)
        assert [type(event) for event in told.after] == [kind]


async def test_what_is_no_change_is_no_event(sqlite_url: str) -> None:
    """A stronger hash of the same password, a session that is not there, a wrong old password, a refused name."""
    told = Told()
    async with with_bob(sqlite_url, told) as auth:
        assert not await auth.sessions.revoke("0" * 64)
        await bobs_browser(auth).post(CHANGE, json={"old_password": "wrong", "new_password": "another horse"})
        await client(site(auth)).post(LOGOUT)
        with pytest.raises(Exception, match="username"):
            await auth.users.create("bob")
    assert told.inside == []


async def test_a_listener_hears_its_kind_in_the_order_of_listing(sqlite_url: str) -> None:
    """Features first, as they are listed; then those that the application adds."""
    heard: list[str] = []

    def listener(name: str) -> Callable[[Any], Awaitable[None]]:
        async def listen(event: Any) -> None:
            heard.append(f"{name} {type(event).__name__}")

        return listen

    first = Extension(listeners=[(Event, listener("first")), (UserDeleted, listener("never"))])
    async with opened(sqlite_url, features=[first]) as auth:
        auth.events.on(UserCreated, after_commit(listener("later")))
        auth.events.on(UserCreated, listener("second"))
        await auth.users.create("ann")
    assert heard == ["first UserCreated", "second UserCreated", "later UserCreated"]


async def test_T21_no_event_shows_a_secret(sqlite_url: str) -> None:
    """Neither password, hash, token nor key, in any form that a log would have."""
    told = Told()
    async with with_bob(sqlite_url, told) as auth:
        token = getattr(auth, BOB).partition("=")[2]
        hashed = (await user_named(auth, "bob")).password
        for change in (logged_in, login_failed, changed_by_user, updated, revoked, created, deleted):
            await change(auth)
    assert len(told.inside) == 7
    shown = "".join(f"{event!r} {event} {vars(event)}" for event in told.inside)
    secrets = [PASSWORD, "wrong horse", "another horse", "argon2$", hashed, token, *SECRET_KEYS]
    assert [secret for secret in secrets if secret in shown] == []


# After the commit


async def test_after_commit_comes_when_others_can_see_it_and_before_the_call_returns(url: str) -> None:
    """A row, read through another connection: not there for a listener in the unit, there for one after it."""
    seen: list[tuple[str, bool]] = []
    async with opened(url) as auth, opened(url) as elsewhere:

        async def look(event: UserCreated, when: str = "inside") -> None:
            found = await asyncio.create_task(elsewhere.users.get(event.user.id))
            seen.append((when, found is not None))

        async def look_after(event: UserCreated) -> None:
            await look(event, "after")
            assert await auth.users.get(event.user.id) == event.user
            await auth.users.update(event.user, first_name="Ann")  # a unit of its own

        auth.events.on(UserCreated, look)
        auth.events.on(UserCreated, after_commit(look_after))
        ann = await auth.users.create("ann")
        assert seen == [("inside", False), ("after", True)]
        assert (await user_named(elsewhere, "ann")).first_name == "Ann"
        assert ann.first_name == ""


async def test_what_fails_after_the_commit_is_logged_and_the_others_are_told(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done cannot be undone: the login stands."""
    told = Told()

    async def fail(event: UserLoggedIn) -> None:
        raise Broken("the mail server is down")

    async with opened(url, "ann") as auth:
        auth.events.on(UserLoggedIn, after_commit(fail))
        auth.events.on(UserLoggedIn, after_commit(told.tell_after))
        browser = client(site(auth))
        with caplog.at_level(logging.ERROR, "asgiauth"):
            await log_in(browser)
        assert (await browser.get("/who")).json()[0] == "ann"
    assert len(told.after) == 1
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [Broken]
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("failures", [2, 3])
async def test_D23_a_unit_that_is_run_again_is_told_once_after_its_commit(sqlite_url: str, failures: int) -> None:
    """A deadlock takes the first attempts back, with what they had to tell; after three it is given up."""
    told, left = Told(), [failures]

    async def sacrificed(event: UserCreated) -> None:
        if left[0]:
            left[0] -= 1
            raise SerializationFailure("deadlock")

    async with opened(sqlite_url, features=[told.feature]) as auth:
        auth.events.on(UserCreated, sacrificed)
        if failures == 3:
            with pytest.raises(Unavailable):
                await auth.users.create("ann")
            assert (told.after, await auth.users.find("ann")) == ([], None)
        else:
            await auth.users.create("ann")
            assert [type(event) for event in told.after] == [UserCreated]


async def test_what_waits_for_a_commit_happens_at_once_where_nothing_is_open(sqlite_auth: Auth) -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    await sqlite_auth._database.after_commit(work)
    assert done == [1]

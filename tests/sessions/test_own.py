"""Whose sessions there are, and how they end: `auth.sessions`, one's own over JSON, and a new password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asgiauth import Auth, SessionPolicy, User
from asgiauth.events import SessionRevoked, SessionsRevoked
from asgiauth.testing import Clock

from ..login.helpers import Extension
from .helpers import CLEARED, PASSWORD, Site, heard, rows, site_at, token_of, user

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW = "battery staple"
SESSIONS, CHANGE = "/api/auth/sessions", "/api/auth/password/change"


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
async def site(url: str, clock: Clock) -> AsyncIterator[Site]:
    async with site_at(url, "ann", "bob", clock=clock) as site:
        yield site


async def ids(site: Site, name: str = "ann") -> list[str]:
    return [session.id for session in await site.auth.sessions.list(await user(site, name))]


def own_id(request: Any) -> str:
    return str(request.auth.session.id)


# auth.sessions


async def test_the_live_sessions_of_a_user_are_listed_the_last_used_first(site: Site, clock: Clock) -> None:
    """Without the expired ones, those of another password, of visitors and of others; `current` in a request alone."""
    ann = await user(site)
    agents = [site.browser(headers={"User-Agent": f"browser {i}"}) for i in range(3)]
    for i, browser in enumerate(agents):
        clock.advance(hours=1)
        await site.log_in(browser=browser, remember=i == 0)
    await site.log_in("bob")
    await site.get(site.browser(), lambda request: request.session.update(a=1))
    clock.advance(minutes=2)
    await site.who(token_of(agents[0]))

    async def view(request: Any) -> Any:
        sessions = await site.auth.sessions.list(request.user)
        assert request.auth.session in sessions
        return [[session.device, session.current] for session in sessions]

    listed = await site.auth.sessions.list(ann)
    assert [one.device for one in listed] == ["browser 0", "browser 2", "browser 1"]
    assert [(one.created, one.last_seen, one.expires_at, one.remember, one.methods) for one in listed[:2]] == [
        (START + timedelta(hours=1), clock(), clock() + timedelta(days=14), True, ("password",)),
        (START + timedelta(hours=3), START + timedelta(hours=3), START + timedelta(hours=27), False, ("password",)),
    ]
    assert not any(one.current for one in listed)
    assert [one.expires for one in listed] == [one.expires_at for one in listed]
    clock.advance(minutes=2)
    assert await site.who(token_of(agents[0])) == "ann"
    clock.advance(minutes=2)
    seen = await site.ask(agents[2], view)
    assert seen == [["browser 2", True], ["browser 0", False], ["browser 1", False]]
    clock.set(START + timedelta(hours=26))
    assert [one.device for one in await site.auth.sessions.list(ann)] == ["browser 2", "browser 0"]
    await site.auth.users.delete(ann)
    assert await site.auth.sessions.list(ann) == []


NO_IDS = [
    "",
    "0" * 63,
    "0" * 65,
    "g" * 64,
    "A" * 64,
    "0" * 63 + "\n",
    "\u0660" * 64,
    "' OR ''='",
    "../" * 21 + "a",
    "\0" * 64,
]


async def test_a_session_is_revoked_by_its_public_id_once(site: Site) -> None:
    """Of fifty at once one is told that it was the one; anything that is no id is simply not there."""
    events = heard(site.auth, SessionRevoked)
    browser, other = await site.log_in(), await site.log_in()
    session_id = await site.ask(browser, own_id)
    assert [await site.auth.sessions.revoke(no_id) for no_id in [*NO_IDS, "0" * 64, session_id.upper()]] == [False] * (
        len(NO_IDS) + 2
    )
    answers = await asyncio.gather(*(site.auth.sessions.revoke(session_id) for _ in range(50)))
    assert sorted(answers) == [False] * 49 + [True]
    assert [event.session_id for event in events] == [session_id]
    assert [await site.who(token_of(one)) for one in (browser, other)] == ["", "ann"]


async def test_all_sessions_of_a_user_are_revoked_except_one(site: Site) -> None:
    events = heard(site.auth, SessionsRevoked)
    browsers = [await site.log_in() for _ in range(3)]
    bob = await site.log_in("bob")

    async def view(request: Any) -> int:
        return await site.auth.sessions.revoke_all(request.user, keep=request.auth.session)

    assert await site.ask(browsers[0], view) == 2
    assert [await site.who(token_of(one)) for one in (*browsers, bob)] == ["ann", "", "", "bob"]
    assert [await site.auth.sessions.revoke_all(await user(site)) for _ in range(2)] == [1, 0]
    assert [(event.user.username, event.count) for event in events] == [("ann", 2), ("ann", 1), ("ann", 0)]
    assert [await site.who(token_of(one)) for one in (browsers[0], bob)] == ["", "bob"]


async def test_purging_deletes_what_has_expired_and_nothing_else(url: str, site: Site, clock: Clock) -> None:
    kept = await site.log_in(remember=True)
    for _ in range(2):
        await site.log_in()
    await site.get(site.browser(), lambda request: request.session.update(a=1))
    clock.advance(hours=24, seconds=-1)
    assert await site.auth.sessions.purge_expired() == 0
    clock.advance(seconds=1)
    assert await site.auth.sessions.purge_expired() == 3
    assert await site.auth.sessions.purge_expired() == 0
    assert await site.who(token_of(kept)) == "ann"
    assert len(await rows(url, site.auth.tables.session)) == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_a_login_beyond_the_limit_ends_the_least_recently_used(sqlite_url: str, clock: Clock, most: int) -> None:
    """Never the new one, even where the clock stands still; never another user's, nor a visitor's."""
    options: dict[str, Any] = {"sessions": SessionPolicy(max_per_user=most), "clock": clock}
    async with site_at(sqlite_url, "ann", "bob", **options) as site:
        bob = await site.log_in("bob")
        visitor = site.browser()
        await site.get(visitor, lambda request: request.session.update(a=1))
        for _ in range(12):
            assert await site.who(token_of(await site.log_in())) == "ann"
        assert len(await ids(site)) == most
        tokens = []
        for _ in range(most):
            clock.advance(minutes=2)
            tokens.append(token_of(await site.log_in()))
        clock.advance(minutes=2)
        assert await site.who(tokens[0]) == "ann"
        tokens.append(token_of(await site.log_in()))
        alive = [await site.who(token) == "ann" for token in tokens]
        assert alive == ([False, True] if most == 1 else [True, False, True, True])
        assert await site.who(token_of(bob)) == "bob"
        assert await site.ask(visitor, lambda request: request.session["a"]) == 1


async def test_twenty_logins_at_once_keep_to_the_limit(url: str) -> None:
    async with site_at(url, "ann", sessions=SessionPolicy(max_per_user=3)) as site:
        await asyncio.gather(*(site.log_in() for _ in range(20)))
        assert len(await ids(site)) == len(await rows(url, site.auth.tables.session)) == 3


async def test_D13_a_raised_epoch_ends_every_session_but_the_one_of_this_request(url: str, site: Site) -> None:
    """That one goes on under a fresh token, with its data; raised by nobody's request, all end."""
    browsers = [await site.log_in() for _ in range(3)]
    bob = await site.log_in("bob")

    async def view(request: Any) -> str:
        request.session["a"] = 1
        await site.auth.sessions.bump_epoch(request.user)
        return str(request.user.username)

    old = token_of(browsers[0])
    assert await site.ask(browsers[0], view) == "ann"
    assert [await site.who(token_of(one)) for one in (*browsers, bob)] == ["ann", "", "", "bob"]
    assert await site.who(old) == ""
    assert await site.ask(browsers[0], lambda request: request.session["a"]) == 1
    await site.auth.sessions.bump_epoch(await user(site))
    assert [await site.who(token_of(one)) for one in (browsers[0], bob)] == ["", "bob"]
    assert await site.who(token_of(await site.log_in())) == "ann"
    assert [row["epoch"] for row in await rows(url, site.auth.tables.user_state)] == [2]


async def test_D13_twenty_who_raise_the_epoch_at_once_all_do(url: str, site: Site) -> None:
    """The first of them adds the row; no one's raise is lost, and none fails."""
    ann = await user(site)
    await asyncio.gather(*(site.auth.sessions.bump_epoch(ann) for _ in range(20)))
    assert [row["epoch"] for row in await rows(url, site.auth.tables.user_state)] == [20]


class Second:
    """A step that everybody needs."""

    name = requirement = path = "second"

    async def applies_to(self, user: User, attempt: object) -> bool:
        return True


async def change_epoch(auth: Auth, ann: User) -> None:
    await auth.sessions.bump_epoch(ann)


async def revoke_all(auth: Auth, ann: User) -> None:
    await auth.sessions.revoke_all(ann)


async def set_password(auth: Auth, ann: User) -> None:
    await auth.users.set_password(ann, NEW)


async def deactivate(auth: Auth, ann: User) -> None:
    await auth.users.update(await auth.users.update(ann, is_active=False), is_active=True)


@pytest.mark.parametrize("end", [change_epoch, revoke_all, set_password, deactivate])
async def test_D13_a_login_that_waits_for_a_step_ends_with_the_sessions(
    sqlite_url: str, end: Callable[[Auth, User], Awaitable[None]]
) -> None:
    async with site_at(sqlite_url, "ann", features=[Extension(login_steps=[Second()])]) as site:
        browser = site.browser()
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert answer.json()["detail"]["code"] == "step_required"
        assert await site.ask(browser, lambda request: request.auth.pending.user.username) == "ann"
        await end(site.auth, await user(site))
        assert await site.ask(browser, lambda request: request.auth.pending) is None


# One's own, over JSON


async def test_T22_ones_own_sessions_and_no_others_are_shown_and_ended(url: str, site: Site) -> None:
    """Another's id is as unknown as one that never was, and nothing happens to it."""
    ann, second, bob = await site.log_in(), await site.log_in(), await site.log_in("bob")
    own, others, bobs = [await site.ask(browser, own_id) for browser in (ann, second, bob)]
    listed = (await ann.get(SESSIONS)).json()["sessions"]
    assert {one["id"]: one["current"] for one in listed} == {own: True, others: False}
    assert set(listed[0]) == {
        "id", "device", "address", "methods", "created", "last_seen", "expires_at", "current"
    }  # fmt: skip
    assert not any(str(token_of(one)) in str(listed) for one in (ann, second))
    for no_id in (bobs, "0" * 64, own.upper(), "x", "%00", "1e400", str(2**63), "%F0%9F%98%80"):
        answer = await ann.delete(f"{SESSIONS}/{no_id}")
        assert answer.status_code == 404, no_id
    assert [await site.who(token_of(one)) for one in (ann, second, bob)] == ["ann", "ann", "bob"]
    answers = [(await ann.delete(f"{SESSIONS}/{others}")).status_code for _ in range(2)]
    assert answers == [204, 404]
    answer = await ann.delete(f"{SESSIONS}/{own}")
    assert (answer.status_code, answer.headers["set-cookie"]) == (204, CLEARED)
    assert (await rows(url, site.auth.tables.session))[0]["key"].hex() == bobs


async def test_T22_the_others_end_together(site: Site) -> None:
    ann, second, third, bob = [await site.log_in(name) for name in ("ann", "ann", "ann", "bob")]
    token = token_of(ann)
    answer = await ann.delete(SESSIONS)
    assert (answer.status_code, answer.content, "set-cookie" in answer.headers) == (204, b"", False)
    assert [await site.who(token_of(one)) for one in (ann, second, third, bob)] == ["ann", "", "", "bob"]
    assert token_of(ann) == token


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", SESSIONS, None),
        ("DELETE", SESSIONS, None),
        ("DELETE", f"{SESSIONS}/{'0' * 64}", None),
        ("POST", CHANGE, {"old_password": PASSWORD, "new_password": NEW}),
    ],
)
async def test_T22_nobody_else_and_no_other_site_gets_there(site: Site, method: str, path: str, body: Any) -> None:
    """401 for the anonymous, a visitor with a session and a dead session; 403 for a request that another site causes."""
    member, visitor, dead = await site.log_in(), site.browser(), site.with_cookie("A" * 43)
    await site.get(visitor, lambda request: request.session.update(a=1))
    for browser in (site.browser(), visitor, dead):
        answer = await browser.request(method, path, json=body)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Cookie"
    if method != "GET":
        answer = await member.request(method, path, json=body, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "csrf_failed")
    assert await site.who(token_of(member)) == "ann"

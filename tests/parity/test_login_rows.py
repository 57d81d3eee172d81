"""Login and logout (rows A7), where tests/login and tests/sessions do not show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request

from asgiauth.events import UserLoggedIn
from asgiauth.exceptions import LoginRefused

from ..sessions.helpers import COOKIE, Site, site_at, token_of


async def test_A7_3_the_event_has_the_session_and_the_last_login(sqlite_url: str) -> None:
    """Deliberately different: it is told in the unit of work, before `request.user` changes; a listener may refuse."""
    told: list[UserLoggedIn] = []

    async def listener(event: UserLoggedIn) -> None:
        told.append(event)
        if event.user.username == "bob":
            raise LoginRefused("not today")

    async with site_at(sqlite_url, "ann", "bob") as site:
        site.auth.events.on(UserLoggedIn, listener)
        ann, bob = [await site.auth.users.get_by(username=name) for name in ("ann", "bob")]

        async def view(request: Request) -> list[str]:
            await request.auth.login(ann)
            with pytest.raises(LoginRefused):
                await request.auth.login(bob)
            return [request.auth.session.id, request.user.username]

        session_id, name = await site.ask(site.browser(), view)
        assert name == "ann"
        assert (told[0].session.id, told[0].user) == (session_id, ann)
        ann, bob = [await site.auth.users.get_by(username=name) for name in ("ann", "bob")]
        assert ann is not None
        assert bob is not None
        assert (ann.last_login, bob.last_login) == (told[0].at, None)


async def test_A7_12_two_backends_each_answer_for_their_own_sessions(sqlite_url: str) -> None:
    """Deliberately different: a backend loads no user, it is asked whether theirs may (still) log in."""
    asked: list[str] = []

    class Door:
        def __init__(self, name: str) -> None:
            self.name = name

        async def authenticate(self, connection: Any, *, door: str) -> None:
            raise NotImplementedError

        def may_log_in(self, user: Any) -> bool:
            asked.append(self.name)
            return bool(user.first_name != self.name)

    async with site_at(sqlite_url, "ann", backends=[Door("front"), Door("back")]) as site:
        ann = await site.auth.users.get_by(username="ann")
        assert ann is not None
        tokens = []
        for door in ("front", "back"):
            browser = site.browser()
            await site.ask(browser, lambda request, door=door: _enter(request, ann, door))  # type: ignore[misc]
            tokens.append(token_of(browser))
        asked.clear()
        assert [await site.who(token) for token in tokens] == ["ann", "ann"]
        assert asked == ["front", "back"]
        await site.auth.users.update(ann, first_name="back")
        assert [await site.who(token) for token in tokens] == ["ann", ""]


async def _enter(request: Request, user: Any, door: str) -> None:
    await request.auth.login(user, backend=door)


async def test_A7_7_without_a_stamp_a_session_is_nobodys(sqlite_url: str) -> None:
    """A row that another hand has written, or an older version."""
    async with site_at(sqlite_url, "ann") as site:
        browser = await site.log_in()
        key = bytes.fromhex(await site.ask(browser, lambda request: request.auth.session.id))
        for stamp in (None, b"", b"x" * 32):
            await site.auth.sessions.store.edit(key, lambda record, stamp=stamp: replace(record, stamp=stamp))  # type: ignore[misc]
            answer = await site.get(site.with_cookie(token_of(browser)), _who)
            assert (answer.json(), COOKIE in answer.headers["set-cookie"]) == ("", True)


def _who(request: Request) -> str:
    return str(request.user.username)


async def test_A7_9_a_password_that_is_set_for_another_user_leaves_this_session_alone(sqlite_url: str) -> None:
    """`update_session_auth_hash` is automatic: the request's own session moves only when it is its own user's."""
    async with site_at(sqlite_url, "ann", "bob") as site:
        bob = await site.auth.users.get_by(username="bob")
        assert bob is not None
        browser, other = await site.log_in(), await site.log_in("bob")
        before = token_of(browser)

        async def view(request: Request) -> str:
            await site.auth.users.set_password(bob, "another horse")
            return str(request.user.username)

        answer = await site.get(browser, view)
        assert (answer.json(), "set-cookie" in answer.headers) == ("ann", False)
        assert [await site.who(token) for token in (before, token_of(other))] == ["ann", ""]


async def test_A7_9_own_password(sqlite_url: str) -> None:
    """The id of the session changes, the user and the data stay."""
    async with site_at(sqlite_url, "ann") as site:
        ann = await site.auth.users.get_by(username="ann")
        assert ann is not None
        browser, other = await site.log_in(), await site.log_in()
        await site.get(browser, lambda request: request.session.update(a=1))
        before = token_of(browser)
        await site.get(browser, lambda request: _set_password(request, site, ann))
        after = token_of(browser)
        assert after != before
        assert await site.ask(browser, lambda request: [request.user.username, dict(request.session)]) == [
            "ann",
            {"a": 1},
        ]
        assert [await site.who(token) for token in (before, token_of(other))] == ["", ""]


async def _set_password(request: Request, site: Site, user: Any) -> None:
    await site.auth.users.set_password(user, "another horse")

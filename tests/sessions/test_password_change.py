"""A new password by somebody who knows the old one: who stays logged in, who does not, and what changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from asgiauth.events import Event, PasswordChanged
from asgiauth.sessions import SessionInfo

from ..conftest import make_auth
from .helpers import COOKIE, PASSWORD, Site, at_once, heard, rows, site_at, token_of, user

NEW = "battery staple"
CHANGE = "/api/auth/password/change"


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    async with site_at(url, "ann", "bob") as site:
        yield site


async def changed(site: Site, browser: Any, old: str = PASSWORD, new: str = NEW) -> Response:
    body = json.dumps({"old_password": old, "new_password": new})  # in ASCII: half a surrogate pair goes through, too
    answer: Response = await browser.post(CHANGE, content=body, headers={"Content-Type": "application/json"})
    return answer


@pytest.mark.parametrize("remember", [False, True])
async def test_A7_9_who_changes_the_password_stays_and_all_others_go(url: str, site: Site, remember: bool) -> None:
    """ASVS 7.4.3: under a fresh id, with the data and the kind of cookie as before; the old token is worthless."""
    events = heard(site.auth, PasswordChanged)
    browser, others = await site.log_in(remember=remember), [await site.log_in() for _ in range(2)]
    await site.get(browser, lambda request: request.session.update(a=1))
    before = (await site.auth.sessions.list(await user(site)))[0]
    old = token_of(browser)
    answer: Any = await changed(site, browser)
    assert (answer.status_code, answer.content) == (204, b"")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith(f"{COOKIE}={token_of(browser)}; ")
    assert ("Max-Age=2592000" in cookie, "Max-Age" in cookie) == (remember, remember)
    assert await site.ask(browser, lambda request: request.session["a"]) == 1
    assert [await site.who(token) for token in (old, *map(token_of, others))] == ["", "", ""]
    (info,) = await site.auth.sessions.list(await user(site))
    assert isinstance(info, SessionInfo)
    assert info.id != before.id
    assert (info.created, info.remember, info.methods) == (before.created, remember, ("password",))
    assert [event.user.username for event in events] == ["ann"]
    assert len(await rows(url, site.auth.tables.session)) == 1
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        answer = await site.browser().post("/api/auth/login", json={"username": "ann", "password": password})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ("wrong", NEW, {"old_password": ["incorrect"]}),
        ("", NEW, {"old_password": ["incorrect"]}),
        ("x" * 2000, NEW, {"old_password": ["incorrect"]}),
        (PASSWORD, "short", {"new_password": ["password_too_short"]}),
        (PASSWORD, "", {"new_password": ["password_too_short", "password_blank"]}),
        (PASSWORD, "x" * 1025, {"new_password": ["password_too_long"]}),
        (PASSWORD, "\ud800" * 8, {"new_password": ["password_not_unicode"]}),
        ("wrong", "short", {"old_password": ["incorrect"]}),
    ],
)
async def test_a_password_that_is_not_changed_changes_nothing(sqlite_url: str, old: str, new: str, fields: Any) -> None:
    """422 names the field; no session ends, no token changes, and the policy is asked only of who knows the old one."""
    async with site_at(sqlite_url, "ann") as site:
        browser, other = await site.log_in(), await site.log_in()
        answer: Any = await changed(site, browser, old, new)
        assert (answer.status_code, answer.json()["detail"]["fields"]) == (422, fields)
        assert "set-cookie" not in answer.headers
        assert [await site.who(token_of(one)) for one in (browser, other, await site.log_in())] == ["ann"] * 3


@pytest.mark.parametrize("one_session", [True, False])
async def test_of_fifty_changes_at_once_with_one_old_password_one_wins(site: Site, one_session: bool) -> None:
    """From one session or from fifty: the winner's password is the password, and the winner alone is logged in."""
    first = await site.log_in()
    browsers = [site.with_cookie(token_of(first)) if one_session else await site.log_in() for _ in range(50)]

    async def change(request: Any, i: int) -> Response:
        action = next(action for action in site.auth.actions if action.name == "password_change")
        try:
            await action.run(request.auth, old_password=PASSWORD, new_password=f"{NEW} {i}")
        except Exception as error:
            return JSONResponse(str(error), 422)
        return JSONResponse("changed")

    answers = await at_once(site, browsers, change)
    winners = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    assert len(winners) == 1
    assert {answer.json() for answer in answers} == {"changed", "old_password: incorrect"}
    ann = await user(site)
    assert [await site.auth.users.check_password(ann, password) for password in (PASSWORD, f"{NEW} {winners[0]}")] == [
        False,
        True,
    ]
    alive = [i for i, browser in enumerate(browsers) if await site.who(token_of(browser)) == "ann"]
    assert alive == winners
    assert len(await site.auth.sessions.list(ann)) == 1


async def test_a_user_without_a_password_changes_none(site: Site) -> None:
    browser = await site.log_in()

    async def view(request: Any) -> None:
        await site.auth.users.set_password(request.user, None)

    await site.get(browser, view)
    assert await site.who(token_of(browser)) == "ann"
    answer: Any = await changed(site, browser)
    assert (answer.status_code, answer.json()["detail"]["fields"]) == (422, {"old_password": ["incorrect"]})


async def test_a_listener_that_fails_takes_the_change_back_with_all_that_belongs_to_it(site: Site) -> None:
    """Password, sessions and the fresh token: all as before."""
    browser, other = await site.log_in(), await site.log_in()

    async def fail(event: Event) -> None:
        raise LookupError

    site.auth.events.on(PasswordChanged, fail)
    with pytest.raises(LookupError):
        await changed(site, browser)
    assert [await site.who(token_of(one)) for one in (browser, other, await site.log_in())] == ["ann"] * 3


async def test_a_password_that_somebody_else_sets_ends_every_session_and_keeps_the_setters(site: Site) -> None:
    ann, bob = await site.log_in(), await site.log_in("bob")

    async def view(request: Any) -> None:
        await site.auth.users.set_password(await user(site, "bob"), NEW)

    answer = await site.get(ann, view)
    assert "set-cookie" not in answer.headers
    assert [await site.who(token_of(one)) for one in (ann, bob)] == ["ann", ""]


async def test_two_auths_in_one_application_each_move_their_own_session(sqlite_url: str, tmp_path: Any) -> None:
    """The one inside knows nothing of the request of the one around it."""
    inner_auth = make_auth(f"sqlite:///{tmp_path / 'inner.db'}", realm="inner")
    async with site_at(sqlite_url, "ann") as outer, inner_auth:
        await inner_auth.create_tables()
        await inner_auth.users.create("ann", password=PASSWORD)
        inner = Site(inner_auth)
        app = Site(outer.auth, Mount("/inner", app=inner.app))
        browser = await app.log_in()
        token = token_of(browser)
        login = {"username": "ann", "password": PASSWORD}
        assert (await browser.post("/inner/api/auth/login", json=login)).status_code == 200
        body = {"old_password": PASSWORD, "new_password": NEW}
        answer = await browser.post("/inner/api/auth/password/change", json=body)
        assert answer.status_code == 204
        assert [cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")] == [f"{COOKIE}-inner"]
        assert (token_of(browser), await outer.who(token)) == (token, "ann")
        assert (await browser.get("/inner/api/auth/session")).json()["user"]["username"] == "ann"

"""`request.session` beyond a dictionary: its id, its end, and what a login does with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from asgiauth.exceptions import SessionClosed
from asgiauth.testing import WebSocketRefused, websocket

from ..conftest import make_auth
from ..contracts.conftest import app_engine
from .helpers import CLEARED, COOKIE, Site, execute, rows, site_at, token_of


def data(request: Any) -> dict[str, Any]:
    return dict(request.session)


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    async with site_at(url, "ann", "bob") as site:
        yield site


@pytest.fixture
async def sqlite_site(sqlite_url: str) -> AsyncIterator[Site]:
    async with site_at(sqlite_url, "ann") as site:
        yield site


# Its id, and its end


async def test_A8_6_cycle_key_keeps_the_data_under_a_fresh_id(url: str, site: Site) -> None:
    """For a user and for a visitor, on each server; the old token is dead at once."""
    for browser in (await site.log_in(remember=True), site.browser()):
        await site.get(browser, lambda request: request.session.update(a=1))
        old = token_of(browser)

        async def cycle(request: Any) -> Any:
            before = request.session.session_key
            request.session["b"] = 2
            await request.session.cycle_key()
            return [before, request.session.session_key, data(request), request.user.username]

        before, after, seen, name = await site.ask(browser, cycle)
        assert before != after
        assert seen == await site.ask(browser, data) == {"a": 1, "b": 2}
        assert await site.ask(browser, lambda request: request.session.session_key) == after
        assert await site.ask(site.with_cookie(old), data) == {}
        assert await site.who(token_of(browser)) == name
    assert len(await rows(url, site.auth.tables.session)) == 2


async def test_A8_6_cycle_key_of_nothing_is_nothing_and_of_an_ended_session_its_end(url: str, site: Site) -> None:
    async def cycle(request: Any) -> str:
        if request.auth.session is not None:
            await site.auth.sessions.revoke(request.auth.session.id)
        await request.session.cycle_key()
        return str(request.user.username)

    answer = await site.get(site.browser(), cycle)
    assert "set-cookie" not in answer.headers
    answer = await site.get(await site.log_in(), cycle)
    assert (answer.json(), answer.headers["set-cookie"]) == ("", CLEARED)
    assert await rows(url, site.auth.tables.session) == []


async def test_A8_5_flush_ends_the_session_with_its_data(url: str, site: Site) -> None:
    """And logs out; what is stored after it starts a session of its own."""

    async def flush(request: Any) -> Any:
        await request.session.flush()
        return [data(request), request.session.session_key, request.user.username, request.session.is_empty()]

    async def flush_and_store(request: Any) -> None:
        await request.session.flush()
        request.session["b"] = 2

    for view, after in ((flush, {}), (flush_and_store, {"b": 2})):
        for browser in (await site.log_in(), site.browser()):
            await site.get(browser, lambda request: request.session.update(a=1))
            old = token_of(browser)
            answer = await site.get(browser, view)
            assert answer.json() == (None if after else [{}, None, "", True])
            assert (answer.headers["set-cookie"] == CLEARED) == (not after)
            assert await site.ask(browser, data) == after
            assert await site.ask(site.with_cookie(old), data) == {}
    assert [json.loads(row["data"]) for row in await rows(url, site.auth.tables.session)] == [{"b": 2}, {"b": 2}]


async def test_A8_8_the_test_cookie_worked_when_it_came_back(sqlite_site: Site) -> None:
    browser = sqlite_site.browser()
    assert await sqlite_site.ask(browser, lambda request: request.session.test_cookie_worked()) is False
    await sqlite_site.get(browser, lambda request: request.session.set_test_cookie())
    assert await sqlite_site.ask(browser, data) == {"testcookie": "worked"}
    assert await sqlite_site.ask(browser, lambda request: request.session.test_cookie_worked()) is True
    await sqlite_site.get(browser, lambda request: request.session.delete_test_cookie())
    assert await sqlite_site.ask(browser, lambda request: request.session.test_cookie_worked()) is False
    assert await sqlite_site.ask(sqlite_site.browser(), lambda request: request.session.delete_test_cookie()) is None


# Visitors


async def test_D10_a_visitor_has_no_row_until_something_is_stored_and_none_once_it_is_empty(
    url: str, site: Site
) -> None:
    """A8.7, A8.21. A user's session stays, however empty."""
    browser = site.browser()

    def look(request: Any) -> Any:
        return [request.session.is_empty(), request.session.session_key, dict(request.session), request.auth.session]

    async def nothing(request: Any) -> Any:
        request.session["a"] = 1
        del request.session["a"]
        return look(request)

    for view in (look, nothing):
        answer = await site.get(browser, view)
        assert (answer.json(), "set-cookie" in answer.headers) == ([True, None, {}, None], False)
    assert await rows(url, site.auth.tables.session) == []
    await site.get(browser, lambda request: request.session.update(a=1))
    (row,) = await rows(url, site.auth.tables.session)
    assert (row["user_id"], row["stamp"]) == (None, None)
    assert await site.ask(browser, look) == [False, row["key"].hex(), {"a": 1}, None]
    answer = await site.get(browser, lambda request: request.session.clear())
    assert (answer.headers["set-cookie"], await rows(url, site.auth.tables.session)) == (CLEARED, [])
    member = await site.log_in()
    answer = await site.get(member, lambda request: request.session.clear())
    assert ("set-cookie" in answer.headers, len(await rows(url, site.auth.tables.session))) == (False, 1)
    assert await site.who(token_of(member)) == "ann"


async def login(request: Any, name: str, site: Site) -> None:
    await request.auth.login(await site.auth.users.get_by(username=name))


async def test_A7_1_a_visitors_data_goes_on_after_the_login_and_anothers_does_not(url: str, site: Site) -> None:
    """Always under a fresh id, with what the request itself had stored; the old row is gone."""
    browser = site.browser()
    await site.get(browser, lambda request: request.session.update(cart=[1], gone=1))
    for name, before, after in (
        ("ann", {"cart": [1], "gone": 1}, {"cart": [1], "new": "ann"}),
        ("ann", {"cart": [1], "new": "ann"}, {"cart": [1], "new": "ann"}),
        ("bob", {"cart": [1], "new": "ann"}, {}),
    ):

        async def view(request: Any, name: str = name) -> Any:
            seen = data(request)
            request.session.pop("gone", None)
            request.session["new"] = name
            await login(request, name, site)
            return [seen, data(request)]

        token = token_of(browser)
        assert await site.ask(browser, view) == [before, after]
        assert await site.ask(browser, data) == after
        assert await site.ask(site.with_cookie(token), data) == {}
        assert len(await rows(url, site.auth.tables.session)) == 1


async def test_A7_1_looking_again_before_the_login_loses_nothing_and_leaves_nothing(url: str, site: Site) -> None:
    """`refresh()` of a visitor is harmless: a login and a logout after it end the visitor's session all the same."""
    for leave in (False, True):
        browser = site.browser()
        await site.get(browser, lambda request: request.session.update(cart=[1]))
        token = token_of(browser)

        async def view(request: Any, leave: bool = leave) -> None:
            assert await request.auth.refresh() is None
            await (request.auth.logout() if leave else login(request, "ann", site))

        await site.get(browser, view)
        assert await site.ask(site.with_cookie(token), data) == {}
        assert await site.ask(browser, data) == ({} if leave else {"cart": [1]})
    assert len(await rows(url, site.auth.tables.session)) == 1


# WebSockets, and where it cannot be saved


async def test_a_websocket_saves_before_it_is_accepted(sqlite_url: str, sqlite_site: Site) -> None:
    """A first cookie comes with the acceptance; where it is refused, nothing is stored."""

    async def socket(connection: Any) -> None:
        connection.session["n"] = connection.session.get("n", 0) + 1
        if "refuse" in connection.query_params:
            await connection.close()
        else:
            await connection.accept()
            await connection.send_json(len(await rows(sqlite_url, sqlite_site.auth.tables.session)))

    site = Site(sqlite_site.auth, WebSocketRoute("/socket", socket))
    browser = site.browser()
    with pytest.raises(WebSocketRefused):
        async with websocket(browser, "/socket?refuse=1"):
            pass
    assert await rows(sqlite_url, site.auth.tables.session) == []
    async with websocket(browser, "/socket") as opened:
        assert opened.accepted_headers["set-cookie"].startswith(f"{COOKIE}=")
        assert await opened.receive_json() == 1
    assert await site.ask(browser, data) == {"n": 1}


@pytest.mark.parametrize("logged_in", [True, False])
async def test_A8_a_session_that_cannot_be_saved_is_503_instead_of_the_page(
    url: str, site: Site, logged_in: bool
) -> None:
    """The page would claim what is not so. The cookie stays: whose it is could not be told."""

    async def view(request: Any) -> Response:
        await execute(url, "DROP TABLE asgiauth_session")
        request.session["a"] = 1
        return PlainTextResponse("saved", headers={"Set-Cookie": "own=1", "X-Own": "1"})

    browser = await site.log_in() if logged_in else site.browser()
    answer = await site.get(browser, view)
    assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert not {"set-cookie", "x-own"} & set(answer.headers)
    assert (token_of(browser) is not None) == logged_in


async def test_a_websocket_whose_session_cannot_be_saved_is_told_to_try_again_later(sqlite_url: str) -> None:
    """1013 instead of an acceptance whose cookie would be worthless."""

    async def socket(connection: Any) -> None:
        await execute(sqlite_url, "DROP TABLE asgiauth_session")
        connection.session["a"] = 1
        await connection.accept()

    async with site_at(sqlite_url) as site:
        browser = Site(site.auth, WebSocketRoute("/socket", socket)).browser()
        with pytest.raises(WebSocketRefused) as refused:
            async with websocket(browser, "/socket"):
                pass
    assert (refused.value.code, token_of(browser)) == (1013, None)


async def test_a_path_under_skip_has_an_empty_session_that_takes_nothing() -> None:
    """DESIGN 9: without any lookup, so that not even a database is needed; a look-alike path is no such path."""
    auth = make_auth("sqlite:///never.db", skip=["/static/"])

    async def skipped(request: Any) -> Response:
        with pytest.raises(SessionClosed, match="skip"):
            request.session["a"] = 1
        with pytest.raises(SessionClosed, match="skip"):
            await request.session.cycle_key()
        with pytest.raises(SessionClosed, match="skip"):
            await request.auth.logout()
        return PlainTextResponse(f"{request.user.is_authenticated} {dict(request.session)} {request.auth.session}")

    async def socket(connection: Any) -> None:
        await connection.accept()
        await connection.send_text(f"{connection.user.is_authenticated}")

    endpoint = Route("/{path:path}", skipped)
    site = Site(auth, WebSocketRoute("/static/socket", socket), endpoint)
    browser = site.with_cookie("A" * 43)
    answer = await browser.get("/static/logo.png")
    assert (answer.status_code, answer.text, "set-cookie" in answer.headers) == (200, "False {} None", False)
    async with websocket(browser, "/static/socket") as opened:
        assert await opened.receive_text() == "False"
    for path in ("/static", "/statics/x", "/a/static/x"):
        assert (await browser.get(path)).status_code == 503


async def test_a_session_is_not_saved_inside_joined(sqlite_url: str, sqlite_site: Site) -> None:
    """DESIGN 6: a rollback by the application would take back what the response has told the browser."""
    engine = app_engine(sqlite_url)

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        async with engine.connect() as connection, sqlite_site.auth.joined(connection):
            scope["session"]["a"] = 1
            await PlainTextResponse("saved")(scope, receive, send)

    site = Site(sqlite_site.auth, Mount("/inside", app=inside))
    browser = await site.log_in()
    try:
        with pytest.raises(RuntimeError, match="commit"):
            await browser.get("/inside/")
        assert await site.ask(browser, data) == {}
    finally:
        await engine.dispose()

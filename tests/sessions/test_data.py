"""`request.session`: what a view stores in it, when that is saved, and when it is not (rows A8)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from datetime import date
from functools import partial
from typing import Any

import httpx2
import pytest
from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from asgiauth.exceptions import SessionClosed
from asgiauth.testing import Clock, websocket

from .helpers import CLEARED, PASSWORD, Site, at_once, rows, site_at, token_of


def data(request: Any) -> dict[str, Any]:
    return dict(request.session)


def store(request: Any, **values: Any) -> None:
    request.session.update(values)


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    async with site_at(url, "ann", "bob") as site:
        yield site


@pytest.fixture
async def sqlite_site(sqlite_url: str) -> AsyncIterator[Site]:
    async with site_at(sqlite_url, "ann", "bob") as site:
        yield site


# The dictionary

START = {"a": 1, "b": [2]}


def nested(session: Any) -> None:
    session["b"].append(3)
    session.modified = True


OPERATIONS: list[tuple[str, Callable[[Any], Any], dict[str, Any], bool]] = [
    ("set", lambda s: s.__setitem__("c", {"d": None}), {**START, "c": {"d": None}}, True),
    ("set again", lambda s: s.__setitem__("a", "1"), {"a": "1", "b": [2]}, True),
    ("del", lambda s: s.__delitem__("a"), {"b": [2]}, True),
    ("pop", lambda s: s.pop("a"), {"b": [2]}, True),
    ("pop what is not there", lambda s: s.pop("x", None), START, False),
    ("popitem", lambda s: s.popitem(), {"a": 1}, True),
    ("setdefault", lambda s: s.setdefault("c", 3), {**START, "c": 3}, True),
    ("setdefault of what is there", lambda s: s.setdefault("a", 3), START, False),
    ("update", lambda s: s.update({"a": 2}, c=True), {"a": 2, "b": [2], "c": True}, True),
    ("|=", lambda s: s.__ior__({"a": 2.5}), {"a": 2.5, "b": [2]}, True),
    ("clear", lambda s: s.clear(), {}, True),
    ("nested", lambda s: s["b"].append(3), START, False),
    ("nested and modified", nested, {"a": 1, "b": [2, 3]}, True),
    ("read", lambda s: (s["a"], s.get("b"), "c" in s, list(s), len(s), bool(s), dict(s.items())), START, False),
    ("integer keys", lambda s: s.update({7: 8}), {**START, "7": 8}, True),
]


@pytest.mark.parametrize(
    ("change", "after", "modified"), [row[1:] for row in OPERATIONS], ids=[r[0] for r in OPERATIONS]
)
async def test_A8_3_A8_4_it_is_a_dictionary_that_knows_whether_it_was_changed(
    sqlite_site: Site, change: Callable[[Any], Any], after: dict[str, Any], modified: bool
) -> None:
    """Inside of a value it does not look: that needs `modified = True`."""
    browser = await sqlite_site.log_in()
    await sqlite_site.get(browser, lambda request: request.session.update(START))

    def view(request: Any) -> bool:
        change(request.session)
        return bool(request.session.modified)

    assert await sqlite_site.ask(browser, view) == modified
    assert await sqlite_site.ask(browser, data) == after


@pytest.mark.parametrize("change", [lambda s: s.__delitem__("x"), lambda s: s.pop("x"), lambda s: s.popitem()])
async def test_A8_3_what_is_not_there_is_a_key_error(sqlite_site: Site, change: Callable[[Any], Any]) -> None:
    def view(request: Any) -> None:
        with pytest.raises(KeyError):
            change(request.session)

    answer = await sqlite_site.get(sqlite_site.browser(), view)
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)


TEXTS = ["", "\0", "\x7f\u2028", "ä€😀", "\ud800", "'\"\\;--", "NULL", "%s %(a)s :a ?"]


async def test_A8_18_json_comes_back_as_it_went_on_each_server(site: Site) -> None:
    values = {**{text: text for text in TEXTS}, "n": [None, True, -1, 2**70, 0.1, 1e300], "o": {"": {}, "l": [[]]}}
    browser = site.browser()
    await site.get(browser, lambda request: request.session.update(values))
    assert await site.ask(browser, lambda request: request.session == values)


@pytest.mark.parametrize("value", [object(), {1}, b"x", date(2026, 1, 1), math.nan, {"deep": [math.inf]}, {(1, 2): 3}])
async def test_what_is_not_json_is_a_programming_error_and_nothing_is_kept(sqlite_site: Site, value: Any) -> None:
    browser = await sqlite_site.log_in()
    with pytest.raises((TypeError, ValueError)):
        await sqlite_site.get(browser, lambda request: request.session.update(good=1, bad=value))
    assert await sqlite_site.ask(browser, data) == {}


LARGEST = 64 * 1024 - len('{"a":""}')


async def test_D10_64_kib_fit_and_one_byte_more_is_refused_and_changes_nothing(site: Site) -> None:
    """Counted as JSON, all keys together, those that other requests have saved too."""
    browser = await site.log_in()
    await site.get(browser, partial(store, a="x" * LARGEST))
    for change in ({"a": "x" * (LARGEST + 1)}, {"b": ""}, {"a": "ä" * (LARGEST // 6 + 1)}):
        assert (await site.get(browser, partial(store, **change))).status_code == 413
        assert await site.ask(browser, data) == {"a": "x" * LARGEST}

    async def fill(request: Any) -> None:
        request.session["a"] = "y" * (LARGEST - 10)
        await site.get(browser, lambda inner: inner.session.update(a="", b="z" * 10))

    assert (await site.get(browser, fill)).status_code == 413
    assert await site.ask(browser, data) == {"a": "", "b": "z" * 10}


async def test_D10_too_large_a_session_is_413_with_a_code(sqlite_site: Site) -> None:
    browser = sqlite_site.browser()
    answer = await sqlite_site.get(browser, lambda request: request.session.update(a="x" * (LARGEST + 1)))
    assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "session_too_large")


# When it is saved


async def test_it_is_in_the_database_before_the_response_starts(url: str, site: Site) -> None:
    """So the next request, however soon, finds it; and a failure can still be told."""
    seen: list[Any] = []

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.extend(row["data"] for row in await rows(url, site.auth.tables.session))
            await send(message)

        await site.app(scope, receive, watched)

    browser = site.browser(transport=httpx2.ASGITransport(app=outside))
    await site.get(browser, lambda request: request.session.update(a=1))
    assert seen == ['{"a":1}']


async def test_A8_20_it_is_written_only_when_it_was_changed(url: str) -> None:
    clock = Clock()
    async with site_at(url, clock=clock) as site:
        browser = site.browser()
        await site.get(browser, lambda request: request.session.update(a=1, b=2))
        for view, written in ((data, False), (lambda request: request.session.pop("b"), True), (data, False)):
            clock.advance(seconds=10)
            answer = await site.get(browser, view)
            (row,) = await rows(url, site.auth.tables.session)
            assert (row["last_seen"] == clock()) == written
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("status", [200, 204, 303, 404, 422, 499, 500, 503])
async def test_A8_20_it_is_not_saved_for_a_server_error(sqlite_site: Site, status: int) -> None:
    """Neither the data of a user nor a first one of a visitor, who gets no cookie."""
    for browser in (await sqlite_site.log_in(), sqlite_site.browser()):

        def view(request: Any) -> Response:
            request.session["a"] = 1
            return RedirectResponse("/", status) if status == 303 else Response(status_code=status)

        answer = await sqlite_site.get(browser, view)
        assert answer.status_code == status
        assert ("set-cookie" in answer.headers) == (status < 500 and "cookie" not in answer.request.headers)
        assert await sqlite_site.ask(browser, data) == ({"a": 1} if status < 500 else {})


async def test_A8_20_it_is_not_saved_when_the_view_crashes(sqlite_site: Site) -> None:
    browser = await sqlite_site.log_in()

    def view(request: Any) -> None:
        request.session["a"] = 1
        raise LookupError

    with pytest.raises(LookupError):
        await sqlite_site.get(browser, view)
    assert await sqlite_site.ask(browser, data) == {}


@pytest.mark.parametrize("status", [500, 503])
async def test_logout_and_rotation_count_in_spite_of_a_server_error(sqlite_site: Site, status: int) -> None:
    async def rotate(request: Any) -> Response:
        await request.session.cycle_key()
        return Response(status_code=status)

    async def leave(request: Any) -> Response:
        await request.auth.logout()
        return Response(status_code=status)

    browser = await sqlite_site.log_in()
    old = token_of(browser)
    await sqlite_site.get(browser, rotate)
    assert [await sqlite_site.who(token) for token in (old, token_of(browser))] == ["", "ann"]
    old = token_of(browser)
    await sqlite_site.get(browser, leave)
    assert (await sqlite_site.who(old), token_of(browser)) == ("", None)


# Several requests at once


@pytest.mark.parametrize("logged_in", [True, False])
async def test_fifty_requests_that_each_change_another_key_lose_nothing(site: Site, logged_in: bool) -> None:
    browser = await site.log_in() if logged_in else site.browser()
    await site.get(browser, lambda request: request.session.update({f"old{i}": i for i in range(25)}))

    def change(request: Any, i: int) -> None:
        if i % 2:
            del request.session[f"old{i // 2}"]
        request.session[f"new{i}"] = i

    answers = await at_once(site, [browser] * 50, change)
    assert {answer.status_code for answer in answers} == {200}
    assert await site.ask(browser, data) == {f"new{i}": i for i in range(50)}


async def test_the_last_of_two_that_change_the_same_key_wins_and_a_removed_key_stays_removed(sqlite_site: Site) -> None:
    browser = sqlite_site.browser()
    await sqlite_site.get(browser, lambda request: request.session.update(same=0, kept=0, gone=0))

    def fast(request: Any) -> None:
        del request.session["gone"]
        request.session.update(same="fast", kept=1)

    async def slow(request: Any) -> None:
        request.session["same"] = "slow"
        await sqlite_site.get(browser, fast)

    await sqlite_site.get(browser, slow)
    assert await sqlite_site.ask(browser, data) == {"same": "slow", "kept": 1}


async def test_a_logout_among_fifty_writes_stays_a_logout(url: str, site: Site) -> None:
    """No row comes back, the token is dead, and all requests are answered: those too late clear the cookie."""
    browser = await site.log_in()
    token = token_of(browser)

    async def change(request: Any, i: int) -> None:
        request.session[f"key{i}"] = i
        if i == 25:
            await request.auth.logout()
            request.session.clear()

    answers = await at_once(site, [site.with_cookie(token) for _ in range(51)], change)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers.get("set-cookie") for answer in answers} <= {None, CLEARED}
    assert answers[25].headers["set-cookie"] == CLEARED
    assert await rows(url, site.auth.tables.session) == []
    assert await site.who(token) == ""


async def _logout(site: Site, token: str) -> None:
    await site.with_cookie(token).post("/api/auth/logout")


async def _revoke(site: Site, token: str) -> None:
    await site.auth.sessions.revoke(
        await site.ask(site.with_cookie(token), lambda request: request.session.session_key)
    )


async def _new_password(site: Site, token: str) -> None:
    ann = await site.auth.users.get_by(username="ann")
    assert ann is not None
    await site.auth.users.set_password(ann, PASSWORD)


async def _deleted(site: Site, token: str) -> None:
    ann = await site.auth.users.get_by(username="ann")
    assert ann is not None
    await site.auth.users.delete(ann)


async def _rotated(site: Site, token: str) -> None:
    await site.get(site.with_cookie(token), lambda request: request.session.cycle_key())


@pytest.mark.parametrize("end", [_logout, _revoke, _new_password, _deleted, _rotated])
async def test_A8_22_a_session_that_ended_meanwhile_is_not_made_anew(url: str, site: Site, end: Any) -> None:
    """Deliberately different from Django: the response goes out, and only its cookie is cleared."""
    browser = await site.log_in()
    token = token_of(browser)

    async def view(request: Any) -> str:
        await asyncio.create_task(end(site, token), context=Context())  # a request of its own
        request.session["a"] = 1
        return "the page"

    answer = await site.get(browser, view)
    assert (answer.status_code, answer.json(), answer.headers.get_list("set-cookie")) == (200, "the page", [CLEARED])
    assert await site.who(token) == ""
    assert [row for row in await rows(url, site.auth.tables.session) if '"a"' in row["data"]] == []


# Too late

LATE: list[Callable[[Any], Any]] = [
    lambda r: r.session.__setitem__("a", 1),
    lambda r: r.session.__delitem__("kept"),
    lambda r: r.session.pop("kept"),
    lambda r: r.session.popitem(),
    lambda r: r.session.update(a=1),
    lambda r: r.session.__ior__({"a": 1}),
    lambda r: r.session.setdefault("a", 1),
    lambda r: r.session.clear(),
    lambda r: setattr(r.session, "modified", True),
    lambda r: r.session.set_expiry(60),
    lambda r: r.session.set_expiry(None),
    lambda r: r.session.set_test_cookie(),
    lambda r: r.session.cycle_key(),
    lambda r: r.session.flush(),
    lambda r: r.auth.login(r.user),
    lambda r: r.auth.logout(),
]


async def late(connection: Any) -> list[str]:
    """What does not raise SessionClosed, or changes something all the same."""
    wrong = []
    for i, change in enumerate(LATE):
        try:
            result = change(connection)
            if result is not None:
                await result
        except SessionClosed as error:
            if "response has begun" in str(error) and dict(connection.session) == {"kept": 1, "_session_expiry": 900}:
                continue
        wrong.append(str(i))
    return wrong


async def keep(request: Any) -> None:
    request.session["kept"] = 1
    request.session.set_expiry(900)


@pytest.mark.parametrize("where", ["stream", "background", "websocket"])
async def test_what_is_written_after_the_response_began_is_refused(sqlite_site: Site, where: str) -> None:
    """It could not be kept, so it must not look as if it was: in each way of writing, and reading still works."""
    wrong: list[str] = ["never ran"]

    async def body(request: Any) -> AsyncIterator[bytes]:
        yield b"1"
        wrong[:] = await late(request)

    async def background(request: Any) -> None:
        wrong[:] = await late(request)

    async def socket(connection: Any) -> None:
        await connection.accept()
        wrong[:] = await late(connection)
        await connection.close()

    site = Site(sqlite_site.auth, WebSocketRoute("/socket", socket))
    browser = await site.log_in()
    await site.get(browser, keep)
    if where == "stream":
        await site.get(browser, lambda request: StreamingResponse(body(request)))
    elif where == "background":
        await site.get(browser, lambda request: Response(background=BackgroundTask(background, request)))
    else:
        async with websocket(browser, "/socket"):
            pass
    assert wrong == []
    assert await site.ask(browser, data) == {"kept": 1, "_session_expiry": 900}
    assert await site.who(token_of(browser)) == "ann"

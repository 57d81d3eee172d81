"""What Django's session suite asks of each of its engines (rows A8), asked of the SQL and of the memory store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from asgiauth import SessionCookie, SessionPolicy
from asgiauth.sessions import MemorySessionStore, SqlSessionStore
from asgiauth.testing import Client, Clock

from ..sessions.helpers import CLEARED, Site, site_at, token_of

WEEK = timedelta(days=7)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[SqlSessionStore, MemorySessionStore])
async def site(request: pytest.FixtureRequest, sqlite_url: str, clock: Clock) -> AsyncIterator[Site]:
    policy = SessionPolicy(store=request.param(), idle=timedelta(days=2), absolute=WEEK)
    async with site_at(sqlite_url, "ann", sessions=policy, clock=clock) as site:
        yield site


def data(request: Any) -> dict[str, Any]:
    return dict(request.session)


def key(request: Any) -> str | None:
    return str(request.session.session_key) if request.session.session_key else None


async def stored(site: Site, session_key: str) -> bool:
    return await site.auth.sessions.store.load(bytes.fromhex(session_key)) is not None


async def with_data(site: Site) -> tuple[Client, str]:
    """A visitor with `{"a": "b"}`, and the session's id."""
    browser = site.browser()
    await site.get(browser, lambda request: request.session.update(a="b"))
    return browser, await site.ask(browser, key)


DICTIONARY: list[tuple[Callable[[Any], Any], Any, dict[str, Any], bool]] = [
    (lambda s: s.get("cat"), None, {"a": "b"}, False),
    (lambda s: s.__setitem__("cat", "dog"), None, {"a": "b", "cat": "dog"}, True),
    (lambda s: s.pop("a"), "b", {}, True),
    (lambda s: s.pop("cat", "none"), "none", {"a": "b"}, False),
    (lambda s: s.setdefault("cat", "dog"), "dog", {"a": "b", "cat": "dog"}, True),
    (lambda s: s.setdefault("a", "dog"), "b", {"a": "b"}, False),
    (lambda s: s.update({"cat": 1}), None, {"a": "b", "cat": 1}, True),
    (lambda s: "a" in s, True, {"a": "b"}, False),
    (lambda s: list(s.values()), ["b"], {"a": "b"}, False),
    (lambda s: list(s.keys()), ["a"], {"a": "b"}, False),
    (lambda s: list(s.items()), [["a", "b"]], {"a": "b"}, False),
    (lambda s: s.clear(), None, {}, True),
]


@pytest.mark.parametrize(("use", "result", "after", "modified"), DICTIONARY)
async def test_A8_3_a_dictionary_that_is_kept_when_it_was_modified(
    site: Site, use: Callable[[Any], Any], result: Any, after: dict[str, Any], modified: bool
) -> None:
    browser, _ = await with_data(site)

    def view(request: Any) -> list[Any]:
        assert request.session.modified is False
        return [use(request.session), request.session.modified]

    assert await site.ask(browser, view) == [result, modified]
    assert await site.ask(browser, data) == after


async def test_A8_3_what_is_not_there_is_a_key_error(site: Site) -> None:
    def view(request: Any) -> None:
        for use in (request.session.pop, request.session.__getitem__, request.session.__delitem__):
            with pytest.raises(KeyError):
                use("cat")

    await site.ask(site.browser(), view)


async def test_A8_3_a_session_without_data_is_false(site: Site) -> None:
    """Deliberately different: also one that has an id, as any dictionary; `is_empty()` asks for that."""
    member = await site.log_in()
    browser, _ = await with_data(site)

    def look(request: Any) -> list[bool]:
        return [bool(request.session), request.session.is_empty()]

    assert [await site.ask(one, look) for one in (site.browser(), member, browser)] == [
        [False, True],
        [False, False],
        [True, False],
    ]


async def test_A8_1_the_id_is_read_only_and_not_what_the_cookie_holds(site: Site) -> None:
    """Deliberately different: nobody can name an id, so there is none that is too short."""
    browser, session_key = await with_data(site)

    def view(request: Any) -> None:
        with pytest.raises(AttributeError):
            request.session.session_key = "12345678"

    await site.ask(browser, view)
    token = token_of(browser)
    assert token is not None
    assert await site.ask(site.with_cookie(session_key), data) == {}
    assert (len(token), len(bytes.fromhex(session_key))) == (43, 32)


@pytest.mark.parametrize("planted", ["", "1", "1234567", "someunknownkey", "A" * 43, "a/b/c", "a\\b\\c", "x" * 1240])
async def test_A8_2_an_unknown_id_is_forgotten_and_nothing_is_made_for_it(site: Site, planted: str) -> None:
    browser = site.browser(headers={"Cookie": f"__Host-asgiauth={planted}"})
    answer = await site.get(browser, lambda request: [data(request), key(request)])
    assert (answer.json(), answer.headers["set-cookie"]) == ([{}, None], CLEARED)
    answer = await site.get(browser, lambda request: request.session.update(a=1))
    token = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert token != planted
    assert await site.ask(site.with_cookie(token), data) == {"a": 1}


async def test_A8_5_flush(site: Site) -> None:
    browser, before = await with_data(site)
    assert await stored(site, before)

    async def view(request: Any) -> list[Any]:
        await request.session.flush()
        return [data(request), key(request)]

    answer = await site.get(browser, view)
    assert (answer.json(), answer.headers["set-cookie"]) == ([{}, None], CLEARED)
    assert not await stored(site, before)
    answer = await site.get(browser, view)
    assert (answer.json(), "set-cookie" in answer.headers, answer.headers["vary"]) == ([{}, None], False, "Cookie")


async def test_A8_6_cycle_key(site: Site) -> None:
    browser, before = await with_data(site)
    await site.ask(browser, lambda request: request.session.cycle_key())
    after = await site.ask(browser, key)
    assert after != before
    assert [await stored(site, one) for one in (before, after)] == [False, True]
    assert await site.ask(browser, data) == {"a": "b"}


async def test_A8_7_an_emptied_session_of_a_visitor_goes_and_a_users_stays(site: Site) -> None:
    """Deliberately different: Django keeps the empty row of a visitor."""
    browser, before = await with_data(site)
    answer = await site.get(browser, lambda request: request.session.pop("a"))
    assert (answer.headers["set-cookie"], await stored(site, before)) == (CLEARED, False)
    member = await site.log_in()
    await site.get(member, lambda request: request.session.update(a=1))
    await site.get(member, lambda request: request.session.pop("a"))
    assert await site.ask(member, lambda request: [data(request), request.user.username]) == [{}, "ann"]


async def test_A8_8_the_test_cookie(site: Site) -> None:
    browser = site.browser()

    def worked(request: Any) -> Any:
        return request.session.test_cookie_worked()

    await site.get(browser, lambda request: request.session.set_test_cookie())
    assert await site.ask(browser, worked) is True
    await site.get(browser, lambda request: request.session.delete_test_cookie())
    assert await site.ask(browser, worked) is False


EXPIRY: list[tuple[list[Any], timedelta, bool]] = [
    ([], timedelta(days=2), True),
    ([0], timedelta(days=2), True),
    ([10], timedelta(seconds=10), False),
    ([timedelta(seconds=10)], timedelta(seconds=10), False),
    ([lambda now: now + timedelta(seconds=10)], timedelta(seconds=10), False),
    ([None, 10, None], timedelta(days=2), True),
]


@pytest.mark.parametrize(("values", "lasts", "at_browser_close"), EXPIRY)
async def test_A8_9_A8_10_set_expiry(
    site: Site, clock: Clock, values: list[Any], lasts: timedelta, at_browser_close: bool
) -> None:
    browser, _ = await with_data(site)

    def view(request: Any) -> list[Any]:
        session = request.session
        for value in values:
            session.set_expiry(value(clock()) if callable(value) else value)
        return [
            session.get_expiry_age(),
            session.get_expiry_date() == clock() + lasts,
            session.get_expire_at_browser_close(),
        ]

    assert await site.ask(browser, view) == [lasts.total_seconds(), True, at_browser_close]
    token = token_of(browser)
    clock.advance(seconds=lasts.total_seconds())
    assert await site.ask(site.with_cookie(token), data) == {}


async def test_A8_9_an_expiry_in_the_past_ends_the_session_at_once(site: Site) -> None:
    browser, _ = await with_data(site)
    token = token_of(browser)
    await site.get(browser, lambda request: request.session.set_expiry(-timedelta(seconds=10)))
    assert await site.ask(site.with_cookie(token), data) == {}


async def test_A8_12_a_session_that_ended_meanwhile_is_not_resurrected(site: Site) -> None:
    browser, before = await with_data(site)
    token = token_of(browser)

    async def view(request: Any) -> None:
        await site.get(site.with_cookie(token), lambda inner: inner.session.flush())
        request.session["a"] = "c"

    answer = await site.get(browser, view)
    assert (answer.status_code, answer.headers["set-cookie"], await stored(site, before)) == (200, CLEARED, False)


async def test_A8_12_expired_sessions_are_cleared(site: Site, clock: Clock) -> None:
    browsers = [await with_data(site) for _ in range(2)]
    for (browser, _), seconds in zip(browsers, (3600, 60), strict=True):
        await site.get(browser, lambda request, seconds=seconds: request.session.set_expiry(seconds))  # type: ignore[misc]
    clock.advance(seconds=60)
    assert await site.auth.sessions.purge_expired() == 1
    assert [await stored(site, before) for _, before in browsers] == [True, False]


@pytest.mark.parametrize("status", [500, 503])
async def test_A8_20_nothing_is_saved_for_a_server_error(site: Site, status: int) -> None:
    browser, _ = await with_data(site)

    def view(request: Any) -> Response:
        request.session["a"] = "c"
        return PlainTextResponse("sorry", status)

    await site.get(browser, view)
    assert await site.ask(browser, data) == {"a": "b"}


async def test_A8_23_every_answer_varies_by_the_cookie(site: Site) -> None:
    """Deliberately different: also one whose view has not looked, since who asks may change the answer of middleware."""
    browser, _ = await with_data(site)
    for view in (data, lambda request: None):
        assert (await site.get(browser, view)).headers["vary"] == "Cookie"


async def test_A8_24_the_cookie_of_the_policy(sqlite_url: str) -> None:
    """Deliberately different: always HttpOnly, Secure over https, and `Path=/` without Domain, as `__Host-` demands."""
    policy = SessionPolicy(cookie=SessionCookie(name="sessionid", same_site="strict"))
    async with site_at(sqlite_url, sessions=policy) as site:
        answer = await site.get(site.browser(), lambda request: request.session.update(a=1))
    name, _, flags = answer.headers["set-cookie"].partition("=")
    assert (name, flags.partition("; ")[2]) == ("__Host-sessionid", "Path=/; HttpOnly; SameSite=Strict; Secure")

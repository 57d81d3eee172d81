"""What a form may be, and where it may come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from starlette.types import Message

from asgiauth import Auth
from asgiauth.http.body import MAX_BODY
from asgiauth.http.html import MAX_FIELDS
from asgiauth.testing import Client, client

from ..conftest import program
from .paging import BROWSER, CHANGE, LOGIN, LOGOUT, PASSWORD, SESSIONS, Page, log_in, site, where

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
RIGHT = {"username": "ann", "password": PASSWORD}


@pytest.fixture
async def browser(sqlite_auth: Auth) -> AsyncIterator[Client]:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth), headers=BROWSER) as browser:
        yield browser


def says(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, Page(answer).alert


@pytest.mark.parametrize("path", [LOGIN, LOGOUT])
async def test_a_method_that_a_page_does_not_know_is_405(browser: Client, path: str) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        answer = await browser.request(method, path)
        allowed = {LOGIN: "GET, HEAD, POST", LOGOUT: "POST"}[path]
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    page = Page(await browser.put(LOGIN))
    assert page.alert == "This cannot be done that way."


async def test_HEAD_is_answered_as_GET(browser: Client) -> None:
    assert (await browser.head(LOGIN)).status_code == 200
    assert where(await browser.head(SESSIONS)) == (303, f"{LOGIN}?next={SESSIONS}")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"username=ann&username=bob&password=x", "twice the same field"),
        (b"username=ann&password=%ff", "invalid UTF-8, escaped"),
        (b"username=ann&password=\xff", "invalid UTF-8"),
        (b"username=%ed%a0%80&password=x", "a surrogate"),
        (b"&".join(b"f%d=" % number for number in range(MAX_FIELDS + 1)), "too many fields"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_D35_a_form_that_is_none_is_400(browser: Client, body: bytes, problem: str) -> None:
    answer = await browser.post(LOGIN, content=body, headers=FORM)
    assert says(answer) == (400, "The form was not filled in as it should be.")
    assert Page(answer).all("a")[0]["href"] == LOGIN


@pytest.mark.parametrize("character", ["\0", "\x01", "\x7f", "\u202e", "\ufeff", "\U000e0041", "\uffff", "\n"])
async def test_T11_strange_characters_are_no_more_than_a_wrong_name(browser: Client, character: str) -> None:
    for username, password in ((f"ann{character}", PASSWORD), ("ann", PASSWORD + character), (character, character)):
        answer = await browser.post(LOGIN, data={"username": username, "password": password})
        assert says(answer) == (200, "Invalid username or password.")


async def test_D35_a_body_is_read_as_far_as_it_may_go(browser: Client) -> None:
    """The limit is counted while it arrives."""
    just = b"username=ann&password=" + b"x" * (MAX_BODY - 22)
    assert (await browser.post(LOGIN, content=just, headers=FORM)).status_code == 200
    assert says(await browser.post(LOGIN, content=just + b"x", headers=FORM)) == (413, "That was too much at once.")


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ";"])
async def test_another_kind_of_body_is_415(browser: Client, content_type: str) -> None:
    answer = await browser.post(LOGIN, content=b"username=ann", headers={"Content-Type": content_type})
    assert says(answer) == (415, "The form was not sent as it should be.")


async def test_the_kind_may_have_parameters_or_be_left_out(browser: Client) -> None:
    for kind in ({"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}, {}):
        answer = await browser.post(LOGIN, content=f"username=ann&password={PASSWORD}".encode(), headers=kind)
        assert answer.status_code == 303


async def test_fields_that_a_form_does_not_have_change_nothing(browser: Client) -> None:
    answer = await log_in(browser, is_superuser="1", user="bob", submit="")
    assert where(answer) == (303, "/")
    assert (await browser.get("/")).text == "ann"


async def test_a_client_that_goes_in_the_middle_of_a_form_breaks_nothing(sqlite_auth: Auth) -> None:
    app = site(sqlite_auth)
    sent: list[Message] = []
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"user", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"sec-fetch-site", b"same-origin"), (b"content-type", FORM["Content-Type"].encode())]
    scope = {"type": "http", "method": "POST", "path": LOGIN, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_D18_a_login_that_another_site_causes_is_refused(browser: Client) -> None:
    """Login CSRF, also without any cookie (V-046)."""
    for origin in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    ):
        for path in (LOGIN, LOGOUT):
            answer = await browser.post(path, data=RIGHT, headers=origin)
            assert answer.status_code == 403
            assert Page(answer).alert.startswith("This page is too old, or another site has sent you here.")
            assert {"Sec-Fetch-Site", "Origin"} <= set(answer.headers["vary"].split(", "))
            assert "__Host-asgiauth=" not in answer.headers.get("set-cookie", "")


async def test_D18_an_old_browser_shows_the_token_of_the_page(sqlite_auth: Auth) -> None:
    """One that sends neither Sec-Fetch-Site nor Origin: each form carries a token, bound to the visitor's cookie and then
    to the session, and nobody else's will do."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    app = site(sqlite_auth)
    async with program(app, headers={"Accept": "text/html"}) as old, program(app) as foreign:
        assert (await old.post(LOGIN, data=RIGHT)).status_code == 403
        token = Page(await old.get(LOGIN)).hidden()
        others = Page(await foreign.get(LOGIN)).hidden()
        assert (await old.post(LOGIN, data={**RIGHT, **others})).status_code == 403
        wrong = await old.post(LOGIN, data={**RIGHT, "password": "wrong", **token})
        assert says(wrong) == (200, "Invalid username or password.")
        assert where(await old.post(LOGIN, data={**RIGHT, **Page(wrong).hidden()})) == (303, "/")
        assert (await old.post(LOGOUT, data=token)).status_code == 403  # the login has outdated it
        page = Page(await old.get(CHANGE))
        both = {"old_password": PASSWORD, "new_password": "battery staple"}
        assert (await old.post(CHANGE, data=both)).status_code == 403
        assert (await old.post(CHANGE, data={**both, **page.hidden()})).status_code == 303
        assert (await old.post(LOGOUT, data=Page(await old.get(CHANGE)).hidden())).status_code == 303
        assert (await old.get("/")).text == "nobody"


async def test_D18_an_app_without_a_browser_logs_in_by_the_json_api_not_by_a_form(sqlite_auth: Auth) -> None:
    async with program(site(sqlite_auth)) as curl:
        assert (await curl.post(LOGIN, json=RIGHT)).status_code == 415
        assert (await curl.post(LOGIN, data=RIGHT)).status_code == 403


async def test_a_form_with_a_cookie_of_a_session_that_is_gone_can_still_log_in(sqlite_auth: Auth) -> None:
    """The token that the login page then gives is a visitor's."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with program(site(sqlite_auth), headers={"Cookie": "__Host-asgiauth=gone"}) as old:
        page = await old.get(LOGIN)
        cookie = page.headers.get_list("set-cookie")[-1].partition(";")[0]
        headers = {"Cookie": f"__Host-asgiauth=gone; {cookie}"}
        assert (await old.post(LOGIN, data={**RIGHT, **Page(page).hidden()}, headers=headers)).status_code == 303

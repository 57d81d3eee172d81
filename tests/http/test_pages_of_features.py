"""The pages of a feature, which has given no more than an action with a `Page`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, get_args

import pytest

from asgiauth.exceptions import (
    InvalidField,
    InvalidToken,
    NotFound,
    PermissionDenied,
    TooManyAttempts,
    UserExists,
)
from asgiauth.http.actions import Action, Field
from asgiauth.http.actions import Page as Face
from asgiauth.http.errors import ErrorCode, NotAuthenticated, NotAuthorized
from asgiauth.testing import Client, client
from asgiauth.texts import texts
from examples.custom_feature.pin import Pin

from ..conftest import make_auth
from ..login.helpers import Extension
from .paging import BROWSER, LOGIN, LOGOUT, PASSWORD, Page, log_in, site, where

PIN, PIN_PAGE = "24068931", "/auth/login/pin"


@pytest.fixture
async def browser(sqlite_url: str) -> AsyncIterator[Client]:
    """Ann has a PIN."""
    pin = Pin()
    auth = make_auth(sqlite_url, features=[pin])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await pin.set(await auth.users.create("ann", password=PASSWORD), PIN)
        yield browser


async def test_a_step_has_its_page_which_takes_next_along(browser: Client) -> None:
    answer = await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD, "next": "/x?y=z"})
    assert where(answer) == (303, f"{PIN_PAGE}?next=/x%3Fy%3Dz")
    page = Page(await browser.get(answer.headers["location"]))
    assert page.texts("h1") == ["One more step: your PIN"]
    assert (page.all("form")[0]["action"], page.hidden()["next"]) == (PIN_PAGE, "/x?y=z")
    expected = {"type": "password", "autocomplete": "one-time-code", "inputmode": "numeric"}
    assert page.inputs()["pin"].items() >= expected.items()
    wrong = await browser.post(PIN_PAGE, data={"pin": "000000", **page.hidden()})
    assert (wrong.status_code, Page(wrong).texts("p")) == (422, ["This is not right."])
    assert "000000" not in wrong.text
    assert (await browser.get("/")).text == "nobody"
    assert where(await browser.post(PIN_PAGE, data={"pin": PIN, **Page(wrong).hidden()})) == (303, "/x?y=z")
    assert (await browser.get("/")).text == "ann"


async def test_a_step_without_a_login_that_waits_for_it_leads_back(browser: Client) -> None:
    """Nobody has begun one, or it has been tried too often (D-16)."""
    answer = await browser.post(PIN_PAGE, data={"pin": PIN})
    assert (answer.status_code, Page(answer).alert) == (401, "This login cannot go on. Log in again.")
    assert Page(answer).all("a")[0] == {"class": "button", "href": LOGIN}
    await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD})
    answers = [await browser.post(PIN_PAGE, data={"pin": "000000"}) for _ in range(6)]
    assert [answer.status_code for answer in answers[:5]] == [422] * 5
    assert answers[5].status_code in (401, 429)
    assert (await browser.post(PIN_PAGE, data={"pin": PIN})).status_code in (401, 429)
    assert (await browser.get("/")).text == "nobody"


@asynccontextmanager
async def offering(url: str, *actions: Action, **options: Any) -> AsyncIterator[Client]:
    """A site with these actions, where Ann is logged in."""
    auth = make_auth(url, features=[Extension(actions=actions)], **options)
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        yield browser


def raising(error: Exception) -> Callable[..., Awaitable[None]]:
    async def run(auth: Any, **fields: str) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "says", "headers"),
    [
        (NotFound("x"), 404, "There is nothing here.", {}),
        (PermissionDenied("x"), 403, "You may not do this.", {}),
        (NotAuthorized("recent_login_required"), 403, "Log in again to do this.", {}),
        (NotAuthenticated(), 401, "Log in first.", {"www-authenticate": "Cookie"}),
        (InvalidToken("x"), 400, "This link is not valid, or not any more.", {}),
        (TooManyAttempts(retry_after=120), 429, "Too many attempts. Try again in 2 minutes.", {"retry-after": "120"}),
        (UserExists("email"), 409, "This is already taken.", {}),
        (InvalidField("email", "invalid"), 422, "This is not valid.", {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_an_error_without_a_form_is_a_page(
    sqlite_url: str, error: Exception, status: int, says: str, headers: dict[str, str]
) -> None:
    """Of a button, and of a page that shows something: the status as on the JSON side."""
    show = Action(name="show", path="show", method="GET", run=raising(error), page=Face(path="show", name="show"))
    press = Action(name="press", path="press", run=raising(error), page=Face(path="press", name="press", then="show"))
    async with offering(sqlite_url, show, press) as browser:
        for answer in (await browser.get("/auth/show"), await browser.post("/auth/press")):
            assert (answer.status_code, Page(answer).alert) == (status, says)
            assert headers.items() <= dict(answer.headers).items()
            assert answer.headers["x-frame-options"] == "DENY"
        assert Page(answer).all("a")[0] == {"class": "button", "href": "/auth/show"}


async def test_an_error_that_leads_elsewhere_does(sqlite_url: str) -> None:
    error = NotAuthenticated("/auth/login?next=/auth/show")
    show = Action(name="show", path="show", method="GET", run=raising(error), page=Face(path="show", name="show"))
    async with offering(sqlite_url, show) as browser:
        assert where(await browser.get("/auth/show")) == (303, "/auth/login?next=/auth/show")


@pytest.mark.parametrize(
    ("error", "alert", "told"),
    [
        (UserExists("email"), "Please correct this:", ["This is already taken."]),
        (InvalidField("email", "too_long"), "Please correct this:", ["This is too long."]),
        (InvalidField("token", "unheard_of"), "This is not valid.", []),
    ],
)
async def test_what_is_wrong_with_no_field_of_the_form_is_told_above_it(
    sqlite_url: str, error: Exception, alert: str, told: list[str]
) -> None:
    page = Face(path="mail", name="mail", title="Your address", submit="Keep")
    action = Action(name="mail", path="mail", run=raising(error), fields={"email": Field()}, page=page)
    async with offering(sqlite_url, action) as browser:
        answer = await browser.post("/auth/mail", data={"email": "a@b"})
        assert (answer.status_code, Page(answer).alert) == (422, alert)
        assert [text for text in Page(answer).texts("p") if text != alert] == told
        assert Page(answer).inputs()["email"]["value"] == "a@b"
        assert Page(answer).texts("button") == ["Keep", "Log out"]


async def test_a_form_with_a_parameter_in_its_path_is_sent_to_where_it_came_from(sqlite_url: str) -> None:
    """And a template of its own shows what the action gives."""
    given: list[dict[str, Any]] = []

    async def run(auth: Any, **fields: Any) -> dict[str, Any]:
        given.append(fields)
        return {"sessions": []}

    optional = {"note": Field(required=False), "sure": Field(bool)}
    invite = Action(
        name="invite",
        path="invite/{token}",
        run=run,
        fields=optional,
        public=True,
        page=Face(path="invite/{token}", name="invite", title="Come in", done="invited"),
    )
    show = Action(
        name="show",
        path="show/{id}",
        method="GET",
        run=run,
        page=Face(path="show/{id}", name="show", template="sessions.html", title="sessions.title"),
    )
    async with offering(sqlite_url, invite, show) as browser:
        page = Page(await browser.get("/auth/invite/a%20%22%3F?note=Hello"))
        assert page.all("form")[0]["action"] == "/auth/invite/a%20%22%3F"
        assert page.inputs()["note"]["value"] == "Hello"
        assert "required" not in page.inputs()["note"]
        answer = await browser.post("/auth/invite/a%20%22%3F", data={"sure": "on"})
        assert where(answer) == (303, "/auth/invite/a%20%22%3F/done")
        done = await browser.get(answer.headers["location"])
        assert (Page(done).texts("h1"), Page(done).texts("status")) == (["Come in"], ["That is done."])
        assert Page(await browser.get("/auth/show/7")).texts("h1") == ["Your devices"]
    assert given == [{"sure": True, "token": 'a "?'}, {"id": "7"}]


async def test_what_is_no_logout_stores_on(sqlite_url: str) -> None:
    """`Clear-Site-Data` is for a logout alone (D-25)."""

    async def nothing(auth: Any) -> None:
        pass

    action = Action(name="press", path="press", run=nothing, page=Face(path="press", name="press"))
    async with offering(sqlite_url, action) as browser:
        answer = await browser.post("/auth/press")
        assert where(answer) == (303, "/")
        assert "clear-site-data" not in answer.headers
        assert "clear-site-data" in (await browser.post(LOGOUT)).headers


async def test_where_a_login_leads_to_another_site_the_policy_lets_its_form_go_there(sqlite_url: str) -> None:
    """CSP 3, 4.1.2 and Chromium: `form-action` counts for the redirect after a form too."""
    auth = make_auth(sqlite_url, login_redirect_url="https://App.example:443/start", logout_redirect_url="/")
    async with client(site(auth), headers=BROWSER) as browser:
        policy = (await browser.get(LOGIN)).headers["content-security-policy"]
        assert "form-action 'self' https://app.example;" in policy


def test_every_error_code_has_a_text() -> None:
    """But for those that a form tells at its fields, or never meets."""
    told_at_fields = {"invalid_fields", "password_rejected", "step_required"}
    codes = set(get_args(ErrorCode)) - told_at_fields
    assert [code for code in codes if texts().problem(code, wait="a minute") == texts("xx").problem("?")] == []

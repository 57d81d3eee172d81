"""The page of the step for a new password: as the step says, for people."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asgiauth import Auth
from asgiauth.testing import Client, client
from examples.custom_feature.pin import Pin

from ..conftest import make_auth
from .paging import BROWSER, LOGIN, PASSWORD, Page, site, where

NEW = "another horse"
PIN = "24068931"
STEP = "/auth/login/password"
CREDENTIALS = {"username": "ann", "password": PASSWORD, "next": "/x?y=z"}


@pytest.fixture
async def auth(url: str) -> AsyncIterator[Auth]:
    """Ann must choose another password."""
    auth = make_auth(url)
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        await auth.users.require_password_change(ann)
        yield auth


@pytest.fixture
async def browser(auth: Auth) -> AsyncIterator[Client]:
    async with client(site(auth), headers=BROWSER) as browser:
        yield browser


async def test_B4_6_the_login_leads_to_the_page_and_from_there_to_where_it_wanted(browser: Client) -> None:
    """With the rules beside the field; what was typed is never shown again."""
    answer = await browser.post(LOGIN, data=CREDENTIALS)
    assert where(answer) == (303, f"{STEP}?next=/x%3Fy%3Dz")
    page = Page(await browser.get(answer.headers["location"]))
    assert page.texts("h1") == ["Choose a new password"]
    assert "At least 8 characters." in page.texts("li")
    assert page.inputs()["new_password"].items() >= {"type": "password", "autocomplete": "new-password"}.items()
    for password, says in (
        (PASSWORD, "You have used this before. Use another one."),
        ("short 1", "Use at least 8 characters."),
    ):
        refused = await browser.post(STEP, data={"new_password": password, **page.hidden()})
        assert refused.status_code == 422
        page = Page(refused)
        assert says in page.texts("p")
        assert password not in refused.text
        assert (await browser.get("/")).text == "nobody"
    assert where(await browser.post(STEP, data={"new_password": NEW, **page.hidden()})) == (303, "/x?y=z")
    assert (await browser.get("/")).text == "ann"
    again = await browser.post(STEP, data={"new_password": PASSWORD})
    assert again.status_code == 401, "the login that waited is over"


async def test_without_a_login_that_waits_the_page_leads_back_to_one(browser: Client) -> None:
    answer = await browser.post(STEP, data={"new_password": NEW})
    assert (answer.status_code, Page(answer).alert) == (401, "This login cannot go on. Log in again.")
    assert Page(answer).all("a")[0] == {"class": "button", "href": LOGIN}


async def test_D13_the_page_of_the_second_factor_comes_first(url: str) -> None:
    """And the other one does nothing until that is passed."""
    pin = Pin()
    auth = make_auth(url, features=[pin])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        await pin.set(ann, PIN)
        await auth.users.require_password_change(ann)
        first = await browser.post(LOGIN, data=CREDENTIALS)
        assert where(first) == (303, "/auth/login/pin?next=/x%3Fy%3Dz")
        early = await browser.post(STEP, data={"new_password": NEW})
        assert (early.status_code, Page(early).alert) == (401, "This login cannot go on. Log in again.")
        assert await auth.users.check_password(ann, PASSWORD)
        second = await browser.post("/auth/login/pin", data={"pin": PIN, "next": "/x?y=z"})
        assert where(second) == (303, f"{STEP}?next=/x%3Fy%3Dz")
        assert (await browser.get("/")).text == "nobody"
        assert where(await browser.post(STEP, data={"new_password": NEW, "next": "/x?y=z"})) == (303, "/x?y=z")
        assert (await browser.get("/")).text == "ann"

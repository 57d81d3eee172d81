"""`examples/two_realms`: who is known to the one is nobody to the other."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import ModuleType

import httpx2
import pytest

from asgiauth.testing import Client, client, force_login

from .conftest import fresh, serving

BASE_URL = "http://127.0.0.1:8000"
SITES = ["shop", "office"]


@pytest.fixture
async def example(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModuleType]:
    """On each server, with the tables and a user called demo in both realms."""
    monkeypatch.setenv("ASGIAUTH_DATABASE_URL", url)
    module = fresh("two_realms")
    async with module.lifespan(module.app):
        yield module


def browser_of(example: ModuleType) -> Client:
    return client(example.app, base_url=BASE_URL)


def test_the_example_as_its_docstring_says(url: str) -> None:
    """Each realm takes its own password and cookie; to be logged in to both at once is possible."""
    with (
        serving("two_realms", ASGIAUTH_DATABASE_URL=url) as (site, output),
        httpx2.Client(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as browser,
    ):
        shop, office = ({"username": "demo", "password": word} for word in re.findall(r"password: (\S+)", output))
        assert browser.post("/office/api/auth/login", json=shop).status_code == 401
        assert browser.post("/shop/api/auth/login", json=shop).status_code == 200
        assert browser.get("/shop/").json()["username"] == "demo"
        assert browser.get("/office/").status_code == 401
        assert browser.post("/office/api/auth/login", json=office).json()["user"]["department"] == "Sales"
        assert browser.get("/office/").json()["department"] == "Sales"
        assert sorted(browser.cookies) == ["asgiauth-customers", "asgiauth-staff"]
        assert browser.post("/shop/api/auth/logout").status_code == 204
        assert browser.get("/shop/").status_code == 401
        assert browser.get("/office/").status_code == 200


@pytest.mark.parametrize("mine", SITES)
async def test_D31_a_cookie_of_the_one_is_nothing_to_the_other_under_either_name(
    example: ModuleType, mine: str
) -> None:
    (other,) = {*SITES} - {mine}
    realms = {"shop": example.customers, "office": example.staff}
    async with browser_of(example) as browser:
        await force_login(browser, await realms[mine].users.find("demo"), auth=realms[mine])
        assert (await browser.get(f"/{mine}/")).status_code == 200
        assert (await browser.get(f"/{other}/")).status_code == 401
        (token,) = browser.cookies.values()
        browser.cookies.clear()
        renamed = {"shop": "asgiauth-customers", "office": "asgiauth-staff"}[other]
        answer = await browser.get(f"/{other}/", headers={"Cookie": f"{renamed}={token}"})
        assert answer.status_code == 401


async def test_D31_a_csrf_token_of_the_one_is_refused_by_the_other(example: ModuleType) -> None:
    async with browser_of(example) as browser:
        del browser.headers["Sec-Fetch-Site"]  # so that the token decides
        for auth in (example.customers, example.staff):
            await force_login(browser, await auth.users.find("demo"), auth=auth)
        tokens = {site: (await browser.get(f"/{site}/api/auth/session")).json()["csrf_token"] for site in SITES}
        for mine, other in (("shop", "office"), ("office", "shop")):
            path = f"/{mine}/api/auth/logout"
            assert (await browser.post(path, headers={"X-CSRF-Token": tokens[other]})).status_code == 403
            assert (await browser.post(path, headers={"X-CSRF-Token": tokens[mine]})).status_code == 204


async def test_users_and_names_are_a_realms_own(example: ModuleType) -> None:
    """The same name twice, two tables, and nothing that is signed by the one holds for the other."""
    customers, staff = example.customers, example.staff
    ann = await customers.users.create("ann")
    assert await staff.users.find("ann") is None
    await staff.users.create("ann", department="Sales")
    await customers.users.delete(ann)
    assert (await staff.users.find("ann")).department == "Sales"
    names = {table.name for auth in (customers, staff) for table in (auth.tables.user, auth.tables.session)}
    assert names == {"customer", "employee", "asgiauth_customers_session", "asgiauth_staff_session"}


async def test_the_login_page_is_that_of_the_site(example: ModuleType) -> None:
    async with browser_of(example) as browser:
        for site in SITES:
            answer = await browser.get(f"/{site}/", headers={"Accept": "text/html"})
            assert answer.headers["location"] == f"/{site}/auth/login?next=/{site}/"

"""The page for staff that explains a permission, in headless Chromium: without JavaScript, for a screen reader, on the
smallest phone."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.schema import CreateTable

from asgiauth import Permission, Ref, Resource, crud
from asgiauth.testing import client, force_login

from ..conftest import BASE_URL, make_auth
from ..http.paging import BROWSER, site
from .test_pages import chromium as chromium

EXPLAIN = f"{BASE_URL}/auth/explain"
ANSWERED = f"{EXPLAIN}?user=bob&perm=blog.change_post&obj=42"
STATES = [EXPLAIN, ANSWERED, f"{EXPLAIN}?user=who&perm=blog.change_post", f"{EXPLAIN}?user=bob&perm=blog.unheard"]


class Shown(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, Shown]:
    """What Ann, who is staff, gets at each address. Bob holds the permission by a group with a very long name, too."""

    async def ask() -> dict[str, Shown]:
        posts = Table("posts", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False))
        auth = make_auth(
            f"sqlite:///{tmp_path / 'app.db'}",
            permissions=[*crud("blog", "post"), Permission("blog.visit")],
            resources=[Resource("blog.post", table=posts)],
        )
        async with auth:
            await auth.create_tables()
            ann, bob = await auth.users.create("ann", is_staff=True), await auth.users.create("bob")
            group = await auth.groups.create("wolfeschlegelsteinhausenbergerdorff" * 3)
            await auth.groups.add(bob, group.name)
            for subject in (bob, group):
                await auth.permissions.grant(subject, "blog.change_post", Ref("blog.post", 42))
            async with auth._database.unit() as unit:
                await unit.text(str(CreateTable(posts)))
                await unit.execute(posts.insert().values(id=42))
            async with client(site(auth), headers=BROWSER) as browser:
                await force_login(browser, ann)
                answers = {url: await browser.get(url) for url in STATES}
        return {
            url: Shown(
                answer.status_code,
                {name: answer.headers[name] for name in ("content-type", "content-security-policy")},
                answer.text,
            )
            for url, answer in answers.items()
        }

    with ThreadPoolExecutor(1) as elsewhere:  # playwright's event loop is the one of this thread
        return elsewhere.submit(asyncio.run, ask()).result()


def serve(context: Any, pages: dict[str, Shown]) -> None:
    def answer(route: Any) -> None:
        shown = pages[route.request.url]
        route.fulfill(status=shown.status, headers=shown.headers, body=shown.body)

    context.route("**/*", answer)


def test_B10_9_it_is_asked_and_read_without_javascript(chromium: Any, pages: dict[str, Shown]) -> None:
    """By keyboard alone."""
    context = chromium.new_context(java_script_enabled=False)
    serve(context, pages)
    page = context.new_page()
    page.goto(EXPLAIN)
    page.locator("#user:focus").wait_for()
    for text in ("bob", "blog.change_post", "42"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == ANSWERED
    assert page.get_by_role("heading", level=2).inner_text() == "bob: blog.change_post on blog.post 42: yes."
    assert page.get_by_role("row").count() == 3
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page_that_explains(chromium: Any, pages: dict[str, Shown], scheme: Any) -> None:
    """axe-core: WCAG 2.2 A and AA with its contrasts, and its best practices."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    context = chromium.new_context(color_scheme=scheme)
    serve(context, pages)
    page = context.new_page()
    found = []
    for url in STATES:
        page.goto(url)
        page.evaluate(axe)
        result = page.evaluate("() => axe.run()")
        assert len(result["passes"]) > 10
        found += [(url, one["impact"], one["id"], one["nodes"][0]["html"]) for one in result["violations"]]
    assert found == []
    context.close()


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_the_table_fits_on_the_smallest_phone(chromium: Any, pages: dict[str, Shown], direction: str) -> None:
    """320 CSS pixels (WCAG 1.4.10), in both directions of writing."""
    context = chromium.new_context(viewport={"width": 320, "height": 568})
    serve(context, pages)
    page = context.new_page()
    for url in STATES:
        page.goto(url)
        page.evaluate(f"document.documentElement.dir = '{direction}'")
        assert page.evaluate("document.documentElement.scrollWidth") == 320, url
    page.goto(ANSWERED)
    cells = page.locator("tbody th, tbody td")
    assert {cells.nth(number).bounding_box()["x"] for number in range(3)} == {cells.nth(0).bounding_box()["x"]}
    context.close()

"""Whom a guard refuses, as a browser and as a script see it: once there are pages, the browser gets one."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth
from asgiauth.guards import Guard, perm, recent_login, requires, staff
from asgiauth.http.errors import NotAuthorized, NothingThere
from asgiauth.testing import Clock, client

from .paging import LOGIN, PASSWORD, log_in, site
from .permitting import hello, opened
from .test_pages_errors import CHROME, OLD, SCRIPTS, is_json, is_page

NO, NOTHING, AGAIN = "You may not do this.", "There is nothing here.", "Log in again to do this."


async def no_post(connection: HTTPConnection) -> None:
    return None


MISSING = perm("blog.change_post", obj=no_post)
RECENT = recent_login(minutes=5)
ROUTES = [
    Route("/staff", requires(staff)(hello), methods=["GET", "POST"]),
    Route("/post", requires(MISSING)(hello)),
    Route("/recent", requires(RECENT)(hello)),
    Mount("/mount/staff", routes=[Route("/in", hello)], middleware=[Guard(staff)]),
    Mount("/mount/post", routes=[Route("/in", hello)], middleware=[Guard(MISSING)]),
]
REFUSED = {
    "/staff": (403, "permission_denied", NO),
    "/post": (404, "not_found", NOTHING),
    "/recent": (403, "recent_login_required", AGAIN),
    "/mount/staff/in": (403, "permission_denied", NO),
    "/mount/post/in": (404, "not_found", NOTHING),
}


async def enter(auth: Auth, browser: Any, clock: Clock) -> None:
    await auth.users.create("ann", password=PASSWORD)
    await log_in(browser)
    clock.advance(hours=1)


async def test_a_browser_whose_user_is_refused_gets_a_page_and_a_script_json(sqlite_url: str) -> None:
    """With the same status, and the same word for caches."""
    clock = Clock()
    async with opened(sqlite_url, clock=clock) as auth, client(site(auth, *ROUTES), headers=CHROME) as browser:
        await enter(auth, browser, clock)
        for path, (status, code, text) in REFUSED.items():
            for headers in (CHROME, OLD):
                answer = await browser.get(path, headers=headers)
                assert is_page(answer, status, text)
                assert "cookie" in answer.headers["vary"].lower()
            for headers in SCRIPTS:
                assert is_json(await browser.get(path, headers=headers), status, code)
        assert is_page(await browser.post("/staff", headers={"Origin": "https://site.example"}), 403, NO)
        assert (await browser.get("/")).text == "ann"


async def test_a_guard_before_the_whole_application_answers_with_a_page_too(sqlite_url: str) -> None:
    clock = Clock()
    async with opened(sqlite_url, clock=clock) as auth:
        app = Starlette(routes=[Route("/", hello)], middleware=[*auth.middleware, Guard(staff)])
        outside, pages = client(app, headers=CHROME), client(site(auth), headers=CHROME)
        async with outside as browser, pages as entrance:
            await enter(auth, entrance, clock)
            browser.cookies.update(entrance.cookies)
            assert is_page(await browser.get("/"), 403, NO)
            assert is_json(await browser.get("/", headers=SCRIPTS[0]), 403, "permission_denied")
            browser.cookies.clear()
            assert (await browser.get("/")).headers["location"].startswith(LOGIN)
            assert (await browser.post("/")).status_code == 401


async def mine(request: Request, error: Exception) -> Response:
    return PlainTextResponse("mine", 418)


OWN: list[dict[Any, Any]] = [{NotAuthorized: mine, NothingThere: mine}, {403: mine, 404: mine}]


@pytest.mark.parametrize("own", OWN, ids=["by class", "by status"])
async def test_the_applications_own_handler_comes_first(sqlite_url: str, own: dict[Any, Any]) -> None:
    clock = Clock()
    async with opened(sqlite_url, clock=clock) as auth:
        app = site(auth, *ROUTES, exception_handlers={**auth.exception_handlers, **own})
        async with client(app, headers=CHROME) as browser:
            await enter(auth, browser, clock)
            for path in REFUSED:
                assert (await browser.get(path)).text == "mine"


async def test_with_a_handler_of_its_own_for_all_an_application_gets_nothing_of_ours(sqlite_url: str) -> None:
    clock = Clock()
    async with opened(sqlite_url, clock=clock) as auth:
        app = site(auth, *ROUTES, exception_handlers={HTTPException: mine})
        async with client(app, headers=CHROME) as browser:
            await enter(auth, browser, clock)
            for path in REFUSED:
                assert (await browser.get(path)).text == "mine"


async def test_without_pages_a_refused_browser_gets_json(sqlite_url: str) -> None:
    async with opened(sqlite_url) as auth:
        routes = [*ROUTES, Mount("/api/auth", routes=auth.json_routes)]
        app = Starlette(routes=routes, middleware=auth.middleware, exception_handlers=auth.exception_handlers)
        async with client(app, headers=CHROME) as browser:
            await auth.users.create("ann", password=PASSWORD)
            await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
            assert is_json(await browser.get("/staff"), 403, "permission_denied")
            assert is_json(await browser.get("/mount/post/in"), 404, "not_found")

"""What a cache may keep of an answer (D-24)."""

from __future__ import annotations

import httpx2
import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import Auth

from ..conftest import client
from ..sites import PASSWORD, log_in, site


@pytest.mark.parametrize(
    ("vary", "cookie", "expected"),
    [
        ([], True, ["cookie"]),
        (["Accept"], True, ["accept", "cookie"]),
        (["Accept, Origin"], True, ["accept", "cookie", "origin"]),
        (["Accept", "Origin"], True, ["accept", "cookie", "origin"]),
        (["Cookie"], True, ["cookie"]),
        (["cookie, Accept"], True, ["accept", "cookie"]),
        (["Accept", "COOKIE"], True, ["accept", "cookie"]),
        (["X-Cookie-Consent"], True, ["cookie", "x-cookie-consent"]),
        (["Accept"], False, ["accept", "cookie"]),
    ],
)
async def test_every_answer_varies_by_the_cookie_once(
    sqlite_auth: Auth, vary: list[str], cookie: bool, expected: list[str]
) -> None:
    """D-24: also when nothing was changed or no cookie came, and whatever the application varies by itself."""

    async def page(request: Request) -> Response:
        response = PlainTextResponse("page")
        for value in vary:
            response.headers.append("vary", value)
        return response

    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth, Route("/page", page))) as browser:
        if cookie:
            await log_in(browser)
        answer = await browser.get("/page")
    names = [name.strip().lower() for value in answer.headers.get_list("vary") for name in value.split(",")]
    assert sorted(names) == expected
    assert "cache-control" not in answer.headers


async def test_a_shared_cache_never_serves_one_persons_page_to_another(sqlite_auth: Auth) -> None:
    """V-011, D-24, T26: an RFC 9111 cache in front of pages that the application declares public. Neither Ann's page to
    Bob nor the visitor's page to Ann."""

    async def page(request: Request) -> Response:
        return PlainTextResponse(f"Hello, {request.user}", headers={"Cache-Control": "public, max-age=600"})

    for name in ("ann", "bob"):
        await sqlite_auth.users.create(name, password=PASSWORD)
    stored: list[tuple[str, dict[str, str], str]] = []

    async def through_cache(browser: httpx2.AsyncClient) -> str:
        request = browser.build_request("GET", "/page")
        browser.cookies.set_cookie_header(request)
        for _, selecting, body in stored:
            if all(request.headers.get(name, "") == value for name, value in selecting.items()):
                return body
        answer = await browser.get("/page")
        assert "set-cookie" not in answer.headers
        names = [name.strip().lower() for name in answer.headers.get("vary", "").split(",") if name.strip()]
        stored.append(("/page", {name: request.headers.get(name, "") for name in names}, answer.text))
        return answer.text

    app = site(sqlite_auth, Route("/page", page))
    async with client(app) as visitor, client(app) as ann, client(app) as bob:
        await log_in(ann, "ann")
        await log_in(bob, "bob")
        for _ in range(2):
            assert await through_cache(visitor) == "Hello, AnonymousUser"
            assert await through_cache(ann) == "Hello, ann"
            assert await through_cache(bob) == "Hello, bob"


async def test_an_answer_that_sets_the_cookie_is_never_stored(sqlite_auth: Auth) -> None:
    """D-24: whatever the application says about caching, and through a compressing middleware."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)

    async def login(request: Request) -> Response:
        await request.auth.login(ann)
        return PlainTextResponse("x" * 2000, headers={"Cache-Control": "public, max-age=600"})

    app = site(sqlite_auth, Route("/login", login))
    app.add_middleware(GZipMiddleware)
    async with client(app) as browser:
        answer = await browser.get("/login")
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert {name.strip() for name in answer.headers["vary"].split(",")} == {"Cookie", "Accept-Encoding"}

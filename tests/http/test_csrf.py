"""CSRF protection as a browser meets it (D-18). That each cell is decided rightly: test_csrf_rules.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, testing
from asgiauth.guards import csrf_exempt

from ..conftest import BASE_URL, client, program
from ..sites import COOKIE, PASSWORD, connected, log_in, site, websocket

LOGIN, SESSION = "/api/auth/login", "/api/auth/session"
OWN, EVIL, FRIEND = BASE_URL, "https://evil.example", "https://friend.example"
CROSS = {"Sec-Fetch-Site": "cross-site", "Origin": EVIL}


@dataclass
class Shop:
    """A site with a view that changes something, and what it has been asked to change."""

    auth: Auth
    app: Starlette
    changes: list[str]


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    changes: list[str] = []

    async def change(request: Request) -> Response:
        changes.append((await request.body()).decode())
        return JSONResponse("changed")

    @csrf_exempt
    async def hook(request: Request) -> Response:
        return await change(request)

    async def cart(request: Request) -> Response:
        request.session["cart"] = 1
        return JSONResponse("put")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    async with connected(sqlite_url, trusted_origins=[FRIEND]) as auth:
        for name in ("ann", "bob"):
            await auth.users.create(name, password=PASSWORD)
        every = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]
        routes = [
            Route("/change", change, methods=every),
            Route("/hook", hook, methods=["POST"]),
            Route("/cart", cart),
            WebSocketRoute("/ws", socket),
        ]
        yield Shop(auth, site(auth, *routes), changes)


async def token_of(browser: httpx2.AsyncClient) -> str:
    return str((await browser.get(SESSION)).json()["csrf_token"])


def was_refused(answer: httpx2.Response) -> bool:
    if answer.status_code != 403:
        assert answer.status_code == 200
        return False
    detail = answer.json()["detail"]
    assert detail["code"] == "csrf_failed"
    assert "trusted_origins" in detail["message"]  # the cure
    assert "X-CSRF-Token" in detail["message"]
    assert {"sec-fetch-site", "origin"} <= {name.strip().lower() for name in answer.headers["vary"].split(",")}
    return True


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, False),
        (CROSS, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://blog.site.example"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": FRIEND}, True),
        ({"Origin": OWN}, True),
        ({"Origin": FRIEND}, True),
        ({"Origin": EVIL}, False),
        ({"Origin": "null"}, False),
        ({"X-CSRF-Token": "A" * 64}, False),
        ({"X-CSRF-Token": ""}, False),
        ({"Content-Type": "application/json"}, False),
        ({"Referer": f"{OWN}/"}, False),
    ],
    ids=str,
)
async def test_D18_what_a_session_changes_must_be_asked_for_by_the_site(
    shop: Shop, headers: dict[str, str], passes: bool
) -> None:
    """Any method that is not safe; a safe one passes whoever asks. What is refused does not reach the view."""
    async with program(shop.app) as browser:
        await log_in(browser)
        for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
            shop.changes.clear()
            answer = await browser.request(method, "/change", headers=headers)
            assert (was_refused(answer), shop.changes) == (not passes, [""] * passes)
        for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
            assert (await browser.request(method, "/change", headers=headers)).status_code == 200


async def test_D18_where_a_browser_says_nothing_the_token_decides(shop: Shop) -> None:
    """In the header, or in a plain form, which the view then reads as it came; one's own alone, and not that of before
    the login."""
    async with program(shop.app) as browser, program(shop.app) as another:
        before = await token_of(browser)
        await log_in(browser, headers={"X-CSRF-Token": before})
        await log_in(another, "bob")
        own, foreign = await token_of(browser), await token_of(another)
        for token, passes in ((own, True), (await token_of(browser), True), (foreign, False), (before, False)):
            assert was_refused(await browser.post("/change", headers={"X-CSRF-Token": token})) is not passes
            shop.changes.clear()
            answer = await browser.post("/change", data={"csrf_token": token, "size": "XL"})
            assert was_refused(answer) is not passes
            assert shop.changes == [f"csrf_token={token}&size=XL"] * passes
        assert was_refused(await browser.post("/change", json={"csrf_token": own}))
        assert was_refused(await browser.post("/change", data={"csrf_token": own}, files={"file": b"x"}))
        assert was_refused(await browser.post("/change", data={"csrf_token": own, "size": "X" * 64 * 1024}))
        assert was_refused(await browser.post("/change", data={"csrf_token": own}, headers=CROSS))


async def test_D18_who_has_no_session_has_nothing_to_be_misused(shop: Shop) -> None:
    """Nor has one whose cookie is not (any more) one; a visitor with a session has."""
    async with program(shop.app) as browser:
        for cookie in ("", "x=1", f"{COOKIE}=nonsense", f"{COOKIE}={'A' * 43}"):
            assert not was_refused(await browser.post("/change", headers={**CROSS, "Cookie": cookie}))
        await browser.get("/cart")
        assert was_refused(await browser.post("/change", headers=CROSS))
        assert was_refused(await browser.post("/change"))
        assert not was_refused(await browser.post("/change", headers={"X-CSRF-Token": await token_of(browser)}))


async def test_D18_an_exempt_view_is_asked_by_anybody(shop: Shop) -> None:
    async with program(shop.app) as browser:
        await log_in(browser)
        assert not was_refused(await browser.post("/hook", headers=CROSS))
        assert was_refused(await browser.post("/change", headers=CROSS))


@pytest.mark.parametrize("path", [LOGIN, "/api/auth/logout", "/api/auth/password/change"])
async def test_D18_V091_views_of_ours_are_protected_without_a_session(shop: Shop, path: str) -> None:
    """A login that another site causes is one to its account: only plain JSON without a cookie passes, as curl sends it."""
    credentials = {"username": "ann", "password": PASSWORD}
    refused: list[dict[str, Any]] = [
        {"headers": CROSS},
        {"headers": {"Origin": EVIL}},
        {"headers": {"Origin": "null"}},
        {"headers": {"Cookie": "x=1"}},
        {"headers": {"X-CSRF-Token": "A" * 64}},
    ]
    async with program(shop.app) as browser:
        for options in refused:
            answer = await browser.post(path, json=credentials, **options)
            assert was_refused(answer)
            assert "set-cookie" not in answer.headers
        assert was_refused(await browser.post(path, data=credentials))
        assert was_refused(await browser.post(path, content=b"{}", headers={"Content-Type": "text/plain"}))
        answer = await browser.post(path, json=credentials)
        assert answer.status_code == {LOGIN: 200, "/api/auth/logout": 204}.get(path, 401)


async def test_D18_a_websocket_of_another_site_is_refused_before_it_is_accepted(shop: Shop) -> None:
    """No CORS protects it. Without an `Origin` it is no browser; without a session there is nothing to misuse."""
    async with client(shop.app) as browser:
        async with testing.websocket(browser, "/ws", origin=EVIL):
            pass
        token = await log_in(browser)
        for origin in (EVIL, "null"):
            with pytest.raises(testing.WebSocketRefused) as refused:
                async with testing.websocket(browser, "/ws", origin=origin):
                    pass
            assert refused.value.code == 1008
        for fine in ("own", FRIEND, None):
            async with testing.websocket(browser, "/ws", origin=fine):
                pass
    assert (await websocket(shop.app, "/ws", f"{COOKIE}={token}"))[0]["type"] == "websocket.accept"

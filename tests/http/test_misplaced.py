"""Changes of the session that come too late, or in the wrong place; and two sites in one application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import databases
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, RequestAuth, User, testing
from asgiauth.exceptions import SessionClosed

from ..conftest import client
from ..sites import COOKIE, PASSWORD, connected, log_in, seen_as, site, websocket


@pytest.mark.parametrize("action", ["login", "logout"])
async def test_the_session_is_closed_once_the_response_has_begun(sqlite_auth: Auth, action: str) -> None:
    """SessionClosed from a stream, a background task and a websocket; the session that was there stays as it was."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)
    raised: list[str] = []

    async def change(auth: RequestAuth[User], where: str) -> None:
        try:
            await (auth.login(ann) if action == "login" else auth.logout())
        except SessionClosed:
            raised.append(where)

    async def stream(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "a"
            await change(request.auth, "stream")
            yield "b"

        return StreamingResponse(body())

    async def background(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(change, request.auth, "background"))

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await change(websocket.auth, "accepted")

    routes = [Route("/stream", stream), Route("/background", background), WebSocketRoute("/ws", socket)]
    app = site(sqlite_auth, *routes)
    async with client(app) as browser:
        token = await log_in(browser)
        for path in ("/stream", "/background"):
            assert "set-cookie" not in (await browser.get(path)).headers
        await websocket(app, "/ws", f"{COOKIE}={token}")
        assert raised == ["stream", "background", "accepted"]
        assert (await browser.get("/who")).json() == "ann"


@pytest.mark.parametrize("action", ["login", "logout"])
async def test_until_a_websocket_is_accepted_its_answer_can_carry_the_cookie(sqlite_auth: Auth, action: str) -> None:
    """DESIGN 9: a login under a fresh id, or a logout, in the handshake; the browser's next request knows it."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)

    async def socket(websocket: WebSocket) -> None:
        await (websocket.auth.login(ann) if action == "login" else websocket.auth.logout())
        await websocket.accept()
        await websocket.close()

    async with client(site(sqlite_auth, WebSocketRoute("/ws", socket))) as browser:
        token = await log_in(browser)
        async with testing.websocket(browser, "/ws") as accepted:
            assert len(accepted.accepted_headers.get_list("set-cookie")) == 1
            assert accepted.accepted_headers["cache-control"] == "no-store"
        assert browser.cookies.get(COOKIE) not in (token, "")
        assert (await browser.get("/who")).json() == ("ann" if action == "login" else "")
    assert await seen_as(sqlite_auth, token) == ""


@pytest.mark.parametrize("action", ["login", "logout"])
async def test_a_session_is_never_part_of_the_applications_transaction(sqlite_url: str, action: str) -> None:
    """DESIGN 6: login and logout inside `auth.joined()` raise RuntimeError with the cure; afterwards they work."""
    engine = create_async_engine(sqlite_url.replace("sqlite://", "sqlite+aiosqlite://"))
    errors: list[str] = []
    async with connected(engine) as auth:
        ann = await auth.users.create("ann", password=PASSWORD)

        async def change(request: Request) -> Response:
            async def act() -> None:
                await (request.auth.login(ann) if action == "login" else request.auth.logout())

            async with AsyncSession(engine) as session, auth.joined(session):
                with pytest.raises(RuntimeError) as error:
                    await act()
                errors.append(str(error.value))
            await act()
            return PlainTextResponse("ok")

        async with client(site(auth, Route("/change", change))) as browser:
            if action == "logout":
                await log_in(browser)
            await browser.get("/change")
            assert (await browser.get("/who")).json() == ("ann" if action == "login" else "")
    await engine.dispose()
    assert "commit" in errors[0]


async def test_a_logout_inside_a_transaction_of_databases_is_part_of_it(sqlite_url: str) -> None:
    """As everything is there: what the application rolls back has not happened."""
    database = databases.Database(sqlite_url)
    async with database, connected(database) as auth:
        await auth.users.create("ann", password=PASSWORD)

        async def logout(request: Request) -> Response:
            async with database.transaction(force_rollback="keep" not in request.query_params):
                await request.auth.logout()
            return PlainTextResponse("bye")

        app = site(auth, Route("/logout", logout))
        seen = []
        for query in ("", "?keep"):
            async with client(app) as browser:
                token = await log_in(browser)
                await browser.get(f"/logout{query}")
            async with client(app) as browser:
                seen.append((await browser.get("/who", headers={"cookie": f"{COOKIE}={token}"})).json())
        assert seen == ["ann", ""]


async def test_two_realms_live_in_one_application_and_one_database(url: str) -> None:
    """DESIGN 1.1: each has its own cookie and its own user; logging out of one leaves the other."""
    async with connected(url) as shop, connected(url, realm="staff") as staff:
        await shop.users.create("ann", password=PASSWORD)
        await shop.users.create("boss", password=PASSWORD)
        inner = site(staff)
        app = site(shop, Mount("/staff", inner))
        async with client(app) as browser:

            async def both() -> list[str]:
                return [(await browser.get(path)).json() for path in ("/who", "/staff/who")]

            assert await both() == ["", ""]
            await log_in(browser, "ann")
            assert await both() == ["ann", ""]
            await log_in(browser, "boss", "/staff/api/auth/login")
            assert await both() == ["ann", "boss"]
            answer = await browser.get("/staff/who")
            assert answer.headers.get_list("vary") == ["Cookie"]
            await browser.post("/staff/api/auth/logout")
            assert await both() == ["ann", ""]
            await log_in(browser, "boss", "/staff/api/auth/login")
            await browser.post("/api/auth/logout")
            assert await both() == ["", "boss"]

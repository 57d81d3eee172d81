"""Connections that live long look again who they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth
from asgiauth.testing import WebSocketClosed, client, websocket

from .helpers import BEARER, Extension, another, known_by_headers, log_in, opened, site, user_named


async def rename(auth: Auth) -> None:
    await auth.users.update(await user_named(auth, "ann"), first_name="Ann")


async def end_sessions(auth: Auth) -> None:
    await auth.sessions.revoke_all(await user_named(auth, "ann"))


async def deactivate(auth: Auth) -> None:
    await auth.users.update(await user_named(auth, "ann"), is_active=False)


async def delete(auth: Auth) -> None:
    await auth.users.delete(await user_named(auth, "ann"))


async def bump(auth: Auth) -> None:
    await auth.sessions.bump_epoch(await user_named(auth, "ann"))


@pytest.mark.parametrize("change", [rename, end_sessions, deactivate, delete], ids=lambda change: change.__name__)
@pytest.mark.parametrize("by", ["session", "bearer"])
async def test_refresh_looks_again_who_it_is(url: str, change: Callable[[Auth], Awaitable[None]], by: str) -> None:
    """The user as it now is, or nobody: for `request.user`, the scopes and the session alike."""

    async def look(request: Request) -> list[Any]:
        await change(known.auth)
        user = await request.auth.refresh()
        assert (user or request.user) == request.user
        return [user and user.first_name, request.user.username, bool(request.auth.scopes), bool(request.auth.session)]

    async with known_by_headers(url) as known:
        browser = client(site(known.auth, look=look))
        if by == "session":
            await log_in(browser)
        answer = await browser.get("/look", headers=BEARER if by == "bearer" else {})
        stays = change is rename or (by, change) == ("bearer", end_sessions)
        first_name = "Ann" if change is rename else ""
        assert answer.json() == ([first_name, "ann", True, by == "session"] if stays else [None, "", False, False])


@pytest.mark.parametrize("then", ["save", "login", "logout", "flush"])
async def test_refresh_of_a_visitor_changes_nothing(sqlite_url: str, then: str) -> None:
    """Nobody before and after; what the session holds is still there, and a login replaces the session as always."""
    feature = Extension()
    async with opened(sqlite_url, "ann", features=[feature]) as auth:
        ann = await user_named(auth, "ann")

        async def fill(request: Request) -> None:
            request.session["cart"] = 1

        async def look(request: Request) -> None:
            assert await request.auth.refresh() is None
            if then == "save":
                request.session["more"] = 2
            else:
                does: Any = {"login": lambda: request.auth.login(ann), "logout": request.auth.logout}
                await does.get(then, request.session.flush)()  # type: ignore[attr-defined]

        browser = client(site(auth, fill=fill, look=look))
        await browser.get("/fill")
        await browser.get("/look")
        left = {"save": ["", {"cart": 1, "more": 2}], "login": ["ann", {"cart": 1}]}
        seen = (await browser.get("/who")).json()
        assert [seen[0], seen[3]] == left.get(then, ["", {}])
        assert await feature.count(auth.tables.session) == (then in left), "no row is left behind"


async def follow(websocket: WebSocket) -> None:
    await websocket.accept()
    async for user in websocket.auth.until_revoked(every=timedelta(milliseconds=5)):
        await websocket.send_text(user.first_name)
    await websocket.close(4000)


@pytest.mark.parametrize("end", [end_sessions, deactivate, delete, bump], ids=lambda end: end.__name__)
async def test_until_revoked_goes_round_until_the_session_ends(
    url: str, end: Callable[[Auth], Awaitable[None]]
) -> None:
    """A WebSocket that is open follows its user, and ends with the session, whatever ends it."""
    async with opened(url, "ann") as auth:
        browser = client(site(auth, WebSocketRoute("/follow", follow)))
        await log_in(browser)
        async with websocket(browser, "/follow") as socket:
            assert await socket.receive_text() == ""
            await rename(auth)
            while await socket.receive_text() != "Ann":
                pass
            await end(auth)
            with pytest.raises(WebSocketClosed) as closed:
                while True:
                    await socket.receive_text()
            assert closed.value.code == 4000
        async with websocket(another(browser), "/follow") as socket:
            with pytest.raises(WebSocketClosed):
                await socket.receive_text()

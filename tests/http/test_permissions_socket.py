"""Permissions on a WebSocket: asked again after a second, and never more than once in one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgiauth import Auth
from asgiauth.backends import Identity
from asgiauth.exceptions import Unavailable
from asgiauth.guards import group, perm, requires
from asgiauth.testing import Client, Clock, WebSocketClosed, client, force_login, websocket

from ..login.helpers import Extension
from ..wire import outline, watched
from .guarding import PASSWORD, site
from .permitting import ADD, CHANGE, Post, blog, grant, join, leave, named, opened, revoke


async def asked(websocket: WebSocket) -> None:
    """Answers each message: as often as it says, all at once, whether posts may be added; or the error's name."""
    await websocket.accept()
    try:
        while True:
            times = int(await websocket.receive_text())
            try:
                said = await asyncio.gather(*(websocket.auth.has_perm(ADD) for _ in range(times)))
                await websocket.send_json([*{*said}, websocket.user.username])
            except Unavailable:
                await websocket.send_json("unavailable")
    except WebSocketDisconnect:
        pass


async def ask(socket: Any, times: int = 1) -> Any:
    await socket.send_text(str(times))
    return await socket.receive_json()


async def browser_of(auth: Auth, *routes: Any) -> Client:
    """In which Ann is logged in."""
    browser = client(site(auth, *(routes or [WebSocketRoute("/ws", asked)])))
    await force_login(browser, await named(auth))
    return browser


async def test_however_many_messages_come_there_is_one_lookup_in_a_second(server: str, url: str) -> None:
    """And no further query as long as nothing has changed."""
    clock = Clock()
    async with watched(server, url, clock=clock, **blog()) as (auth, statements):
        await auth.users.create("ann", password=PASSWORD)
        await grant(auth, ADD)
        browser = await browser_of(auth)
        statements.clear()
        async with websocket(browser, "/ws") as socket:
            for _ in range(50):
                assert await ask(socket) == [True, "ann"]
            assert outline(statements) == ["SELECT", "SELECT"], "the session, and what its user may do"
            for _ in range(3):
                statements.clear()
                clock.advance(seconds=1)
                assert await ask(socket, 50) == [True, "ann"]
                clock.advance(seconds=0.999)
                assert [await ask(socket) for _ in range(20)] == [[True, "ann"]] * 20
                assert outline(statements) == ["SELECT"]
            await revoke(auth, ADD)
            statements.clear()
            clock.advance(seconds=0.001)
            assert [await ask(socket) for _ in range(20)] == [[False, "ann"]] * 20
            assert outline(statements) == ["SELECT", "SELECT"]


async def end_session(auth: Auth) -> None:
    await auth.sessions.revoke_all(await named(auth))


async def deactivate(auth: Auth) -> None:
    await auth.users.update(await named(auth), is_active=False)


async def take_away(auth: Auth) -> None:
    await revoke(auth, ADD)


@pytest.mark.parametrize("change", [take_away, end_session, deactivate], ids=lambda change: change.__name__)
async def test_what_was_taken_away_is_gone_within_a_second(url: str, change: Any) -> None:
    """The permission, or the session, by another process; and given again it is there again."""
    clock = Clock()
    async with opened(url, "ann", clock=clock) as auth, opened(url, clock=clock) as other:
        await grant(auth, ADD)
        async with websocket(await browser_of(auth), "/ws") as socket:
            assert await ask(socket) == [True, "ann"]
            await change(other)
            clock.advance(seconds=1)
            assert await ask(socket) == [False, "ann" if change is take_away else ""]
            if change is take_away:
                await grant(other, ADD)
            clock.advance(seconds=1)
            assert await ask(socket) == ([True, "ann"] if change is take_away else [False, ""])


async def test_a_clock_that_is_put_back_delays_nothing(sqlite_url: str) -> None:
    clock = Clock()
    async with opened(sqlite_url, "ann", clock=clock) as auth:
        await grant(auth, ADD)
        async with websocket(await browser_of(auth), "/ws") as socket:
            assert await ask(socket) == [True, "ann"]
            await revoke(auth, ADD)
            clock.advance(hours=-1)
            assert await ask(socket) == [False, "ann"]


class Directory:
    """Knows everybody to be Ann, as long as it answers."""

    auth: Auth
    is_down = False
    asked = 0

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        self.asked += 1
        if self.is_down:
            raise Unavailable("the directory does not answer")
        return Identity(await named(self.auth), "directory")


async def test_where_it_cannot_be_told_the_answer_is_an_error_until_it_can(sqlite_url: str) -> None:
    """Never what was known before: the next message asks again."""
    clock, directory = Clock(), Directory()
    async with opened(sqlite_url, "ann", clock=clock, features=[Extension(authenticators=[directory])]) as auth:
        directory.auth = auth
        await grant(auth, ADD)
        async with websocket(client(site(auth, WebSocketRoute("/ws", asked))), "/ws") as socket:
            assert [await ask(socket) for _ in range(5)] == [[True, "ann"]] * 5
            assert directory.asked == 1
            clock.advance(seconds=1)
            directory.is_down = True
            assert [await ask(socket) for _ in range(2)] == ["unavailable"] * 2
            directory.is_down = False
            assert [await ask(socket, 5) for _ in range(5)] == [[True, "ann"]] * 5
            assert directory.asked == 4


class Editing(WebSocketEndpoint):
    """A guard before each message."""

    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()

    @requires(group("editors") & perm(CHANGE, obj=lambda websocket: Post(1)))
    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text("edited")


@pytest.mark.parametrize("what", ["group", "grant"])
async def test_B9_5_a_guard_before_each_message_closes_a_connection_that_has_lost_its_right(
    sqlite_url: str, what: str
) -> None:
    clock = Clock()
    async with opened(sqlite_url, "ann", clock=clock) as auth:
        await auth.groups.create("editors")
        await join(auth, "editors")
        await grant(auth, CHANGE, Post(1))
        browser = await browser_of(auth, WebSocketRoute("/ws", Editing))
        async with websocket(browser, "/ws") as socket:
            for _ in range(3):
                await socket.send_text("edit")
                assert await socket.receive_text() == "edited"
            if what == "group":
                await leave(auth, "editors")
            else:
                await revoke(auth, CHANGE, Post(1))
            await socket.send_text("edit")
            assert await socket.receive_text() == "edited", "what is known is not a second old yet"
            clock.advance(seconds=1)
            await socket.send_text("edit")
            with pytest.raises(WebSocketClosed) as closed:
                await socket.receive_text()
            assert closed.value.code == 1008

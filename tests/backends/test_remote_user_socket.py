"""A WebSocket behind a proxy that says who the user is: known for as long as it is open, without a session."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgiauth import Auth, User, login_required
from asgiauth.backends import AllowAllUsersRemoteUserBackend, RemoteUserBackend
from asgiauth.testing import WebSocketRefused, client, websocket

from ..login.helpers import Step, log_in, site, steps, user_named
from ..sites import COOKIE, count
from .proxied import ANN, BOB, behind_proxy, seen


@login_required
async def looking(websocket: WebSocket) -> None:
    """Answers each message with who the user now is."""
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
            user = await websocket.auth.refresh()
            await websocket.send_json([user and user.username, websocket.auth.session is not None])
    except WebSocketDisconnect:
        pass


def app_of(auth: Auth) -> Any:
    return site(auth, WebSocketRoute("/look", looking))


async def look(socket: Any) -> Any:
    await socket.send_text("")
    return await socket.receive_json()


async def test_A9_4_a_websocket_knows_whom_the_proxy_names_without_a_session(url: str) -> None:
    """A cookie might never reach the browser; whoever is unknown is created, once."""
    async with behind_proxy(url) as (auth, _):
        browser = client(app_of(auth))
        for _ in range(2):
            async with websocket(browser, "/look", headers=ANN) as socket:
                assert [await look(socket) for _ in range(2)] == [["ann", False]] * 2
                assert "set-cookie" not in socket.accepted_headers
    assert await count(url, auth.tables.user) == 1
    assert await count(url, auth.tables.session) == 0


async def test_A9_4_a_websocket_with_the_session_of_the_header_keeps_it(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann", "bob") as (auth, _):
        browser = client(app_of(auth))
        assert await seen(browser, ANN) == "ann"
        async with websocket(browser, "/look", headers=ANN) as socket:
            assert await look(socket) == ["ann", True]
        async with websocket(browser, "/look", headers=BOB) as socket:
            assert await look(socket) == ["bob", False]
            assert f"{COOKIE}=;" in socket.accepted_headers["set-cookie"]
    assert await count(sqlite_url, auth.tables.session) == 0


async def test_A9_4_on_a_websocket_too_the_header_goes_before_a_login_by_password(sqlite_url: str) -> None:
    """Of somebody else, who is still logged in where there is no header, and where the header's user may not be."""
    async with behind_proxy(sqlite_url, "ann", "bob") as (auth, _):
        browser = client(app_of(auth))
        await log_in(browser, "bob")
        ann = await user_named(auth, "ann")
        async with websocket(browser, "/look", headers=ANN) as socket:
            assert await look(socket) == ["ann", False]
            await auth.users.update(ann, is_active=False)
            assert await look(socket) == [None, False]
        for headers in (ANN, {}):
            async with websocket(browser, "/look", headers=headers) as socket:
                assert await look(socket) == ["bob", True]


async def test_A9_4_a_websocket_without_the_header_is_nobodys(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (auth, _):
        browser = client(app_of(auth))
        assert await seen(browser, ANN) == "ann"
        with pytest.raises(WebSocketRefused):
            async with websocket(browser, "/look"):
                raise AssertionError
        await log_in(browser, "ann")
        async with websocket(browser, "/look") as socket:
            assert await look(socket) == ["ann", True]


@pytest.mark.parametrize("change", ["deactivate", "rename", "delete"])
async def test_A9_4_an_open_websocket_ends_with_its_user(sqlite_url: str, change: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (auth, _):
        browser = client(app_of(auth))
        async with websocket(browser, "/look", headers=ANN) as socket:
            assert await look(socket) == ["ann", False]
            ann = await user_named(auth, "ann")
            if change == "deactivate":
                await auth.users.update(ann, is_active=False)
            elif change == "rename":
                await auth.users.update(ann, username="anne")
            else:
                await auth.users.delete(ann)
            assert await look(socket) == [None, False]
    assert await count(sqlite_url, auth.tables.user) == (0 if change == "delete" else 1)


async def test_A6_13_the_inactive_keep_their_websocket_where_they_may_log_in(sqlite_url: str) -> None:
    backend = AllowAllUsersRemoteUserBackend[User]()
    async with behind_proxy(sqlite_url, "ann", backend=backend) as (auth, _):
        await auth.users.update(await user_named(auth, "ann"), is_active=False)
        async with websocket(client(app_of(auth)), "/look", headers=ANN) as socket:
            assert [await look(socket) for _ in range(2)] == [["ann", False]] * 2


@pytest.mark.parametrize("name", ["ann", "nobody"])
async def test_A9_4_a_websocket_takes_no_step_and_so_who_needs_one_is_nobody(sqlite_url: str, name: str) -> None:
    feature = steps(Step("totp"))
    backend = RemoteUserBackend[User](create_unknown_user=False)
    async with behind_proxy(sqlite_url, "ann", backend=backend, features=[feature]) as (auth, _):
        with pytest.raises(WebSocketRefused):
            async with websocket(client(app_of(auth)), "/look", headers={"Remote-User": name}):
                raise AssertionError
        assert await feature.count(auth.tables.pending_login) == 0


async def test_D18_another_site_opens_no_websocket_in_the_users_name(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url) as (auth, _):
        with pytest.raises(WebSocketRefused) as refused:
            async with websocket(client(app_of(auth)), "/look", headers=ANN, origin="https://evil.example"):
                raise AssertionError
        assert refused.value.code == 1008
    assert await count(sqlite_url, auth.tables.user) == 0

"""Who comes with a header of a proxy's or with HTTP Basic needs no session, and so is let in where none can be written."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth
from asgiauth.backends import PasswordBackend, RemoteUserBackend
from asgiauth.features.basic import HttpBasic
from asgiauth.testing import client, websocket

from ..backends.proxied import ANN, BOB, PROXY
from ..conftest import make_auth
from ..readers import reading
from ..sites import COOKIE, PASSWORD, run, site
from ..wire import outline


async def look(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(socket.user.username)
    await socket.close()


def app_of(auth: Auth) -> Any:
    return site(auth, WebSocketRoute("/look", look))


def options() -> dict[str, Any]:
    return {"backends": [RemoteUserBackend(), PasswordBackend()], "trusted_proxies": [PROXY]}


async def test_A9_4_whom_the_proxy_names_is_known_without_a_session(server: str, url: str) -> None:
    """On each request, a forged one excepted; who is unknown cannot be created."""
    async with make_auth(url, **options()) as writing:
        await writing.create_tables()
        await writing.users.create("ann", password=PASSWORD)
        before = await run(url, select(writing.tables.user))
        async with reading(server, url, **options()) as (auth, statements):
            browser = client(app_of(auth))
            for _ in range(2):
                answer = await browser.get("/who", headers=ANN)
                assert (answer.json(), answer.headers.get_list("set-cookie")) == ("ann", [])
            async with websocket(browser, "/look", headers=ANN) as socket:
                assert await socket.receive_json() == "ann"
            assert (await browser.get("/who")).json() == ""
            forged = await browser.post("/api/auth/logout", headers={**ANN, "sec-fetch-site": "cross-site"})
            assert forged.status_code == 403
            unknown = await browser.get("/who", headers=BOB)
            assert (unknown.status_code, unknown.json()["detail"]["code"]) == (503, "read_only")
            wrote = [one for one in outline(statements) if one.partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")]
            assert wrote == []
        assert await run(url, select(writing.tables.user)) == before


@pytest.mark.parametrize("headers", [BOB, {}], ids=["another", "nobody"])
async def test_A9_5_a_session_that_the_proxy_does_not_name_counts_for_nothing(
    server: str, url: str, headers: dict[str, str]
) -> None:
    """It cannot be ended here: the row and the cookie stay, and whoever may write ends it."""
    async with make_auth(url, **options()) as writing:
        await writing.create_tables()
        for name in ("ann", "bob"):
            await writing.users.create(name, password=PASSWORD)
        async with client(app_of(writing)) as browser:
            assert (await browser.get("/who", headers=ANN)).json() == "ann"
            token = browser.cookies[COOKIE]
        async with reading(server, url, **options()) as (auth, _):
            browser = client(app_of(auth), headers={"cookie": f"{COOKIE}={token}"})
            assert (await browser.get("/who", headers=ANN)).json() == "ann"
            answer = await browser.get("/who", headers=headers)
            assert (answer.json(), answer.headers.get_list("set-cookie")) == ("bob" if headers else "", [])
        assert len(await run(url, select(writing.tables.session))) == 1


async def test_A22_3_a_script_with_a_password_is_let_in(server: str, url: str) -> None:
    async with make_auth(url) as writing:
        await writing.create_tables()
        await writing.users.create("ann", password=PASSWORD)
        async with reading(server, url, features=[HttpBasic()]) as (auth, statements):
            browser = client(app_of(auth), auth=("ann", PASSWORD))
            assert (await browser.get("/who")).json() == "ann"
            wrong = client(app_of(auth), auth=("ann", "wrong"))
            assert (await wrong.get("/who")).json() == ""
            wrote = [one for one in outline(statements) if one.partition(" ")[0] in ("INSERT", "UPDATE", "DELETE")]
            assert wrote == []

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import asyncpg
import httpx2
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from asgiauth import Auth

from ..conftest import client, make_auth
from ..servers import PrivateServer, mariadb, mariadb_available, postgresql, postgresql_available
from ..sites import COOKIE, PASSWORD, log_in, run, site, websocket

FACTORIES: dict[str, Callable[[], PrivateServer]] = {
    **({"postgresql": postgresql} if postgresql_available() else {}),
    **({"mariadb": mariadb} if mariadb_available() else {}),
}
LOGIN = {"username": "ann", "password": PASSWORD}
DEADLINE = 8.0
ONCE = 2 * DEADLINE - 0.5
"""Seconds: who waits for the database twice takes longer, and a busy machine that waits once does not."""


@pytest.fixture(autouse=True)
def _busy_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the deadline is what is tested."""
    monkeypatch.setattr("asgiauth.db.unit.STATEMENT_TIMEOUT", DEADLINE)


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    server = FACTORIES[request.param]()
    yield server
    server.close()


@asynccontextmanager
async def serving(server: PrivateServer) -> AsyncIterator[tuple[Auth, Starlette]]:
    """A site that is up, on a server that has just one user, Ann."""
    server.start()
    auth = make_auth(server.url)
    async with auth:
        await auth.create_tables()
        for user in (await auth.users.page()).items:
            await auth.users.delete(user)
        await auth.users.create("ann", password=PASSWORD)
        yield auth, site(auth)


def is_unavailable(answer: httpx2.Response) -> bool:
    """503 in general terms, to be tried again, with the cookie as it was."""
    return (
        answer.status_code == 503
        and answer.json()["detail"]["code"] == "unavailable"
        and int(answer.headers["retry-after"]) > 0
        and "set-cookie" not in answer.headers
        and answer.headers["cache-control"] == "no-store"
        and not any(word in answer.text.lower() for word in ("127.0.0.1", "postgres", "maria", "mysql", "connect"))
    )


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_an_outage_lets_nobody_in_and_logs_nobody_out(server: PrivateServer, end: str) -> None:
    """D-23, T15: 503 with Retry-After, and not only after several timeouts; the cookie stays, and works again as soon as
    the server is back, without a restart of the application."""
    async with serving(server) as (auth, app), client(app) as browser, client(app) as visitor:
        token = await log_in(browser)
        assert {(await browser.get("/who")).json() for _ in range(3)} == {"ann"}
        await asyncio.gather(*(browser.get("/who") for _ in range(20)))  # several connections in the pool
        await asyncio.to_thread(getattr(server, end))
        for _ in range(2):
            async with asyncio.timeout(ONCE):
                during = await asyncio.gather(
                    browser.get("/who"),
                    browser.get("/api/auth/session"),
                    browser.post("/api/auth/logout"),
                    browser.post("/api/auth/login", json=LOGIN),
                    visitor.post("/api/auth/login", json=LOGIN),
                    visitor.post("/api/auth/login", json={"username": "nobody", "password": "x"}),
                )
            assert [is_unavailable(answer) for answer in during] == [True] * 6
        assert (await visitor.get("/who")).json() == ""
        assert (await visitor.get("/api/auth/session")).json()["user"] is None
        assert await websocket(app, "/who", f"{COOKIE}={token}") == [{"type": "websocket.close", "code": 1013}]
        assert browser.cookies[COOKIE] == token
        assert COOKIE not in visitor.cookies

        await asyncio.to_thread(server.start)
        answers = await asyncio.gather(*(browser.get("/who") for _ in range(30)))
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, '"ann"')}
        await log_in(visitor)
        assert (await visitor.get("/who")).json() == "ann"
        assert len(await run(server.url, select(auth.tables.session.c.user_id))) == 2


async def test_a_login_that_the_server_did_not_commit_has_not_happened(server: PrivateServer) -> None:
    """T15, T18: killed between BEGIN and COMMIT, when last_login is written, the old session deleted and the INSERT of the
    new one waits: 503, and nothing of it is left when the server is back."""
    async with serving(server) as (auth, app), client(app) as browser:
        session, user = auth.tables.session, auth.tables.user
        state = select(user.c.last_login, session.c.key).join_from(user, session)
        token, before = await log_in(browser), await run(server.url, state)
        assert len(before) == 1
        async with locked(server, session.name, "SHARE", "READ") as somebody_waits:
            login = asyncio.create_task(browser.post("/api/auth/login", json=LOGIN))
            await somebody_waits()
            await asyncio.to_thread(server.kill)
            answer = await login
        assert is_unavailable(answer)
        assert browser.cookies[COOKIE] == token
        await asyncio.to_thread(server.start)
        assert await run(server.url, state) == before
        assert (await browser.get("/who")).json() == "ann"
        await log_in(browser)
        assert (await browser.get("/who")).json() == "ann"


async def test_requests_that_are_under_way_when_the_server_dies_are_503(server: PrivateServer) -> None:
    """T15: none is a 500, and the pool is good for as many as before."""
    async with serving(server) as (auth, app), client(app) as browser:
        await log_in(browser)
        async with locked(server, auth.tables.session.name, "ACCESS EXCLUSIVE", "WRITE") as somebody_waits:
            requests = [asyncio.create_task(browser.get("/who")) for _ in range(8)]
            await somebody_waits()
            await asyncio.to_thread(server.kill)
            answers = await asyncio.gather(*requests)
        assert [is_unavailable(answer) for answer in answers] == [True] * 8
        await asyncio.to_thread(server.start)
        answers = await asyncio.gather(*(browser.get("/who") for _ in range(30)))
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, '"ann"')}


async def test_a_server_that_hangs_is_an_outage_and_costs_no_connection(server: PrivateServer) -> None:
    """D-23, T15: more requests than the pool has connections are all answered 503 after one timeout, and afterwards as
    many are served at once as before."""
    async with serving(server) as (auth, app), client(app) as browser:
        token = await log_in(browser)
        async with locked(server, auth.tables.session.name, "ACCESS EXCLUSIVE", "WRITE"), asyncio.timeout(ONCE):
            answers = await asyncio.gather(*(browser.get("/who") for _ in range(15)))
        assert [is_unavailable(answer) for answer in answers] == [True] * 15
        assert browser.cookies[COOKIE] == token
        answers = await asyncio.gather(*(browser.get("/who") for _ in range(30)))
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, '"ann"')}
        await log_in(browser)


@asynccontextmanager
async def locked(
    server: PrivateServer, table: str, postgresql: str, mariadb: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Somebody else holds a lock on a table; what is yielded returns as soon as a statement waits for it."""
    connections: list[Any] = []
    try:
        connections.extend([await connect(server) for _ in range(2)])
        holder, watcher = connections
        if server.url.startswith("postgresql"):
            await holder.execute(f"BEGIN; LOCK TABLE {table} IN {postgresql} MODE")
        else:
            async with holder.cursor() as cursor:
                await cursor.execute(f"LOCK TABLES {table} {mariadb}")

        async def somebody_waits() -> None:
            async with asyncio.timeout(30):
                while not await waiting(watcher):
                    await asyncio.sleep(0.02)

        yield somebody_waits
    finally:
        for connection in connections:
            getattr(connection, "terminate", connection.close)()


async def connect(server: PrivateServer) -> Any:
    if server.url.startswith("postgresql"):
        return await asyncpg.connect(server.url)
    parts = urlsplit(server.url)
    return await asyncmy.connect(host=parts.hostname, port=parts.port, user=parts.username, db=parts.path[1:])


async def waiting(connection: Any) -> bool:
    """Does a statement wait for a lock?"""
    if isinstance(connection, asyncpg.Connection):
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
        )
        return bool((await cursor.fetchone())[0])


async def test_a_locked_sqlite_file_refuses_logins_and_keeps_pages_going(tmp_path: Path) -> None:
    """D-23: another process writes for longer than we wait."""
    path = tmp_path / "test.db"
    auth = make_auth(f"sqlite:///{path}")
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            login, page = await asyncio.gather(browser.post("/api/auth/login", json=LOGIN), browser.get("/who"))
            assert is_unavailable(login)
            assert page.json() == "ann"
            other.execute("ROLLBACK")
        assert (await browser.get("/who")).json() == "ann"
        assert browser.cookies[COOKIE] == token
        await log_in(browser)

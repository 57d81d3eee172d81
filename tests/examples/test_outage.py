"""The examples query their own tables through their own engine: what they answer while the database server is down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator

import httpx2
import pytest

from asgiauth.testing import client

from ..databases import engine_url
from ..http.paging import BROWSER, Page, where
from ..servers import PrivateServer, mariadb, mariadb_available, postgresql, postgresql_available
from .conftest import PASSWORD, fresh

FACTORIES: dict[str, Callable[[], PrivateServer]] = {
    **({"postgresql": postgresql} if postgresql_available() else {}),
    **({"mariadb": mariadb} if mariadb_available() else {}),
}
COOKIE = "asgiauth"


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    server = FACTORIES[request.param]()
    yield server
    server.close()


@pytest.fixture
def database(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> PrivateServer:
    """Up, and the one that an example finds when it is imported."""
    server.start()
    monkeypatch.setenv("DATABASE_URL", engine_url(server.url))
    return server


def is_an_outage(answer: httpx2.Response) -> bool:
    """503 in general terms, as JSON or as a page, to be tried again, with the cookie as it was."""
    words = ("127.0.0.1", "sql", "select", "insert", "connect", "traceback")
    text = re.sub(r'nonce="[^"]*"', "", answer.text).lower()  # which may hold any of the words by chance
    return (
        answer.status_code == 503
        and "unavailable for the moment" in answer.text
        and int(answer.headers["retry-after"]) > 0
        and "set-cookie" not in answer.headers
        and not any(word in text for word in words)
    )


async def test_D23_the_notice_board_without_its_database(
    database: PrivateServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Visitors, whose pages ask the example's own engine, and members, whom asgiauth looks up first."""
    board = fresh("starlette_site")
    async with client(board.app, headers=BROWSER) as member, client(board.app, headers=BROWSER) as visitor:
        passwords = dict(re.findall(r"user name: (\w+) +password: (\S+)", capsys.readouterr().out))
        login = {"username": "ann", "password": passwords["ann"]}
        assert where(await member.post("/auth/login", data=login)) == (303, "/")
        cookies = dict(member.cookies)
        notice = {"title": "Pears", "text": "Help yourself."}
        for stop in (database.stop, database.kill):
            await asyncio.to_thread(stop)
            for _ in range(2):
                during = [
                    await visitor.get("/"),
                    await visitor.post("/auth/login", data=login),
                    await member.get("/"),
                    await member.get("/write"),
                    await member.post("/write", data=notice),
                    await member.post("/notices/1/take-down"),
                ]
                assert [is_an_outage(answer) for answer in during] == [True] * len(during)
            assert where(await visitor.get("/write")) == (303, "/auth/login?next=/write")
            assert (dict(member.cookies), COOKIE in visitor.cookies) == (cookies, False)
            await asyncio.to_thread(database.start)
            assert "Log out, Ann" in (await member.get("/")).text
            assert Page(await visitor.get("/")).texts("h2") == ["Choir", "From the garden"]
        assert where(await member.post("/write", data=notice)) == (303, "/")
        assert Page(await member.get("/")).texts("h2")[0] == "Pears"


async def test_D23_the_notes_without_their_database(database: PrivateServer) -> None:
    """The one shape of all errors, and nothing of what was sent is there afterwards."""
    notes = fresh("fastapi_api")
    async with client(notes.app) as member, client(notes.app) as visitor:
        wish = {"username": "cat", "password": PASSWORD, "nickname": "Cat"}
        login = {"username": "cat", "password": PASSWORD}
        assert (await member.post("/register", json=wish)).status_code == 201
        assert (await member.post("/api/auth/login", json=login)).status_code == 200
        cookies = dict(member.cookies)
        another = {**wish, "username": "dot", "nickname": "Dot"}
        for stop in (database.stop, database.kill):
            await asyncio.to_thread(stop)
            for _ in range(2):
                during = [
                    await visitor.post("/register", json=another),
                    await visitor.post("/api/auth/login", json=login),
                    await member.get("/me"),
                    await member.get("/notes"),
                    await member.post("/notes", json={"text": "milk"}),
                    await member.delete("/notes/1"),
                ]
                assert [is_an_outage(answer) for answer in during] == [True] * len(during)
            assert ((await visitor.get("/notes")).status_code, (await visitor.get("/")).status_code) == (401, 200)
            assert (dict(member.cookies), COOKIE in visitor.cookies) == (cookies, False)
            await asyncio.to_thread(database.start)
            assert (await member.get("/me")).json()["nickname"] == "Cat"
            assert (await member.get("/notes")).json() == []
        assert (await visitor.post("/register", json=another)).status_code == 201

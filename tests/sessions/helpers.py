"""A site whose views are the test's own functions, and what its database then holds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from sqlalchemy import Select, Table, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from asgiauth import Auth, User
from asgiauth.db import Database
from asgiauth.events import Event
from asgiauth.testing import Client, client

from ..conftest import make_auth

PASSWORD = "correct horse"
COOKIE = "__Host-asgiauth"
CLEARED = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"

View = Callable[[Any], Any]
"""Of a request, sync or async; what it returns is the answer, as JSON. (Starlette types `request.session` as a plain
dictionary, hence Any.)"""


class Site:
    """`await site.get(browser, lambda request: request.session.get("x"))` runs that view in a request."""

    def __init__(self, auth: Auth[Any], *routes: BaseRoute, **options: Any) -> None:
        self.auth = auth
        self._views: list[View] = []
        api = Mount("/api/auth", routes=auth.json_routes)
        view = Route("/view/{n:int}", self._answer)
        self.app = Starlette(routes=[view, api, *routes], middleware=auth.middleware, **options)

    def browser(self, **options: Any) -> Client:
        return client(self.app, **options)

    def with_cookie(self, token: str | None) -> Client:
        """Another browser that has the token of the first."""
        browser = self.browser()
        if token is not None:
            browser.cookies.set(COOKIE, token, domain="site.example", path="/")
        return browser

    async def get(self, browser: httpx2.AsyncClient, view: View) -> httpx2.Response:
        self._views.append(view)
        return await browser.get(f"/view/{len(self._views) - 1}")

    async def ask(self, browser: httpx2.AsyncClient, view: View) -> Any:
        """What the view returned."""
        answer = await self.get(browser, view)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def who(self, token: str | None) -> str:
        """Whom a browser with this token is taken for; blank for nobody."""
        return str(await self.ask(self.with_cookie(token), lambda request: request.user.username))

    async def log_in(self, username: str = "ann", *, browser: Client | None = None, **more: Any) -> Client:
        """A browser in which somebody has logged in."""
        browser = browser or self.browser()
        answer = await browser.post("/api/auth/login", json={"username": username, "password": PASSWORD, **more})
        assert answer.status_code == 200, answer.text
        return browser

    async def _answer(self, request: Request) -> Response:
        result = self._views[request.path_params["n"]](request)
        result = await result if inspect.isawaitable(result) else result
        return result if isinstance(result, Response) else JSONResponse(result)


def token_of(browser: Client) -> str | None:
    return browser.cookies.get(COOKIE)


@asynccontextmanager
async def site_at(url: str, *users: str, **options: Any) -> AsyncIterator[Site]:
    """A site with these users, all of the same password."""
    auth = make_auth(url, **options)
    async with auth:
        await auth.create_tables()
        for name in users:
            await auth.users.create(name, password=PASSWORD)
        yield Site(auth)


async def user(site: Site, name: str = "ann") -> User:
    found: User | None = await site.auth.users.get_by(username=name)
    assert found is not None
    return found


def heard(auth: Auth[Any], kind: type[Event]) -> list[Any]:
    """Every event of the kind that is told from now on."""
    told: list[Any] = []

    async def listen(event: Event) -> None:
        told.append(event)

    auth.events.on(kind, listen)
    return told


@asynccontextmanager
async def other_hand(url: str) -> AsyncIterator[Database]:
    """A connection of somebody else's."""
    database = Database(url)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


async def rows(url: str, table: Table | Select[Any]) -> list[dict[str, Any]]:
    async with other_hand(url) as database:
        found = await database.fetch(select(table) if isinstance(table, Table) else table)
    return [dict(row) for row in found]


async def execute(url: str, sql: str) -> None:
    async with other_hand(url) as database, database.unit() as unit:
        await unit.text(sql)


class Gate:
    """Holds `size` requests until all of them are inside, so that they go on at the same time."""

    def __init__(self, size: int) -> None:
        self._barrier = asyncio.Barrier(size)

    async def pass_(self) -> None:
        async with asyncio.timeout(60):
            await self._barrier.wait()


async def at_once(site: Site, browsers: Sequence[Client], view: Callable[[Any, int], Any]) -> list[httpx2.Response]:
    """`view(request, i)` in one request of each browser, begun only when all of them have been let in."""
    gate = Gate(len(browsers))

    def numbered(i: int) -> View:
        async def run(request: Any) -> Any:
            await gate.pass_()
            result = view(request, i)
            return await result if inspect.isawaitable(result) else result

        return run

    return list(await asyncio.gather(*(site.get(browser, numbered(i)) for i, browser in enumerate(browsers))))

"""An application to log in to, with a feature that contributes what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from sqlalchemy import MetaData, Table, func, select
from starlette.applications import Starlette
from starlette.authentication import requires as starlette_requires
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, Contribution, Core, LoggedIn, RequestAuth, StepRequired, User, login_required
from asgiauth.backends import Identity
from asgiauth.events import Event, after_commit
from asgiauth.exceptions import InvalidField, Unavailable
from asgiauth.http.actions import Action, Field
from asgiauth.login import LoginAttempt
from asgiauth.testing import Client, Clock, WebSocketRefused, client, websocket

from ..conftest import make_auth

PASSWORD = "correct horse"
ANN = {"username": "ann", "password": PASSWORD}
SESSION = "__Host-asgiauth"
PENDING = "__Host-asgiauth-pending"
PROOF = "the second proof"

View = Callable[[Request], Awaitable[Any]]
LOGIN, LOGOUT, CHANGE = "/api/auth/login", "/api/auth/logout", "/api/auth/password/change"


class Extension:
    """A feature that contributes what it is told, and keeps the `core` that it gets."""

    name = "extension"
    core: Core

    def __init__(self, *tables: Callable[[MetaData], object], **contribution: Any) -> None:
        self._tables = tables
        self._contribution = Contribution(**contribution)

    def tables(self, metadata: MetaData) -> None:
        for table in self._tables:
            table(metadata)

    def install(self, core: Core) -> Contribution:
        self.core = core
        return self._contribution

    async def count(self, table: Table, *conditions: Any) -> int:
        """Rows, as another connection than a request's sees them."""
        row = await self.core.db.fetch_one(select(func.count().label("n")).select_from(table).where(*conditions))
        return int((row or {})["n"])


def _always(user: User, attempt: LoginAttempt) -> bool:
    return True


@dataclass
class Step:
    name: str
    requirement: str = "second factor"
    applies: Callable[[User, LoginAttempt], bool] = _always

    @property
    def path(self) -> str:
        return f"steps/{self.name}"

    async def applies_to(self, user: User, attempt: LoginAttempt) -> bool:
        return self.applies(user, attempt)


async def _prove(auth: RequestAuth[Any], *, step: str, proof: str) -> LoggedIn[Any] | StepRequired:
    await auth.try_step()
    if proof != PROOF:
        raise InvalidField("proof", "incorrect")
    return await auth.pass_step(step)


def steps(*given: Step, **contribution: Any) -> Extension:
    """With `POST /api/auth/steps/<name>`, which a wrong proof costs a try."""
    prove = Action(name="prove", path="steps/{step}", run=_prove, fields={"proof": Field(secret=True)}, public=True)
    return Extension(login_steps=given, actions=[prove], **contribution)


async def prove(browser: httpx2.AsyncClient, step: str, proof: str = PROOF, **options: Any) -> httpx2.Response:
    return await browser.post(f"/api/auth/steps/{step}", json={"proof": proof}, **options)


async def who(request: Request) -> Any:
    return [request.user.username, list(request.auth.scopes), request.auth.session is not None, dict(request.session)]


NOBODY: list[Any] = ["", [], False, {}]


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.username)
    await websocket.close()


@starlette_requires("authenticated", status_code=401)
async def _starlettes_own(request: Request) -> Response:
    return JSONResponse(request.user.username)


def _json(view: View) -> View:
    async def endpoint(request: Request) -> Response:
        answer = await view(request)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    return endpoint


def site(auth: Auth, *routes: BaseRoute, **views: View) -> Starlette:
    """Each view at its name, as JSON; `who` says who asks, the others refuse a visitor in every way there is."""
    named = [Route(f"/{name}", _json(view), methods=["GET", "POST"]) for name, view in {"who": who, **views}.items()]
    guarded = [
        Route("/guarded", login_required(_json(who))),
        Route("/starlettes-own", _starlettes_own),
        WebSocketRoute("/socket", _socket),
        WebSocketRoute("/guarded-socket", login_required(_socket)),
    ]
    return Starlette(
        routes=[*routes, *named, *guarded, Mount("/api/auth", routes=auth.json_routes)],
        middleware=auth.middleware,
        exception_handlers=auth.exception_handlers,
    )


@asynccontextmanager
async def opened(database: Any, *names: str, **options: Any) -> AsyncIterator[Auth]:
    """Connected, with its tables and users of these names."""
    auth = make_auth(database, **options)
    async with auth:
        await auth.create_tables()
        for name in names:
            await auth.users.create(name, password=PASSWORD)
        yield auth


async def user_named(auth: Auth, name: str) -> User:
    user = await auth.users.get_by(username=name)
    assert user is not None
    return user


async def log_in(browser: httpx2.AsyncClient, name: str = "ann", **options: Any) -> httpx2.Response:
    answer = await browser.post(LOGIN, json={"username": name, "password": PASSWORD}, **options)
    assert answer.status_code == 200, answer.text
    return answer


def error(answer: httpx2.Response) -> tuple[int, str]:
    """The status and the code."""
    return answer.status_code, answer.json()["detail"]["code"]


def cookies_of(answer: httpx2.Response) -> dict[str, str]:
    """The cookies that it sets: the value, blank for one that it clears."""
    headers = answer.headers.get_list("set-cookie")
    return dict(header.partition(";")[0].split("=", 1) for header in headers)


def another(browser: Client) -> Client:
    """Another browser at the same site."""
    return Client(browser.app)


class Site:
    """An application whose Ann needs more than her password, and a browser at it."""

    def __init__(self, auth: Auth, feature: Extension, clock: Clock, **views: Any) -> None:
        self.auth, self.feature, self.clock = auth, feature, clock
        self.browser = client(site(auth, **views))

    async def password(self, **more: Any) -> httpx2.Response:
        answer = await self.browser.post(LOGIN, json={**ANN, **more})
        assert error(answer) == (401, "step_required")
        return answer

    async def sessions(self) -> int:
        return await self.feature.count(self.auth.tables.session)

    async def waiting(self) -> int:
        return await self.feature.count(self.auth.tables.pending_login)


class Broken(Exception):
    pass


class Told:
    """Two listeners that keep what they are told: in the unit of work, and after its commit."""

    def __init__(self) -> None:
        self.inside: list[Event] = []
        self.after: list[Event] = []
        self.breaks = False
        self.feature = Extension(listeners=[(Event, self.tell), (Event, after_commit(self.tell_after))])

    async def tell(self, event: Event) -> None:
        self.inside.append(event)
        if self.breaks:
            raise Broken

    async def tell_after(self, event: Event) -> None:
        self.after.append(event)

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.inside]


async def is_nobody(browser: Client) -> bool:
    """In every view, guard, WebSocket and route of the API."""
    guarded = ("/guarded", "/starlettes-own", "/api/auth/sessions")
    answers = [(await browser.get(path)).status_code for path in guarded]
    answers.append((await browser.post(CHANGE, json={"old_password": PASSWORD, "new_password": "x"})).status_code)
    async with websocket(browser, "/socket") as socket:
        name = await socket.receive_text()
    with pytest.raises(WebSocketRefused):
        async with websocket(browser, "/guarded-socket"):
            raise AssertionError
    session = (await browser.get("/api/auth/session")).json()
    seen = (await browser.get("/who")).json(), name, session["user"], session["methods"], session["authenticated_at"]
    return answers == [401] * 4 and seen == (NOBODY, "", None, [], None)


class Header:
    """Knows whoever `header` names."""

    auth: Auth

    def __init__(self, header: str, *scopes: str, ambient: bool = False) -> None:
        self._header, self._scopes, self._ambient = header, frozenset(scopes), ambient
        self.asked = 0

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        self.asked += 1
        name = connection.headers.get(self._header)
        if name == "down":
            raise Unavailable("the directory does not answer")
        user = None if name is None else await self.auth.users.find(name)
        return None if user is None else Identity(user, self._header, self._scopes, self._ambient)


@dataclass
class Known:
    """An application with Ann and Bob that knows bearers and the users of a proxy."""

    bearer: Header
    proxy: Header
    auth: Auth


@asynccontextmanager
async def known_by_headers(url: str) -> AsyncIterator[Known]:
    bearer = Header("x-bearer", "posts:write", "drafts")
    proxy = Header("x-proxy-user", ambient=True)
    async with opened(url, "ann", "bob", features=[Extension(authenticators=[bearer, proxy])]) as auth:
        bearer.auth = proxy.auth = auth
        yield Known(bearer, proxy, auth)


BEARER, PROXY = {"x-bearer": "ann"}, {"x-proxy-user": "ann"}

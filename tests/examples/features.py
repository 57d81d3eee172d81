"""A site with the features of `examples/custom_feature`, whose time stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI
from starlette.authentication import requires as starlette_requires
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from asgiauth import Auth, User, login_required
from asgiauth.fastapi import CurrentUser, OptionalUser, Requires, auth_router
from asgiauth.guards import Guard, authenticated
from asgiauth.testing import Client, Clock, client
from examples.custom_feature.keys import MachineKeys
from examples.custom_feature.pin import Pin

from ..conftest import make_auth
from .conftest import PASSWORD

PIN = "24068931"


@dataclass
class Site:
    """Ann has a PIN, Bob has none."""

    auth: Auth
    pin: Pin
    keys: MachineKeys
    clock: Clock
    app: FastAPI
    ann: User = field(init=False)
    bob: User = field(init=False)

    def browser(self) -> Client:
        return client(self.app)

    async def rows(self, table: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.auth._database.fetch(table.select())
        return found


@asynccontextmanager
async def site(database: Any, **options: Any) -> AsyncIterator[Site]:
    pin, keys, clock = Pin(), MachineKeys(), Clock()
    auth = make_auth(database, features=[pin, keys], clock=clock, **options)
    opened = Site(auth, pin, keys, clock, application(auth))
    async with auth:
        await auth.create_tables()
        opened.ann = await auth.users.create("ann", password=PASSWORD)
        opened.bob = await auth.users.create("bob", password=PASSWORD)
        await pin.set(opened.ann, PIN)
        yield opened


async def log_in(browser: httpx2.AsyncClient, username: str, pin: str = "") -> httpx2.Response:
    """The answer to the last thing that was sent."""
    answer = await browser.post("/api/auth/login", json={"username": username, "password": PASSWORD})
    return await prove(browser, pin) if pin else answer


async def prove(browser: httpx2.AsyncClient, pin: str) -> httpx2.Response:
    return await browser.post("/api/auth/login/pin", json={"pin": pin})


GUARDED = ["/function", "/class", "/mount/inside", "/starlette", "/current", "/depends", "/api/auth/sessions"]
OPEN = ["/open", "/optional", "/page"]


def application(auth: Auth) -> FastAPI:
    """Everything that can ask who is there. The open ones say it; the guarded ones answer nobody."""
    template = auth.templates().environment.from_string("{{ user.username or 'nobody' }}")

    async def open_(request: Request) -> Response:
        return PlainTextResponse(request.user.username or "nobody")

    async def page(request: Request) -> Response:
        return PlainTextResponse(template.render(auth.context_processor(request)))

    class Endpoint(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return await open_(request)

    app = FastAPI(
        middleware=auth.middleware,
        exception_handlers=auth.exception_handlers,
        routes=[
            Route("/open", open_),
            Route("/page", page),
            Route("/function", login_required(open_)),
            Route("/class", login_required(Endpoint)),
            Mount("/mount", routes=[Route("/inside", open_)], middleware=[Guard(authenticated)]),
            Route("/starlette", starlette_requires("authenticated", status_code=401)(open_)),
        ],
    )

    @app.get("/current")
    async def current(user: CurrentUser) -> str:
        return user.username

    @app.get("/optional")
    async def optional(user: OptionalUser) -> str:
        return user.username if user else "nobody"

    @app.get("/depends")
    async def depends(guard: Annotated[None, Depends(Requires(authenticated))], user: OptionalUser) -> str:
        return user.username if user else "nobody"

    @app.get("/scopes")
    async def scopes(request: Request) -> list[str]:
        return list(request.auth.scopes)

    @app.post("/machine")
    async def machine(request: Request) -> str:
        """A login by another way than a password."""
        user = await request.auth.authenticate(machine_key=(await request.body()).decode())
        if user is not None:
            await request.auth.login(user)
        return str(request.user.username or "nobody")

    @app.websocket("/live")
    @login_required
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"user": websocket.user.username})
        await websocket.close()

    app.include_router(auth_router(auth), prefix="/api/auth")
    return app

"""A site with two features of its own: a PIN after the password, and keys for machines. Run it in the directory above
`examples`: uvicorn examples.custom_feature.app:app"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiauth import Auth, Permission, login_required, permission_required, public, requires
from asgiauth.guards import protect, recent_login

from .keys import MachineKeys
from .pin import Pin

DATABASE = os.environ.get("ASGIAUTH_DATABASE_URL") or f"sqlite:///{Path(tempfile.mkdtemp()) / 'features.db'}"

keys = MachineKeys()
auth = Auth(
    DATABASE,
    secret_keys=[secrets.token_urlsafe(48)],  # yours come from the environment, or every restart logs everybody out
    base_url="http://127.0.0.1:8000",
    permissions=[Permission("account.export_data", "Can take one's own data along")],
    features=[Pin(unlocks=["account.export_data"]), keys],
)


@public
async def home(request: Request) -> Response:
    return JSONResponse({"user": request.user.username or None})


@login_required
async def account(request: Request) -> Response:
    return JSONResponse(request.user.as_dict())


@permission_required("account.export_data")
async def export(request: Request) -> Response:
    """Whoever has a PIN may, and whom it is granted to."""
    return JSONResponse({"account": request.user.as_dict()}, headers={"Cache-Control": "no-store"})


@requires(recent_login(minutes=5))
async def create_key(request: Request) -> Response:
    """Never with a key alone, which has no login: one that has leaked must not make others."""
    return JSONResponse({"key": await keys.create(request.user)}, 201, {"Cache-Control": "no-store"})


@public
async def session_of_a_machine(request: Request) -> Response:
    """For a machine that needs a session, such as a screen in a lobby."""
    user = await request.auth.authenticate(machine_key=(await request.body()).decode("ascii", "replace"))
    if user is None:
        return JSONResponse({"user": None}, 401)
    await request.auth.login(user)
    return JSONResponse({"user": request.user.username or None})


@login_required
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"user": websocket.user.username})
    await websocket.close()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with auth.lifespan(app):
        await auth.create_tables()
        if await auth.users.find("demo") is None:
            password = secrets.token_urlsafe(12)
            await auth.users.create("demo", password=password)
            print(f"\n    POST /api/auth/login   user name: demo   password: {password}\n", flush=True)
        yield


app = protect(
    Starlette(
        routes=[
            Route("/", home),
            Route("/account", account),
            Route("/export", export),
            Route("/keys", create_key, methods=["POST"]),
            Route("/machine-session", session_of_a_machine, methods=["POST"]),
            WebSocketRoute("/live", live),
            Mount("/api/auth", routes=auth.json_routes),
        ],
        middleware=auth.middleware,
        exception_handlers=auth.exception_handlers,
        lifespan=lifespan,
    )
)

"""The same with FastAPI, as a JSON API. Run it: uvicorn --app-dir examples/hello fastapi_app:app"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.routing import Mount

from asgiauth import Auth, User, login_required

DATABASE = os.environ.get("ASGIAUTH_DATABASE_URL") or f"sqlite:///{Path(tempfile.mkdtemp()) / 'hello.db'}"

auth = Auth(DATABASE, secret_keys=[secrets.token_urlsafe(48)], base_url="http://127.0.0.1:8000")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with auth.lifespan(app):
        await auth.create_tables()
        if await auth.users.find("demo") is None:
            password = secrets.token_urlsafe(12)
            await auth.users.create("demo", password=password)
            print(f"\n    POST /api/auth/login   user name: demo   password: {password}\n", flush=True)
        yield


app = FastAPI(
    middleware=auth.middleware,
    exception_handlers=auth.exception_handlers,
    lifespan=lifespan,
    routes=[Mount("/api/auth", routes=auth.json_routes)],
)


@app.get("/")
async def home(request: Request) -> dict[str, Any]:
    return {"logged_in": request.user.is_authenticated}


@app.get("/me")
@login_required
async def me(request: Request) -> User:
    """The user's public fields: a password hash cannot get into a response."""
    user: User = request.user
    return user

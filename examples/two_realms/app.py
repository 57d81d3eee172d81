"""Customers and staff: two `Auth` in one process, who know nothing of each other. Run it in the directory above
`examples`: uvicorn examples.two_realms.app:app"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, String
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, SessionPolicy, User, UserModel, login_required
from asgiauth.guards import protect

DATABASE = os.environ.get("ASGIAUTH_DATABASE_URL") or f"sqlite:///{Path(tempfile.mkdtemp()) / 'realms.db'}"
SECRET_KEYS = [secrets.token_urlsafe(48)]  # one for both: what is derived from it differs by realm
BASE_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True, eq=False)
class Employee(User):
    department: str


customers = Auth(
    DATABASE,
    secret_keys=SECRET_KEYS,
    base_url=BASE_URL,
    realm="customers",
    user_model=UserModel(table="customer"),
)
staff = Auth(
    DATABASE,
    secret_keys=SECRET_KEYS,
    base_url=BASE_URL,
    realm="staff",
    user_model=UserModel(Employee, table="employee", columns=[Column("department", String(50), nullable=False)]),
    sessions=SessionPolicy(max_per_user=1),
)


@login_required
async def me(request: Request) -> Response:
    return JSONResponse(request.user.as_dict())


def site(auth: Auth[Any]) -> Starlette:
    return protect(
        Starlette(
            routes=[Route("/", me), Mount("/api/auth", routes=auth.json_routes)],
            middleware=auth.middleware,
            exception_handlers=auth.exception_handlers,
        )
    )


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Starlette runs the lifespan of the outermost application alone, so it has both."""
    async with customers.lifespan(app), staff.lifespan(app):
        await customers.create_tables()
        await staff.create_tables()
        if await customers.users.find("demo") is None:
            passwords = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
            await customers.users.create("demo", password=passwords[0])
            await staff.users.create("demo", password=passwords[1], department="Sales")
            print(f"\n    POST /shop/api/auth/login     user name: demo   password: {passwords[0]}")
            print(f"    POST /office/api/auth/login   user name: demo   password: {passwords[1]}\n", flush=True)
        yield


app = Starlette(routes=[Mount("/shop", site(customers)), Mount("/office", site(staff))], lifespan=lifespan)

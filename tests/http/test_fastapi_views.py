"""Functions that FastAPI calls keep their signature behind a guard, and no answer of theirs shows a password."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, Date
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, User, UserModel, login_required
from asgiauth.fastapi import auth_router
from asgiauth.guards import protect

from ..conftest import client, make_auth
from .guarding import PASSWORD, cookie_of, log_in, site


@pytest.fixture
async def auth(sqlite_auth: Auth) -> Auth:
    """Guards ask no database: one is enough."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    return sqlite_auth


class Body(BaseModel):
    title: str


async def numbers() -> AsyncIterator[list[int]]:
    yield [1, 2]


async def endpoint(
    request: Request, item: int, body: Body, numbers: Annotated[list[int], Depends(numbers)], q: str | None = None
) -> dict[str, Any]:
    return {"item": item, "title": body.title, "numbers": numbers, "q": q, "user": request.user.username}


def plain_endpoint(item: int, body: Body, req: Request, q: str = "x") -> dict[str, Any]:
    return {"item": item, "title": body.title, "q": q, "user": req.user.username}


async def test_fastapi_sees_the_signature_of_what_is_guarded(auth: Auth) -> None:
    """Path, query, body and dependencies as without the guard, and the same OpenAPI document."""
    schemas = []
    guards: list[Callable[[Any], Any]] = [login_required, lambda function: function]
    for guard in guards:
        app = FastAPI(middleware=auth.middleware)
        app.post("/endpoint/{item}")(guard(endpoint))
        app.post("/plain/{item}")(guard(plain_endpoint))
        schemas.append(app.openapi())
        if guard is login_required:
            guarded = app
    assert schemas[0] == schemas[1]
    assert "request" not in str(schemas[0]["paths"]["/endpoint/{item}"]["post"]["parameters"])
    async with client(guarded) as browser:
        anonymous = await browser.post("/endpoint/7?q=z", json={"title": "t"})
        assert anonymous.status_code == 401
        cookie = await cookie_of(auth)
        answer = await browser.post("/endpoint/7?q=z", json={"title": "t"}, headers=cookie)
        assert answer.json() == {"item": 7, "title": "t", "numbers": [1, 2], "q": "z", "user": "ann"}
        answer = await browser.post("/plain/7", json={"title": "t"}, headers=cookie)
        assert answer.json() == {"item": 7, "title": "t", "q": "x", "user": "ann"}
        assert (await browser.post("/plain/x", json={}, headers=cookie)).status_code == 422


async def test_a_body_called_request_beside_the_request_is_only_a_body(auth: Auth) -> None:
    """The annotation says which parameter is the connection, not the name alone."""

    async def create(request: Body, connection: Request) -> str:
        return f"{request.title} by {connection.user}"

    app = FastAPI(middleware=auth.middleware)
    app.post("/")(login_required(create))
    async with client(app) as browser:
        assert (await browser.post("/", json={"title": "t"})).status_code == 401
        cookie = await cookie_of(auth)
        assert (await browser.post("/", json={"title": "t"}, headers=cookie)).json() == "t by ann"


async def test_a_name_for_type_checkers_alone_hides_no_request(auth: Auth) -> None:
    """One annotation that cannot be resolved leaves the others as they are."""

    class Local: ...

    async def view(req: Request, extra: Local | None = None) -> Response:
        return PlainTextResponse(str(req.user))

    async with client(site(auth, Route("/", login_required(view)))) as browser:
        assert (await browser.get("/")).status_code == 401
        await log_in(browser)
        assert (await browser.get("/")).text == "ann"


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    birthday: date | None = None


class Wrapped(BaseModel):
    user: Member


async def returned(request: Request) -> Any:
    return request.user


async def annotated(request: Request) -> User:
    return request.user  # type: ignore[no-any-return]


async def annotated_as_own(request: Request) -> Member:
    return request.user  # type: ignore[no-any-return]


async def in_a_list(request: Request) -> list[User]:
    return [request.user]


async def in_a_dict(request: Request) -> dict[str, User]:
    return {"user": request.user}


async def in_a_model(request: Request) -> Wrapped:
    return Wrapped(user=request.user)


async def as_dict(request: Request) -> Response:
    return JSONResponse(request.user.as_dict())


async def deep(request: Request) -> Any:
    return {"a": [{"b": request.user}, (request.user,)], "session": request.auth.session}


async def outcome(request: Request) -> Any:
    return await request.auth.login(request.user)


WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (returned, {}),
    "annotated": (annotated, {}),
    "annotated as own": (annotated_as_own, {}),
    "model": (returned, {"response_model": User}),
    "own model": (returned, {"response_model": Member}),
    "list model": (in_a_list, {"response_model": list[User]}),
    "no model": (annotated, {"response_model": None}),
    "unset left out": (returned, {"response_model": Member, "response_model_exclude_unset": True}),
    "list": (in_a_list, {}),
    "dict": (in_a_dict, {}),
    "pydantic": (in_a_model, {}),
    "as_dict": (as_dict, {}),
    "deep": (deep, {}),
    "outcome": (outcome, {}),
}


ONLY_FOR_MEMBERS = {"annotated as own", "own model", "unset left out", "pydantic"}


@pytest.mark.parametrize("kind", [User, Member])
async def test_no_way_to_return_a_user_from_fastapi_shows_the_hash(sqlite_url: str, kind: type[User]) -> None:
    """DESIGN 4."""
    ways = {way: view for way, view in WAYS.items() if kind is Member or way not in ONLY_FOR_MEMBERS}
    auth = make_auth(
        sqlite_url, user_model=UserModel(kind, columns=[Column("birthday", Date)] if kind is Member else ())
    )
    app = FastAPI(middleware=auth.middleware, routes=[Mount("/api/auth", routes=auth.json_routes)])
    for way, (view, options) in ways.items():
        app.get(f"/{way}", **options)(view)
    async with auth, client(app) as browser:
        await auth.create_tables()
        user = await auth.users.create("ann", password=PASSWORD)
        assert user.password.startswith("argon2$")
        await log_in(browser)
        (token,) = browser.cookies.values()
        for way in ways:
            answer = await browser.get(f"/{way}")
            assert (answer.status_code, "ann" in answer.text) == (200, True), way
            for secret in ("argon2", 'password":', "_password", user.password, token):
                assert secret not in answer.text, way
    assert "password" not in str(app.openapi())


@pytest.mark.parametrize("root_path", ["", "/api/v1"])
async def test_A11_1_the_pages_of_auth_router_link_to_each_other(sqlite_auth: Auth, root_path: str) -> None:
    """Below the prefix of `include_router`, which is no Mount, and below one that a proxy has stripped."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    app = FastAPI(middleware=sqlite_auth.middleware)
    app.include_router(auth_router(sqlite_auth, html=True), prefix="/pages")

    async def behind_a_proxy(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    base = f"{root_path}/pages"

    def links(answer: Any) -> set[str]:
        found = set(re.findall(r'(?:action|href)="([^"?]+)', answer.text)) - {f"{root_path}/", "/"}
        return {link.removesuffix("/") for link in found}

    browser = client(behind_a_proxy)
    assert links(await browser.get("/pages/login")) == {f"{base}/login"}
    form = {"username": "ann", "password": "wrong"}
    assert f"{base}/login" in links(await browser.post("/pages/login", data=form))
    await browser.post("/pages/login", data={**form, "password": PASSWORD})
    assert {link for link in links(await browser.get("/pages/sessions")) if not link.startswith(base)} == set()
    passwords = {"old_password": PASSWORD, "new_password": "seven pears on a wall"}
    changed = await browser.post("/pages/password_change", data=passwords)
    assert changed.headers["location"] == f"{base}/password_change/done"


async def test_auth_router_serves_the_pages_or_the_json_api(sqlite_auth: Auth) -> None:
    """Both under Django's and our names, open and closed as `protect` finds them."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    app = FastAPI(middleware=sqlite_auth.middleware, exception_handlers=sqlite_auth.exception_handlers)
    app.include_router(auth_router(sqlite_auth, html=True), prefix="/auth")
    app.include_router(auth_router(sqlite_auth), prefix="/api/auth")
    async with client(protect(app)) as browser:
        assert "<form" in (await browser.get("/auth/login")).text
        assert (await browser.get("/auth/sessions")).status_code == 401
        form = {"username": "ann", "password": PASSWORD}
        assert (await browser.post("/auth/login?next=/auth/sessions", data=form)).headers[
            "location"
        ] == "/auth/sessions"
        assert "This device" in (await browser.get("/auth/sessions")).text
        assert (await browser.get("/api/auth/session")).json()["user"]["username"] == "ann"
        assert app.url_path_for("login") == "/auth/login"
        assert app.url_path_for("asgiauth_json_login") == "/api/auth/login"

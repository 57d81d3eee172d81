"""The guards as FastAPI dependencies, and what the OpenAPI document says of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, assert_type

import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import Column, Date
from starlette.websockets import WebSocket

from asgiauth import Auth, User, UserModel
from asgiauth.exceptions import ConfigurationError, MissingDependency
from asgiauth.fastapi import RESPONSES, CurrentUser, OptionalUser, Requires
from asgiauth.guards import recent_login, staff, superuser

from ..conftest import client, make_auth
from .guarding import PAGE, PASSWORD, cookie_of, offline, people, websocket


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    birthday: date | None = None


async def me(user: CurrentUser) -> str:
    assert_type(user, User)
    return user.username


def plain_me(user: CurrentUser) -> str:
    return user.username


async def who(user: OptionalUser) -> str:
    assert_type(user, User | None)
    return user.username if user else "nobody"


async def birthday(user: CurrentUser[Member], other: OptionalUser[Member]) -> date | None:
    assert_type(user, Member)
    assert_type(other, Member | None)
    return user.birthday


async def nothing() -> str:
    return "in"


def application(auth: Auth, **options: Any) -> FastAPI:
    """Guards on an operation, a router and as parameters."""
    app = FastAPI(middleware=auth.middleware, **options)
    app.get("/me")(me)
    app.get("/plain")(plain_me)
    app.get("/who")(who)
    app.get("/open")(nothing)
    app.post("/staff", dependencies=[Depends(Requires(staff))])(nothing)
    router = APIRouter(dependencies=[Depends(Requires(staff | superuser))])
    router.get("/router")(nothing)
    app.include_router(router)
    return app


async def test_C5_each_guard_as_a_dependency(sqlite_auth: Auth) -> None:
    visitors = await people(sqlite_auth)
    expected = {
        "anonymous": {"/me": 401, "/plain": 401, "/who": 200, "/open": 200, "/staff": 401, "/router": 401},
        "user": {"/me": 200, "/plain": 200, "/who": 200, "/open": 200, "/staff": 403, "/router": 403},
        "staff": {"/me": 200, "/plain": 200, "/who": 200, "/open": 200, "/staff": 200, "/router": 200},
        "superuser": {"/me": 200, "/plain": 200, "/who": 200, "/open": 200, "/staff": 403, "/router": 200},
    }
    app = application(sqlite_auth, exception_handlers=sqlite_auth.exception_handlers)
    async with client(app) as browser:
        for visitor, answers in expected.items():
            for path, status in answers.items():
                method = "POST" if path == "/staff" else "GET"
                answer = await browser.request(method, path, headers=visitors[visitor])
                assert answer.status_code == status, (visitor, path)
                if status in (401, 403):
                    code = {401: "not_authenticated", 403: "permission_denied"}[status]
                    assert answer.json()["detail"]["code"] == code
        assert (await browser.get("/who")).json() == "nobody"
        assert (await browser.get("/who", headers=visitors["user"])).json() == "ann"
        page = await browser.get("/me?a=1", headers=PAGE)
        assert (page.status_code, page.headers["location"]) == (303, "/auth/login?next=/me%3Fa%3D1")


async def test_an_own_model_is_what_the_parameter_holds(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, user_model=UserModel(Member, columns=[Column("birthday", Date)]))
    app = FastAPI(middleware=auth.middleware)
    app.get("/")(birthday)
    async with auth, client(app) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD, birthday=date(2000, 2, 29))
        assert (await browser.get("/")).status_code == 401
        assert (await browser.get("/", headers=await cookie_of(auth))).json() == "2000-02-29"


async def test_B9_5_a_websocket_is_closed_before_it_is_accepted(sqlite_auth: Auth) -> None:
    visitors = await people(sqlite_auth)
    app = FastAPI(middleware=sqlite_auth.middleware)

    @app.websocket("/user")
    async def user(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()

    @app.websocket("/staff", dependencies=[Depends(Requires(staff))])
    async def for_staff(websocket: WebSocket, user: OptionalUser) -> None:
        await websocket.accept()

    for visitor, accepted in (("anonymous", []), ("user", ["/user"]), ("staff", ["/user", "/staff"])):
        for path in ("/user", "/staff"):
            (first, *_) = await websocket(app, path, visitors[visitor])
            if path in accepted:
                assert first["type"] == "websocket.accept"
            else:
                assert (first["type"], first["code"]) == ("websocket.close", 1008)


ENDED: list[str] = []


async def resource() -> AsyncIterator[str]:
    try:
        yield "open"
    finally:
        ENDED.append("closed")


async def never_reached(resource: Annotated[str, Depends(resource)], user: CurrentUser) -> str:
    raise AssertionError


async def test_a_refusal_closes_what_the_dependencies_before_it_have_opened() -> None:
    ENDED.clear()
    app = FastAPI(middleware=offline().middleware)
    app.get("/")(never_reached)
    async with client(app) as browser:
        assert (await browser.get("/")).status_code == 401
    assert ENDED == ["closed"]


def test_B9_4_guarded_operations_name_the_schemes_as_alternatives() -> None:
    document = application(offline()).openapi()
    schemes = document["components"]["securitySchemes"]
    assert schemes["asgiauth_session"]["type"] == "apiKey"
    assert (schemes["asgiauth_session"]["in"], schemes["asgiauth_session"]["name"]) == ("cookie", "__Host-asgiauth")
    assert (schemes["asgiauth_bearer"]["type"], schemes["asgiauth_bearer"]["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            alternatives = operation.get("security", [])
            guarded = path not in ("/who", "/open")
            names = [list(alternative) for alternative in alternatives]
            assert names == ([["asgiauth_session"], ["asgiauth_bearer"]] if guarded else []), path
            assert "parameters" not in operation
            assert set(operation["responses"]) == {"200"}


def test_the_answers_are_documented_where_they_are_asked_for() -> None:
    document = application(offline(), responses=RESPONSES).openapi()
    responses = document["paths"]["/me"]["get"]["responses"]
    assert set(responses) == {"200", "401", "403", "503"}
    for status in ("401", "403", "503"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert {"WWW-Authenticate"} == set(responses["401"]["headers"])
    detail = document["components"]["schemas"]["ErrorDetail"]
    assert {"permission_denied", "recent_login_required", "unavailable"} <= set(detail["properties"]["code"]["enum"])
    assert set(detail["required"]) == {"code", "message"}


async def test_without_the_middleware_a_dependency_names_the_cure() -> None:
    app = FastAPI()
    app.get("/me")(me)
    app.get("/who")(who)
    app.get("/recent", dependencies=[Depends(Requires(recent_login(hours=1)))])(nothing)
    async with client(app) as browser:
        for path in ("/me", "/who", "/recent"):
            with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
                await browser.get(path)


def test_what_is_no_predicate_is_refused() -> None:
    for wrong in ((), ("staff",), (lambda user: True,)):
        with pytest.raises(ConfigurationError, match="predicate"):
            Requires(*wrong)


def test_without_fastapi_the_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asgiauth.fastapi")
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[fastapi\]"'):
        importlib.import_module("asgiauth.fastapi")

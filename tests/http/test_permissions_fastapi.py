"""`Depends(Requires(perm(...)))`, and what the OpenAPI document says of it."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from starlette.websockets import WebSocket

from asgiauth import Auth
from asgiauth.cli.describe import describe
from asgiauth.fastapi import RESPONSES, Requires, auth_router
from asgiauth.guards import group, perm, staff

from ..conftest import client
from .guarding import offline, people, websocket
from .permitting import ADD, CHANGE, Post, grant, load_post, opened

MAY_ADD = Requires(perm(ADD))
MAY_CHANGE = Requires(staff | perm(CHANGE, obj=load_post))


async def nothing() -> str:
    return "in"


def application(auth: Auth) -> FastAPI:
    app = FastAPI(middleware=auth.middleware, exception_handlers=auth.exception_handlers)
    app.post("/posts", dependencies=[Depends(MAY_ADD)], responses=MAY_ADD.responses)(nothing)
    app.put("/posts/{id}", dependencies=[Depends(MAY_CHANGE)], responses=MAY_CHANGE.responses)(nothing)
    app.get("/plain", dependencies=[Depends(Requires(perm(ADD) & ~group("banned")))])(nothing)
    app.include_router(auth_router(auth), prefix="/auth")

    @app.websocket("/ws/{id}", dependencies=[Depends(MAY_CHANGE)])
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    return app


async def test_B9_4_a_permission_is_a_dependency(sqlite_url: str) -> None:
    async with opened(sqlite_url) as auth:
        visitors = await people(auth)
        await grant(auth, ADD)
        await grant(auth, CHANGE, Post(1))
        expected = {
            "anonymous": [401, 401, 401, 401, 401],
            "user": [200, 200, 200, 403, 404],
            "staff": [403, 403, 200, 200, 404],
            "superuser": [200, 200, 200, 200, 404],
        }
        asked = [("POST", "/posts"), ("GET", "/plain"), ("PUT", "/posts/1"), ("PUT", "/posts/2"), ("PUT", "/posts/999")]
        codes = {401: "not_authenticated", 403: "permission_denied", 404: "not_found"}
        app = application(auth)
        async with client(app) as browser:
            for kind, statuses in expected.items():
                for (method, path), status in zip(asked, statuses, strict=True):
                    answer = await browser.request(method, path, headers=visitors[kind])
                    assert answer.status_code == status, (kind, path)
                    if status != 200:
                        assert answer.json()["detail"]["code"] == codes[status]
                first = (await websocket(app, "/ws/1", visitors[kind]))[0]
                assert first["type"] == ("websocket.close" if kind == "anonymous" else "websocket.accept")
            answer = await browser.get("/auth/session?include=permissions", headers=visitors["user"])
            assert answer.json()["permissions"] == [ADD]
            assert (await browser.get("/auth/session?include=x")).status_code == 422


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = application(offline()).openapi()["paths"][path][method]
    return found


def test_B9_4_the_document_names_the_permission_and_each_answer() -> None:
    add, change = operation("/posts", "post"), operation("/posts/{id}", "put")
    assert set(add["responses"]) == {"200", "401", "403", "503"}
    assert add["responses"]["403"]["description"] == (
        "The user may not do this, or has to log in again for it. Asked for: `perm('blog.add_post')`."
    )
    assert "perm('blog.add_post')" in add["responses"]["401"]["description"]
    assert "WWW-Authenticate" in add["responses"]["401"]["headers"]
    assert add["responses"]["503"]["description"] == RESPONSES[503]["description"]
    assert [list(alternative) for alternative in add["security"]] == [["asgiauth_session"], ["asgiauth_bearer"]]
    assert set(change["responses"]) == {"200", "401", "403", "404", "503"}
    assert change["responses"]["404"]["description"] == (
        "There is no such object. Who is not logged in gets 401 instead. "
        "Asked for: `(staff | perm('blog.change_post', obj=load_post))`."
    )
    for status in ("401", "403", "404", "503"):
        schema = change["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}


def test_only_a_guard_that_looks_for_an_object_documents_404() -> None:
    on_post = perm(CHANGE, obj=load_post)
    for predicate in (on_post, ~on_post, staff & on_post, on_post & staff, staff | on_post, on_post | staff):
        assert set(Requires(predicate).responses) == {401, 403, 404, 503}
    for predicate in (staff, perm(ADD), ~perm(ADD), group("editors") & perm(ADD), staff | perm(ADD)):
        assert set(Requires(predicate).responses) == {401, 403, 503}
    assert set(Requires(staff, on_post).responses) == {401, 403, 404, 503}
    assert set(RESPONSES) == {401, 403, 503}, "what all share is as it was"


def test_the_document_says_what_session_may_include() -> None:
    session = operation("/auth/session", "get")
    (parameter,) = session["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("include", "query", False)
    assert parameter["schema"]["items"]["enum"] == ["permissions"]
    assert set(session["responses"]) == {"200", "422", "503"}
    shown = session["responses"]["200"]["content"]["application/json"]["schema"]
    assert "permissions" in shown["properties"]
    assert "permissions" not in shown["required"]


def test_asgiauth_routes_shows_the_permission_of_a_dependency() -> None:
    found = {(info.path, info.methods): info.guards for info in describe(application(offline()))}
    assert found["/posts", ("POST",)] == ("perm('blog.add_post')",)
    assert found["/posts/{id}", ("PUT",)] == ("(staff | perm('blog.change_post', obj=load_post))",)
    assert found["/plain", ("GET",)] == ("perm('blog.add_post') & ~group('banned')",)

"""`requires`: predicates, who gets which answer, and what can be decorated."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from asgiauth import Auth, guards, login_required
from asgiauth.exceptions import ConfigurationError
from asgiauth.guards import Guard, Predicate, authenticated, recent_login, requires, staff, superuser

from ..conftest import client, make_auth
from .guarding import PAGE, offline, people, site, websocket

Headers = dict[str, dict[str, str]]


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


@pytest.fixture
async def who(sqlite_auth: Auth) -> Headers:
    return await people(sqlite_auth)


def is_ann(user: Any) -> bool:
    return bool(user.username == "ann")


async def is_sue(user: Any) -> bool:
    return bool(user.username == "sue")


def runs_in_a_thread(user: Any) -> bool:
    return threading.current_thread() is not threading.main_thread()


PREDICATES: list[tuple[Predicate, str]] = [
    (authenticated, "user staff superuser"),
    (staff, "staff"),
    (superuser, "superuser"),
    (~authenticated, "anonymous"),
    (staff | superuser, "staff superuser"),
    (staff & superuser, ""),
    (authenticated & ~staff, "user superuser"),
    (~(staff | superuser), "anonymous user"),
    (~~staff, "staff"),
    (guards.test(is_ann) | guards.test(is_sue), "user staff"),
    (guards.test(is_sue), "staff"),
    (guards.test(functools.partial(is_sue)), "staff"),
    (guards.test(lambda user: is_sue(user) if user else False), "staff"),
    (guards.test(runs_in_a_thread), "anonymous user staff superuser"),
    (guards.test(lambda user: not user.is_authenticated), "anonymous"),
    (recent_login(minutes=5), "user staff superuser"),
    (recent_login(minutes=5) & staff, "staff"),
    (recent_login(seconds=5) | staff, "user staff superuser"),
]


@pytest.mark.parametrize(("predicate", "allowed"), PREDICATES, ids=repr)
async def test_C5_predicates_compose(sqlite_auth: Auth, who: Headers, predicate: Predicate, allowed: str) -> None:
    """C5: 401 or the login page for the anonymous, 403 for others, by one engine: function, class, mount, WebSocket."""

    @requires(predicate)
    async def view(request: Request) -> Response:
        assert await predicate.holds(request)
        return PlainTextResponse("in")

    @requires(predicate)
    class Page(HTTPEndpoint):
        def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    @requires(predicate)
    class Socket(WebSocketEndpoint):
        pass

    app = site(
        sqlite_auth,
        Route("/view", view),
        Route("/class", Page),
        Mount("/mount", routes=[Route("/", hello), WebSocketRoute("/ws", Socket)], middleware=[Guard(predicate)]),
        WebSocketRoute("/ws", Socket),
        exception_handlers=sqlite_auth.exception_handlers,
    )
    for kind, headers in who.items():
        expected = 200 if kind in allowed.split() else 401 if kind == "anonymous" else 403
        async with client(app) as browser:
            for path in ("/view", "/class", "/mount/"):
                answer = await browser.get(path, headers=headers)
                assert answer.status_code == expected, (kind, path)
                if expected == 403:
                    message = {"code": "permission_denied", "message": "You may not do this."}
                    assert answer.json() == {"detail": message}
                    assert "location" not in answer.headers
                page = await browser.get(path, headers={**headers, **PAGE})
                assert page.status_code == (303 if expected == 401 else expected)
        for path in ("/ws", "/mount/ws"):
            first = (await websocket(app, path, headers))[0]
            if expected == 200:
                assert first["type"] == "websocket.accept"
            else:
                assert (first["type"], first["code"]) == ("websocket.close", 1008)


async def test_C5_several_predicates_are_all_needed_and_guards_stack(sqlite_auth: Auth, who: Headers) -> None:
    @login_required
    @requires(staff)
    @requires(guards.test(is_sue), guards.test(runs_in_a_thread))
    def view(request: Request) -> Response:
        return PlainTextResponse("in")

    async with client(site(sqlite_auth, Route("/", view))) as browser:
        answers = {kind: (await browser.get("/", headers=headers)).status_code for kind, headers in who.items()}
    assert answers == {"anonymous": 401, "user": 403, "staff": 200, "superuser": 403}


async def test_C5_a_part_is_only_asked_when_the_parts_before_it_leave_it_open() -> None:
    """As with Python's `and` and `or`: the second may rely on the first."""

    def never(user: Any) -> bool:
        raise AssertionError

    routes = [
        Route("/and", requires(authenticated & guards.test(never))(hello)),
        Route("/recent", requires(recent_login(hours=1) & guards.test(never))(hello)),
        Route("/or", requires(~authenticated | guards.test(never))(hello)),
    ]
    async with client(site(offline(), *routes)) as browser:
        statuses = [(await browser.get(path)).status_code for path in ("/and", "/recent", "/or")]
    assert statuses == [401, 401, 200]


NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_B9_7_a_login_too_long_ago_has_a_code_of_its_own(sqlite_url: str) -> None:
    """By the clock of the `Auth`; only where logging in again would help."""
    now = [NOW]
    auth = make_auth(sqlite_url, clock=lambda: now[0])
    recent = recent_login(minutes=4, seconds=60)
    guarded = {
        "/recent": recent,
        "/staff-and-recent": staff & recent,
        "/recent-and-staff": recent & staff,
        "/recent-and-user": recent & authenticated,
        "/recent-or-staff": recent | staff,
        "/staff-or-recent": staff | recent,
        "/not-recent": ~recent,
    }
    routes = [Route(path, requires(predicate)(hello)) for path, predicate in guarded.items()]
    app = site(auth, *routes, exception_handlers=auth.exception_handlers)
    async with auth, client(app) as browser:
        await auth.create_tables()
        who = await people(auth)

        async def codes(kind: str) -> list[Any]:
            answers = [await browser.get(path, headers=who[kind]) for path in guarded]
            return [answer.status_code if answer.is_success else answer.json()["detail"]["code"] for answer in answers]

        yes, no, again = 200, "permission_denied", "recent_login_required"
        now[0] += timedelta(minutes=5) - timedelta(microseconds=1)
        assert await codes("user") == [yes, no, no, yes, yes, yes, no]
        assert await codes("staff") == [yes, yes, yes, yes, yes, yes, no]
        now[0] += timedelta(microseconds=1)
        assert await codes("user") == [again, no, no, again, again, again, yes]
        assert await codes("staff") == [again, again, again, again, yes, yes, yes]
        assert set(await codes("anonymous")) == {"not_authenticated", yes}


@pytest.mark.parametrize("span", [{}, {"minutes": 0}, {"seconds": -1}, {"hours": 1, "minutes": -60}])
def test_recent_login_needs_a_span_of_time(span: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="minutes=5"):
        recent_login(**span)


@pytest.mark.parametrize("wrong", ["a string", ["authenticated"], is_ann, None, True, 1, staff.holds, Predicate])
def test_C5_what_is_no_predicate_is_refused_when_it_decorates(wrong: Any) -> None:
    for build in (requires, Guard, lambda predicate: staff & predicate, lambda predicate: staff | predicate):
        with pytest.raises(ConfigurationError, match=r"recent_login\(minutes=5\)"):
            build(wrong)


def test_no_predicate_at_all_is_refused() -> None:
    for build in (requires, Guard):
        with pytest.raises(ConfigurationError, match="needs a predicate"):
            build()


def test_and_or_not_would_lose_a_part_and_are_refused() -> None:
    """`staff and superuser` is `superuser` to Python."""
    lossy: list[Callable[[], Any]] = [
        lambda: staff and superuser,  # type: ignore[unreachable]
        lambda: staff or superuser,  # type: ignore[unreachable]
        lambda: not staff,
    ]
    for join in lossy:
        with pytest.raises(ConfigurationError, match=re.escape("&, | and ~")):
            join()


def test_a_predicate_says_what_it_asks() -> None:
    assert repr(staff & (~superuser | recent_login(minutes=5))) == "staff & (~superuser | recent_login(0:05:00))"
    assert repr(guards.test(is_ann)) == "test(is_ann)"


# What is decorated


def test_A10_what_cannot_be_guarded_is_refused_with_the_cure() -> None:
    """ASGI applications and their classes are guarded where they are mounted."""

    class Plain:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    refused: list[tuple[Any, str]] = [
        (StaticFiles, "Guard"),
        (StaticFiles(directory="."), "Guard.*public"),
        (Plain, "Guard"),
        (Plain(), "Guard.*public"),
        (Router(), "Guard.*public"),
        (Route("/", hello), "Guard.*public"),
        (staticmethod(hello), "put @staticmethod above"),
        (classmethod(hello), "put @classmethod above"),  # type: ignore[arg-type]
        (lambda: None, r"request: Request.*Depends\(Requires"),
    ]
    for thing, cure in refused:
        for guard in (requires(staff), login_required):
            with pytest.raises(ConfigurationError, match=cure):
                guard(thing)


async def test_C18_a_subclass_of_a_guarded_class_is_guarded_whatever_it_overrides(
    sqlite_auth: Auth, who: Headers
) -> None:
    @requires(staff)
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("page")

    class Child(Page):
        async def post(self, request: Request) -> Response:
            return PlainTextResponse("child")

    class OwnDispatch(Page):
        async def dispatch(self) -> None:
            await PlainTextResponse("own")(self.scope, self.receive, self.send)

    @requires(guards.test(is_ann))
    class Narrower(Page):
        pass

    app = site(sqlite_auth, *(Route(f"/{cls.__name__}", cls) for cls in (Page, Child, OwnDispatch, Narrower)))
    async with client(app) as browser:
        for kind, headers in who.items():
            denied = 401 if kind == "anonymous" else 403
            for path in ("/Page", "/Child", "/OwnDispatch", "/Narrower"):
                expected = 200 if kind == "staff" and path != "/Narrower" else denied
                assert (await browser.get(path, headers=headers)).status_code == expected, (kind, path)
        assert (await browser.get("/OwnDispatch", headers=who["staff"])).text == "own"
        assert (await browser.post("/Child", headers=who["staff"])).text == "child"
        assert (await browser.post("/Child")).status_code == 401
        wrong = await browser.delete("/Child")
        assert (wrong.status_code, "POST" in wrong.headers["allow"]) == (405, True)
        assert (await browser.delete("/OwnDispatch")).status_code == 401


async def test_B9_5_nothing_of_a_refused_websocket_runs(sqlite_auth: Auth, who: Headers) -> None:
    ran: list[str] = []

    class Socket(WebSocketEndpoint):
        @requires(staff)
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()

        async def on_receive(self, websocket: WebSocket, data: Any) -> None:
            ran.append("on_receive")

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            ran.append("on_disconnect")

    app = site(sqlite_auth, WebSocketRoute("/ws", Socket))
    for kind in ("anonymous", "user"):
        (closed,) = await websocket(app, "/ws", who[kind])
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert ran == []
    await websocket(app, "/ws", who["staff"])
    assert ran == ["on_disconnect"]


# Guard


async def test_C5_a_guard_stands_before_a_route_a_router_or_a_whole_application(
    sqlite_auth: Auth, who: Headers
) -> None:
    """Outside of the exception handlers it answers by itself, also in an application that is mounted in another."""
    auth = sqlite_auth
    inner = Starlette(routes=[Route("/", hello)], middleware=[Guard(staff)])
    app = site(
        auth,
        Route("/route", hello, middleware=[Guard(staff)]),
        Mount("/router", Router([Route("/", hello)], middleware=[Guard(staff)])),
        Mount("/asgi", PlainTextResponse("asgi"), middleware=[Guard(staff)]),
        Mount("/app", inner),
    )
    whole = Starlette(
        routes=[Route("/", hello), WebSocketRoute("/ws", WebSocketEndpoint)],
        middleware=[*auth.middleware, Guard(staff)],
        lifespan=auth.lifespan,
    )
    assert isinstance(Guard(staff), Middleware)
    for kind, headers in who.items():
        expected = {"anonymous": 401, "staff": 200}.get(kind, 403)
        async with client(app) as browser:
            for path in ("/route", "/router/", "/asgi/", "/app/"):
                answer = await browser.get(path, headers=headers)
                assert answer.status_code == expected, (kind, path)
                assert "cookie" in answer.headers["vary"].lower()
        async with client(whole) as browser:
            answer = await browser.get("/nowhere", headers=headers)
            assert answer.status_code == (404 if expected == 200 else expected)
            if expected != 200:
                code = {401: "not_authenticated", 403: "permission_denied"}[expected]
                assert answer.json()["detail"]["code"] == code
            if expected == 401:
                answer = await browser.get("/", headers=PAGE)
                assert (answer.status_code, answer.headers["location"]) == (303, "/auth/login?next=/")
        first = (await websocket(whole, "/ws", headers))[0]
        assert first["type"] == ("websocket.accept" if expected == 200 else "websocket.close")
        assert first.get("code", 1008) == 1008
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup" if not sent else "lifespan.shutdown"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await whole({"type": "lifespan", "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_applications_own_handler_answers_a_guard_on_a_mount() -> None:
    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"mine": error.status_code}, error.status_code)

    mount = Mount("/", routes=[Route("/", hello)], middleware=[Guard(staff)])
    async with client(site(offline(), mount, exception_handlers={HTTPException: handler})) as browser:
        assert json.loads((await browser.get("/")).text) == {"mine": 401}


async def test_without_the_middleware_every_kind_of_guard_names_the_cure() -> None:
    """DESIGN 9: a test function of one's own is not even asked."""
    everybody = guards.test(lambda user: True)
    routes = [
        Route("/view", requires(everybody)(hello)),
        Route("/guard", hello, middleware=[Guard(everybody)]),
        Route("/recent", requires(recent_login(hours=1))(hello)),
        Route("/not", requires(~staff)(hello)),
    ]
    async with client(Starlette(routes=routes)) as browser:
        for route in routes:
            with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
                await browser.get(route.path)
    early = Starlette(routes=[Route("/", hello)], middleware=[Guard(staff), *offline().middleware])
    async with client(early) as browser:
        with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
            await browser.get("/")

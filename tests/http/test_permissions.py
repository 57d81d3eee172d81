"""Permissions in a request: `request.auth.has_perm`, the guards `perm` and `group`, and who gets which answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from asgiauth import Auth, login_required, permission_required
from asgiauth.backends import AllowAllUsersPasswordBackend
from asgiauth.cli.describe import describe
from asgiauth.db import Unit
from asgiauth.exceptions import ConfigurationError
from asgiauth.guards import Guard, Predicate, authenticated, group, perm, recent_login, requires, staff, superuser
from asgiauth.guards import permission_required as the_same
from asgiauth.guards import test as asking
from asgiauth.testing import Clock

from ..conftest import client
from ..login.helpers import BEARER, Broken, Extension, Header
from .guarding import PAGE, PASSWORD, cookie_of, log_in, offline, people, site, websocket
from .permitting import ADD, CHANGE, READ, Post, grant, hello, join, load_post, named, opened, revoke

Headers = dict[str, dict[str, str]]


@pytest.fixture
async def auth(sqlite_url: str) -> AsyncIterator[Auth]:
    """A blog, on SQLite alone: what the database grants is tested on each server, elsewhere."""
    async with opened(sqlite_url) as auth:
        yield auth


@pytest.fixture
async def who(auth: Auth) -> Headers:
    """Ann, the user, may add posts and change the first one; Sue, of the staff, is an editor."""
    visitors = await people(auth)
    await grant(auth, ADD)
    await grant(auth, CHANGE, Post(1))
    await auth.groups.create("editors", [CHANGE])
    await join(auth, "editors", "sue")
    return visitors


class Granting:
    """A source of permissions that grants to everybody, the anonymous too."""

    def __init__(self, *perms: str) -> None:
        self.perms = frozenset(perms)
        self.asked: list[str] = []

    async def granted(self, user: Any) -> Collection[str]:
        self.asked.append(user.username)
        return self.perms


# request.auth


async def answers(request: Request) -> Response:
    has_perm, has_perms = request.auth.has_perm, request.auth.has_perms
    return JSONResponse(
        {
            "add": await has_perm(ADD),
            "change": await has_perm(CHANGE),
            "change 1": await has_perm(CHANGE, Post(1)),
            "change 2": await has_perm(CHANGE, Post(2)),
            "both": await has_perms([ADD, CHANGE]),
            "both on 1": await has_perms((name for name in (ADD, CHANGE)), Post(1)),
            "none": await has_perms([]),
        }
    )


async def test_A5_1_has_perm_answers_for_the_user_of_the_request(auth: Auth, who: Headers) -> None:
    expected = {
        "anonymous": ["none"],
        "user": ["add", "change 1", "both on 1", "none"],
        "staff": ["change", "change 1", "change 2", "none"],
        "superuser": ["add", "change", "change 1", "change 2", "both", "both on 1", "none"],
    }
    async with client(site(auth, Route("/", answers))) as browser:
        for kind, headers in who.items():
            said = (await browser.get("/", headers=headers)).json()
            assert [name for name, yes in said.items() if yes] == expected[kind], kind


@pytest.mark.parametrize("wrong", [ADD, "", None, 42, object], ids=repr)
async def test_A5_2_has_perms_refuses_what_is_no_iterable_of_names(auth: Auth, who: Headers, wrong: Any) -> None:
    async def view(request: Request) -> Response:
        with pytest.raises(ValueError, match=r"^perm_list must be an iterable of permissions\.$"):
            await request.auth.has_perms(wrong)
        return PlainTextResponse("refused")

    async with client(site(auth, Route("/", view))) as browser:
        for headers in who.values():
            assert (await browser.get("/", headers=headers)).text == "refused"


async def test_A5_7_an_object_of_another_kind_is_an_error_also_for_a_superuser(auth: Auth, who: Headers) -> None:
    async def view(request: Request) -> Response:
        with pytest.raises(TypeError, match=re.escape("is about blog.post")):
            await request.auth.has_perm(CHANGE, object())
        return PlainTextResponse("refused")

    async with client(site(auth, Route("/", view))) as browser:
        for headers in who.values():
            assert (await browser.get("/", headers=headers)).text == "refused"


async def test_A5_6_who_is_not_active_may_nothing(sqlite_url: str) -> None:
    """Neither a deactivated superuser, whose session is over, nor one whom a backend lets in all the same."""
    async with opened(sqlite_url, backends=[AllowAllUsersPasswordBackend()]) as auth:
        await auth.groups.create("editors", [CHANGE])
        await auth.users.create("root", password=PASSWORD, is_superuser=True)
        await grant(auth, ADD, to="root")
        await join(auth, "editors", "root")
        routes = [Route("/", answers), Route("/guarded", requires(perm(ADD) | group("editors"))(hello))]
        async with client(site(auth, *routes)) as browser:
            await log_in(browser, "root")
            assert all((await browser.get("/")).json().values())
            assert (await browser.get("/guarded")).text == "hello"
            await auth.users.update(await named(auth, "root"), is_active=False)
            assert (await browser.get("/guarded")).status_code == 401
            await log_in(browser, "root")
            said = (await browser.get("/")).json()
            assert [name for name, yes in said.items() if yes] == ["none"]
            assert (await browser.get("/guarded")).status_code == 403


async def test_what_is_taken_away_while_a_request_runs_is_gone_at_the_next_one_and_after_refresh(
    auth: Auth, who: Headers
) -> None:
    """Asked once in a request: it does not change under a view's feet."""

    async def view(request: Request) -> Response:
        before = await request.auth.has_perm(ADD)
        if before:
            await revoke(auth, ADD)
        meanwhile = await request.auth.has_perm(ADD)
        await request.auth.refresh()
        return JSONResponse([before, meanwhile, await request.auth.has_perm(ADD)])

    async with client(site(auth, Route("/", view))) as browser:
        assert (await browser.get("/", headers=who["user"])).json() == [True, True, False]
        assert (await browser.get("/", headers=who["user"])).json() == [False, False, False]


async def test_what_one_user_may_do_does_not_hold_for_the_next_in_the_same_request(auth: Auth, who: Headers) -> None:
    async def view(request: Request) -> Response:
        said = [await request.auth.has_perm(ADD)]
        for user in (await named(auth, "ann"), await named(auth, "sue")):
            await request.auth.login(user)
            said.append(await request.auth.has_perm(ADD))
        await request.auth.logout()
        return JSONResponse([*said, await request.auth.has_perm(CHANGE)])

    async with client(site(auth, Route("/", view))) as browser:
        assert (await browser.get("/")).json() == [False, True, False, False]


async def test_what_is_not_committed_is_not_kept_for_the_next_request(url: str) -> None:
    """A unit of work that is rolled back has shown its own grant to nobody else."""

    async with opened(url, "ann") as auth:

        async def view(request: Request) -> Response:
            said: list[bool] = []

            async def work(unit: Unit) -> None:
                await grant(auth, ADD)
                said.append(await request.auth.has_perm(ADD))
                raise Broken

            with suppress(Broken):
                await auth._database.atomic(work)
            return JSONResponse(said)

        headers = await cookie_of(auth)
        routes = [Route("/", view), Route("/add", requires(perm(ADD))(hello))]
        async with client(site(auth, *routes)) as browser:
            assert (await browser.get("/", headers=headers)).json() == [True]
            assert (await browser.get("/add", headers=headers)).status_code == 403


async def test_a_user_known_by_a_token_may_what_the_user_may(sqlite_url: str) -> None:
    """There is no session whose lookup could bring a version: what the user may do is looked up in each request."""
    bearer = Header("x-bearer")
    async with opened(sqlite_url, "ann", features=[Extension(authenticators=[bearer])]) as auth:
        bearer.auth = auth
        async with client(site(auth, Route("/", requires(perm(ADD))(hello)), Route("/who", answers))) as browser:
            for _ in range(2):
                assert (await browser.get("/", headers=BEARER)).status_code == 403
                await grant(auth, ADD)
                assert (await browser.get("/", headers=BEARER)).status_code == 200
                assert (await browser.get("/who", headers=BEARER)).json()["add"] is True
                await revoke(auth, ADD)


# The guard `perm`


def guarded(auth: Auth, predicate: Predicate, path: str = "") -> Starlette:
    """The same guard before a function, a class, a mount and a WebSocket."""

    @requires(predicate)
    async def view(request: Request) -> Response:
        return PlainTextResponse("in")

    @requires(predicate)
    class Page(HTTPEndpoint):
        def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    @requires(predicate)
    class Socket(WebSocketEndpoint):
        pass

    return site(
        auth,
        Route(f"/view{path}", view),
        Route(f"/class{path}", Page),
        Mount(f"/mount{path}", routes=[Route("/in", hello)], middleware=[Guard(predicate)]),
        WebSocketRoute(f"/ws{path}", Socket),
        exception_handlers=auth.exception_handlers,
    )


HELD: list[tuple[Predicate, str]] = [
    (perm(ADD), "user superuser"),
    (perm(CHANGE), "staff superuser"),
    (perm(ADD, CHANGE), "superuser"),
    (perm(ADD) & perm(CHANGE), "superuser"),
    (perm(ADD) | perm(CHANGE), "user staff superuser"),
    (~perm(ADD), "anonymous staff"),
    (authenticated & ~perm(ADD), "staff"),
    (group("editors"), "staff"),
    (group("authors", "editors"), "staff"),
    (group("Editors"), ""),
    (~group("editors"), "anonymous user superuser"),
    (group("editors") | superuser, "staff superuser"),
]


@pytest.mark.parametrize(("predicate", "allowed"), HELD, ids=repr)
async def test_A10_2_perm_and_group_let_in_whoever_has_the_right_and_answer_as_other_guards(
    auth: Auth, who: Headers, predicate: Predicate, allowed: str
) -> None:
    """DESIGN 9: 401 or the login page for the anonymous, 403 for others, 1008 for a WebSocket."""
    app = guarded(auth, predicate)
    for kind, headers in who.items():
        expected = 200 if kind in allowed.split() else 401 if kind == "anonymous" else 403
        async with client(app) as browser:
            for path in ("/view", "/class", "/mount/in"):
                answer = await browser.get(path, headers=headers)
                assert answer.status_code == expected, (kind, path)
                if expected != 200:
                    code = {401: "not_authenticated", 403: "permission_denied"}[expected]
                    assert answer.json()["detail"]["code"] == code
                    assert "cookie" in answer.headers["vary"].lower()
                page = await browser.get(path, headers={**headers, **PAGE})
                assert page.status_code == (303 if expected == 401 else expected)
        first = (await websocket(app, "/ws", headers))[0]
        if expected == 200:
            assert first["type"] == "websocket.accept"
        else:
            assert (first["type"], first["code"]) == ("websocket.close", 1008)


ON_POST = perm(CHANGE, obj=load_post)
"""May: Ann on the first post, the editors and superusers on each."""
OBJECTS: list[tuple[Predicate, dict[str, tuple[int, int, int]]]] = [
    # for each kind of visitor: the first post, the second, and one that does not exist
    (ON_POST, {"user": (200, 403, 404), "staff": (200, 200, 404), "superuser": (200, 200, 404)}),
    (~ON_POST, {"anonymous": (200, 200, 401), "user": (403, 200, 404), "staff": (403, 403, 404)}),
    (~~ON_POST, {"user": (200, 403, 404), "staff": (200, 200, 404)}),
    (staff | ON_POST, {"user": (200, 403, 404), "staff": (200, 200, 404), "superuser": (200, 200, 404)}),
    (ON_POST | staff, {"user": (200, 403, 404), "staff": (200, 200, 404), "superuser": (200, 200, 404)}),
    (~(ON_POST | staff), {"anonymous": (200, 200, 401), "user": (403, 200, 404), "staff": (403, 403, 404)}),
    (staff & ON_POST, {"user": (403, 403, 403), "staff": (200, 200, 404), "superuser": (403, 403, 403)}),
    (ON_POST & staff, {"user": (403, 403, 404), "staff": (200, 200, 404), "superuser": (403, 403, 404)}),
    (~(staff & ON_POST), {"anonymous": (200, 200, 200), "user": (200, 200, 200), "staff": (403, 403, 404)}),
    (
        perm(ADD, CHANGE, obj=load_post),
        {"user": (200, 403, 404), "staff": (403, 403, 404), "superuser": (200, 200, 404)},
    ),
]


@pytest.mark.parametrize(
    ("predicate", "expected"), OBJECTS, ids=lambda value: repr(value) if "perm" in repr(value) else ""
)
async def test_B10_1_an_object_that_is_missing_is_neither_a_yes_nor_a_no(
    auth: Auth, who: Headers, predicate: Predicate, expected: dict[str, tuple[int, int, int]]
) -> None:
    """404, whatever it is joined with, unless a part before an `&` has refused already; and never for the anonymous, who
    are asked to log in, whether there is such an object or not."""
    app = guarded(auth, predicate, "/{id:int}")
    for kind, headers in who.items():
        statuses = expected.get(kind, (401, 401, 401) if kind == "anonymous" else None)
        if statuses is None:
            continue
        async with client(app) as browser:
            for number, status in zip((1, 2, 999), statuses, strict=True):
                for path in (f"/view/{number}", f"/class/{number}", f"/mount/{number}/in"):
                    answer = await browser.get(path, headers=headers)
                    assert answer.status_code == status, (kind, path)
                    if status == 404:
                        message = {"code": "not_found", "message": "There is nothing here."}
                        assert answer.json() == {"detail": message}
                        assert "cookie" in answer.headers["vary"].lower()
                first = (await websocket(app, f"/ws/{number}", headers))[0]
                assert first["type"] == ("websocket.accept" if status == 200 else "websocket.close")
                assert first.get("code", 1008) == 1008


async def test_B10_1_to_the_anonymous_a_missing_object_looks_like_one_that_they_may_not_touch(
    auth: Auth, who: Headers
) -> None:
    async with client(guarded(auth, ON_POST, "/{id:int}")) as browser:
        for headers in ({}, PAGE):
            there, missing = [await browser.get(f"/view/{number}", headers=headers) for number in (1, 999)]
            location = there.headers.get("location", "").replace("/1", "/999")
            assert (there.status_code, there.text) == (missing.status_code, missing.text)
            assert location == missing.headers.get("location", "")


async def test_B9_7_a_fresh_login_is_asked_for_only_where_it_would_help(sqlite_url: str) -> None:
    """A missing object stays missing, whoever logs in."""
    clock = Clock()
    recent = recent_login(minutes=5)
    paths = {
        "/or/{id:int}": recent | ON_POST,
        "/or-the-other-way/{id:int}": ON_POST | recent,
        "/and/{id:int}": recent & ON_POST,
        "/and-the-other-way/{id:int}": ON_POST & recent,
    }
    async with opened(sqlite_url, "ann", clock=clock) as auth:
        routes = [Route(path, requires(predicate)(hello)) for path, predicate in paths.items()]
        await grant(auth, CHANGE, Post(1))
        headers = await cookie_of(auth)
        clock.advance(hours=1)
        async with client(site(auth, *routes, exception_handlers=auth.exception_handlers)) as browser:

            async def codes(number: int) -> list[Any]:
                found = [await browser.get(path.replace("{id:int}", str(number)), headers=headers) for path in paths]
                return [
                    answer.status_code if answer.is_success else answer.json()["detail"]["code"] for answer in found
                ]

            again = "recent_login_required"
            assert await codes(1) == [200, 200, again, again]
            assert await codes(2) == [again, again, "permission_denied", "permission_denied"]
            assert await codes(999) == ["not_found"] * 4


@pytest.mark.parametrize("allowed", [False, True])
async def test_A10_2_the_anonymous_are_asked_about_too(sqlite_url: str, allowed: bool) -> None:
    """A source of the application may grant to them (A3.4)."""
    feature = Extension(permission_sources=[Granting(READ, CHANGE)] if allowed else [])

    @requires(perm(READ))
    class Socket(WebSocketEndpoint):
        pass

    async with opened(sqlite_url, features=[feature]) as auth:
        routes = [
            Route("/", permission_required(READ)(hello)),
            Route("/posts/{id:int}", requires(ON_POST)(hello)),
            WebSocketRoute("/ws", Socket),
        ]
        app = site(auth, *routes)
        async with client(app) as browser:
            statuses = [(await browser.get(path)).status_code for path in ("/", "/posts/1", "/posts/999")]
        assert statuses == ([200, 200, 401] if allowed else [401, 401, 401])
        assert (await websocket(app, "/ws"))[0]["type"] == ("websocket.accept" if allowed else "websocket.close")


async def test_A10_2_permission_required_is_requires_perm(auth: Auth, who: Headers) -> None:
    @permission_required(ADD, CHANGE, obj=load_post)
    def view(request: Request) -> Response:
        return PlainTextResponse("in")

    @login_required
    @permission_required(ADD)
    async def stacked(request: Request) -> Response:
        return PlainTextResponse("in")

    assert permission_required is the_same
    async with client(site(auth, Route("/{id:int}", view), Route("/stacked", stacked))) as browser:
        assert (await browser.get("/1", headers=who["user"])).text == "in"
        assert (await browser.get("/2", headers=who["user"])).status_code == 403
        assert (await browser.get("/1", headers=who["superuser"])).text == "in"
        assert (await browser.get("/999", headers=who["superuser"])).status_code == 404
        assert (await browser.get("/stacked", headers=who["user"])).text == "in"
        assert (await browser.get("/stacked", headers=who["staff"])).status_code == 403


def sync_loader(connection: HTTPConnection) -> Post:
    return Post(connection.path_params["id"])


class Loader:
    async def __call__(self, connection: HTTPConnection) -> Post:
        return sync_loader(connection)


async def keeping(connection: HTTPConnection) -> Post:
    connection.state.post = sync_loader(connection)
    return connection.state.post  # type: ignore[no-any-return]


LOADERS = {
    "async": load_post,
    "sync": sync_loader,
    "object": Loader(),
    "lambda": lambda connection: sync_loader(connection) and load_post(connection),
    "keeping": keeping,
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=list(LOADERS))
async def test_the_object_is_loaded_by_a_function_of_any_kind(auth: Auth, who: Headers, loader: Any) -> None:
    @permission_required(CHANGE, obj=loader)
    async def view(request: Request) -> Response:
        return JSONResponse(getattr(request.state, "post", Post(0)).id)

    async with client(site(auth, Route("/{id:int}", view))) as browser:
        answer = await browser.get("/1", headers=who["user"])
        assert (answer.status_code, answer.json()) == (200, 1 if loader is keeping else 0)
        assert (await browser.get("/2", headers=who["user"])).status_code == 403


async def refusing(connection: HTTPConnection) -> Post:
    raise HTTPException(410, "gone", {"x-why": "old"})


async def test_what_loads_the_object_may_answer_by_itself(auth: Auth, who: Headers) -> None:
    """An `HTTPException` passes through a guard of any kind, also one that stands outside of the exception handlers."""
    predicate = perm(CHANGE, obj=refusing)
    inner = guarded(auth, predicate, "/{id:int}")
    whole = Starlette(routes=[Route("/view/1", hello)], middleware=[*auth.middleware, Guard(predicate)])
    for app, paths in ((inner, ("/view/1", "/class/1", "/mount/1/in")), (whole, ("/view/1",))):
        async with client(app) as browser:
            for path in paths:
                for headers in who.values():
                    answer = await browser.get(path, headers=headers)
                    assert (answer.status_code, answer.text, answer.headers["x-why"]) == (410, "gone", "old")


async def test_a_guard_before_the_whole_application_answers_404_by_itself(auth: Auth, who: Headers) -> None:
    async def nothing(connection: HTTPConnection) -> None:
        return None

    app = Starlette(routes=[Route("/", hello)], middleware=[*auth.middleware, Guard(perm(CHANGE, obj=nothing))])
    async with client(app) as browser:
        answer = await browser.get("/", headers=who["user"])
        assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "not_found")
        assert (await browser.get("/")).status_code == 401


async def test_a_loader_that_gives_something_else_is_an_error_and_nobody_gets_in(auth: Auth, who: Headers) -> None:
    predicate = perm(CHANGE, obj=lambda connection: "post 1")
    async with client(site(auth, Route("/", requires(predicate)(hello)))) as browser:
        for headers in who.values():
            with pytest.raises(TypeError, match=r"is about blog\.post, and str is not"):
                await browser.get("/", headers=headers)


@pytest.mark.parametrize("wrong", ["add_post", "blog.", ".add_post", "", ".", 42, None, ["blog.add_post"], hello])
def test_A10_2_what_is_no_name_of_a_permission_is_refused_when_the_guard_is_built(wrong: Any) -> None:
    for build in (perm, permission_required, lambda name: perm(ADD, name)):
        with pytest.raises(ConfigurationError, match=r"write 'app\.codename', such as perm\('blog\.add_post'\)"):
            build(wrong)


@pytest.mark.parametrize("wrong", [42, "load_post", Post(1)], ids=repr)
def test_what_loads_no_object_is_refused_when_the_guard_is_built(wrong: Any) -> None:
    for build in (perm, permission_required):
        with pytest.raises(ConfigurationError, match="give a function of the connection"):
            build(CHANGE, obj=wrong)


@pytest.mark.parametrize("wrong", ["", None, 42], ids=repr)
def test_what_is_no_name_of_a_group_is_refused_when_the_guard_is_built(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"such as group\('editors'\)"):
        group("editors", wrong)


def test_A10_2_a_guard_says_which_permission_it_asks_for() -> None:
    assert repr(perm(ADD)) == "perm('blog.add_post')"
    assert repr(perm(ADD, CHANGE)) == "perm('blog.add_post', 'blog.change_post')"
    assert repr(ON_POST) == "perm('blog.change_post', obj=load_post)"
    assert repr(perm(CHANGE, obj=Loader())) == "perm('blog.change_post', obj=Loader)"
    assert repr(group("editors")) == "group('editors')"
    assert repr(group("editors", "authors")) == "group('editors', 'authors')"
    assert repr(~(staff & perm(ADD)) | ~staff) == "(~(staff & perm('blog.add_post')) | ~staff)"


def test_asgiauth_routes_shows_the_permission_of_each_route() -> None:
    auth = offline()
    app = guarded(auth, ON_POST, "/{id:int}")
    app.routes.append(Route("/stacked", login_required(permission_required(ADD)(hello))))
    found = {info.path: info.guards for info in describe(app) if not info.path.startswith("/api")}
    text = "perm('blog.change_post', obj=load_post)"
    assert found.pop("/stacked") == ("authenticated", "perm('blog.add_post')")
    assert set(found.values()) == {(text,)}
    assert len(found) == 4


async def test_without_the_middleware_a_guard_names_the_cure_and_loads_nothing() -> None:
    async def never(connection: HTTPConnection) -> None:
        raise AssertionError

    predicates = [perm(ADD), ~perm(ADD), perm(CHANGE, obj=never), group("editors"), ~group("editors")]
    routes = [Route(f"/{number}", requires(predicate)(hello)) for number, predicate in enumerate(predicates)]
    async with client(Starlette(routes=routes)) as browser:
        for route in routes:
            with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
                await browser.get(route.path)


async def test_a_part_behind_a_missing_object_is_not_asked(auth: Auth, who: Headers) -> None:
    """It may rely on the object."""

    def never(user: Any) -> bool:
        raise AssertionError

    async with client(site(auth, Route("/{id:int}", requires(ON_POST & asking(never))(hello)))) as browser:
        assert (await browser.get("/999", headers=who["user"])).status_code == 404


# Groups


async def test_a_superuser_is_in_those_groups_alone_that_say_so(auth: Auth, who: Headers) -> None:
    async with client(site(auth, Route("/", requires(group("editors"))(hello)))) as browser:
        assert (await browser.get("/", headers=who["superuser"])).status_code == 403
        await join(auth, "editors", "root")
        assert (await browser.get("/", headers=who["superuser"])).status_code == 200


async def test_a_group_that_is_renamed_or_deleted_lets_nobody_in_at_the_next_request(auth: Auth, who: Headers) -> None:
    routes = [Route(f"/{name}", requires(group(name))(hello)) for name in ("editors", "writers")]
    routes.append(Route("/change", requires(perm(CHANGE))(hello)))

    async def statuses() -> list[int]:
        async with client(site(auth, *routes)) as browser:
            return [(await browser.get(route.path, headers=who["staff"])).status_code for route in routes]

    assert await statuses() == [200, 403, 200]
    editors = await auth.groups.get("editors")
    assert editors is not None
    writers = await auth.groups.rename(editors, "writers")
    assert await statuses() == [403, 200, 200]
    await auth.groups.delete(writers)
    assert await statuses() == [403, 403, 403]


# GET session


async def test_session_tells_what_the_user_may_do_if_it_is_asked_to(auth: Auth, who: Headers) -> None:
    """DESIGN 11: sorted; everything there is for a superuser."""
    everything = [ADD, CHANGE, "blog.delete_post", "blog.view_post", READ]
    expected = {"anonymous": [], "user": [ADD], "staff": [CHANGE], "superuser": everything}
    async with client(site(auth)) as browser:
        for kind, headers in who.items():
            plain = (await browser.get("/api/auth/session", headers=headers)).json()
            assert "permissions" not in plain
            for query in (
                "include=permissions",
                "include=permissions,&include=",
                "x=1&include=permissions,permissions",
            ):
                answer = await browser.get(f"/api/auth/session?{query}", headers=headers)
                assert answer.json()["permissions"] == expected[kind], kind
                assert {**answer.json(), "permissions": 0, "csrf_token": 0} == {
                    **plain,
                    "permissions": 0,
                    "csrf_token": 0,
                }
                assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["include=groups", "include=permissions,groups", "include=permissions&include=x"])
async def test_session_refuses_to_include_what_there_is_not(auth: Auth, query: str) -> None:
    async with client(site(auth)) as browser:
        answer = await browser.get(f"/api/auth/session?{query}")
        assert (answer.status_code, answer.json()["detail"]["code"]) == (422, "invalid_fields")
        assert answer.json()["detail"]["fields"] == {"include": ["unknown_field"]}
        assert (await browser.get("/api/auth/session?include=")).status_code == 200


async def test_permissions_of_a_source_are_told_too(sqlite_url: str) -> None:
    source = Granting(READ)
    async with (
        opened(sqlite_url, features=[Extension(permission_sources=[source])]) as auth,
        client(site(auth)) as browser,
    ):
        answer = await browser.get("/api/auth/session?include=permissions")
        assert (answer.json()["user"], answer.json()["permissions"]) == (None, [READ])


# What is loaded for templates


async def test_what_is_loaded_while_somebody_else_logs_in_is_of_the_one_who_is_there_then(sqlite_url: str) -> None:
    """Two tasks of one request: the second user does not get what the first one may do."""

    class Slow(Granting):
        async def granted(self, user: Any) -> Collection[str]:
            if user.is_anonymous:
                asked.set()
                await logged_in.wait()
            return {READ} if user.is_anonymous else {ADD}

    asked, logged_in = asyncio.Event(), asyncio.Event()
    async with opened(sqlite_url, "ann", features=[Extension(permission_sources=[Slow()])]) as auth:

        async def view(request: Request) -> Response:
            loading = asyncio.create_task(request.auth.load_permissions())
            await asked.wait()
            await request.auth.login(await named(auth))
            logged_in.set()
            await loading
            perms = auth.context_processor(request)["perms"]
            return JSONResponse([READ in perms, ADD in perms])

        async with client(site(auth, Route("/", view))) as browser:
            assert (await browser.get("/")).json() == [False, True]

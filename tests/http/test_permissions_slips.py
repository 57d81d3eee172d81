"""Slips of the pen about permissions: each of them raises or refuses, and none of them lets anybody in."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Protocol

import anyio
import pytest
from jinja2 import Environment
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from asgiauth import Auth, permission_required
from asgiauth.awaited import awaited
from asgiauth.exceptions import ConfigurationError
from asgiauth.guards import authenticated, perm, recent_login, requires, staff
from asgiauth.http.perms import PermissionSet, Perms
from asgiauth.testing import Clock

from ..conftest import client
from .guarding import people, site
from .permitting import ADD, CHANGE, READ, Post, grant, hello, load_post, named, opened

TYPO = "blog.chagne_post"


@pytest.fixture
async def auth(sqlite_url: str) -> AsyncIterator[Auth]:
    async with opened(sqlite_url) as auth:
        yield auth


# Without await


async def test_A5_1_a_question_without_await_raises_and_lets_nobody_in(auth: Auth) -> None:
    """And Python does not warn beside it: here, a warning is an error."""
    visitors = await people(auth)

    async def view(request: Request) -> Response:
        ann = await named(auth)
        asked: dict[str, Callable[[], Any]] = {
            "request.auth.has_perm": lambda: request.auth.has_perm(ADD),
            "request.auth.has_perms": lambda: request.auth.has_perms([ADD]),
            "auth.permissions.check": lambda: auth.permissions.check(ann, ADD),
        }
        for name, ask in asked.items():
            with pytest.raises(ConfigurationError, match=rf"asked with await: `await {name}\(\.\.\.\)`"):
                if not ask():
                    return PlainTextResponse("out")
        with pytest.raises(ConfigurationError, match=r"await request\.auth\.has_perm"):
            Environment(autoescape=True).from_string("{% if a.has_perm('blog.add_post') %}in{% endif %}").render(
                a=request.auth
            )
        return PlainTextResponse("raised")

    async with client(site(auth, Route("/", view))) as browser:
        for headers in visitors.values():
            assert (await browser.get("/", headers=headers)).text == "raised"


async def test_A5_1_a_question_is_taken_wherever_a_coroutine_is(auth: Auth) -> None:
    visitors = await people(auth)
    await grant(auth, ADD)

    async def view(request: Request) -> Response:
        ask = request.auth.has_perm
        found: list[bool] = [await asyncio.create_task(ask(ADD)), *await asyncio.gather(ask(ADD), ask(CHANGE))]

        async def note(perm: str) -> None:
            found.append(await asyncio.wait_for(ask(perm), 60))

        async with anyio.create_task_group() as group:
            group.start_soon(note, ADD)  # `ask` itself only since anyio 4.14
        template = Environment(autoescape=True, enable_async=True).from_string(
            "{% if ask('blog.add_post') %}in{% endif %}"
        )
        return JSONResponse([*found, await template.render_async(ask=ask)])

    async with client(site(auth, Route("/", view))) as browser:
        assert (await browser.get("/", headers=visitors["user"])).json() == [True, True, False, True, "in"]


async def test_A5_1_a_task_that_asks_can_be_cancelled() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @awaited("ask()")
    async def ask() -> bool:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    task = asyncio.create_task(ask())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    ask().close()  # without a warning
    assert ask.__name__ == "ask"


# What nobody knows


async def test_A10_2_a_permission_that_nobody_knows_is_refused_whatever_it_is_joined_with(sqlite_url: str) -> None:
    clock, recent = Clock(), recent_login(minutes=5)
    async with opened(sqlite_url, clock=clock) as auth:
        visitors = await people(auth)
        predicates = [
            ~perm(TYPO),
            ~~perm(TYPO),
            ~perm(ADD, TYPO),
            authenticated & ~perm(TYPO),
            ~(perm(TYPO) & authenticated),
            ~(perm(TYPO) | perm(READ)),
            ~(perm(READ) | perm(TYPO)),
            ~(perm(TYPO) | recent),
            ~(perm(TYPO) & recent),
            ~perm(TYPO, obj=load_post),
        ]
        routes = [Route(f"/{at}/{{id}}", requires(predicate)(hello)) for at, predicate in enumerate(predicates)]
        clock.advance(hours=1)
        async with client(site(auth, *routes, exception_handlers=auth.exception_handlers)) as browser:
            for kind in ("anonymous", "user", "staff"):
                for at, predicate in enumerate(predicates):
                    answer = await browser.get(f"/{at}/1", headers=visitors[kind])
                    assert answer.status_code == (401 if kind == "anonymous" else 403), (kind, predicate)
                    code = "not_authenticated" if kind == "anonymous" else "permission_denied"
                    assert answer.json()["detail"]["code"] == code


async def test_A10_2_a_permission_that_is_stored_alone_is_known(sqlite_url: str) -> None:
    """As Django's are."""
    async with opened(sqlite_url) as auth:
        visitors = await people(auth)
        await grant(auth, ADD)
    async with opened(sqlite_url, permissions=[], resources=[]) as auth:
        routes = [Route(f"/{name}", requires(~perm(name))(hello)) for name in (ADD, CHANGE, TYPO)]
        async with client(site(auth, *routes)) as browser:
            statuses = [(await browser.get(route.path, headers=visitors["user"])).status_code for route in routes]
    assert statuses == [403, 200, 403]


async def test_A10_2_beside_a_permission_that_nobody_knows_the_rest_still_lets_in(auth: Auth) -> None:
    visitors = await people(auth)
    predicates = [staff | perm(TYPO), ~perm(TYPO) | staff, ~(perm(TYPO) & ~staff) | staff]
    routes = [Route(f"/{at}", requires(predicate)(hello)) for at, predicate in enumerate(predicates)]
    async with client(site(auth, *routes)) as browser:
        for route in routes:
            assert (await browser.get(route.path, headers=visitors["staff"])).status_code == 200
            assert (await browser.get(route.path, headers=visitors["user"])).status_code == 403


# What loads no object


def no_parameter() -> None:
    raise AssertionError


def two(connection: HTTPConnection, id: int) -> None:  # noqa: A002  as FastAPI would fill it in
    raise AssertionError


def of_an_id(id: int) -> None:  # noqa: A002
    raise AssertionError


def of_an_annotated_id(id: Annotated[int, "Path()"]) -> None:  # noqa: A002
    raise AssertionError


def of_an_id_or_none(id: "int | str | None") -> None:  # noqa: A002, UP037
    raise AssertionError


def by_name(*, connection: HTTPConnection) -> None:
    raise AssertionError


def optional(connection: Any = None) -> None:
    raise AssertionError


WRONG: list[Any] = [no_parameter, two, of_an_id, of_an_annotated_id, of_an_id_or_none, by_name, optional]
WRONG += [Post, Request, min, 42, Post(1)]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: getattr(wrong, "__name__", repr(wrong)))
def test_B10_1_what_loads_no_object_is_refused_when_the_guard_is_built(wrong: Any) -> None:
    for build in (perm, permission_required):
        with pytest.raises(ConfigurationError, match=r"`async def load\(connection\)`"):
            build(CHANGE, obj=wrong)


class HasParams(Protocol):
    path_params: dict[str, Any]


def of_a_request(request: Request) -> None: ...


def of_a_socket_too(connection: Request | WebSocket) -> None: ...


def of_an_annotated_connection(connection: Annotated[HTTPConnection, "it"]) -> None: ...


def of_anything(connection: object) -> None: ...


def of_what_is_like_it(connection: HasParams) -> None: ...


def of_what_type_checkers_know(connection: "Unknown") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


def with_a_default(connection: Any, table: str = "post") -> None: ...


def with_more(connection: Any, *args: Any, **kwargs: Any) -> None: ...


RIGHT: list[Callable[..., Any]] = [
    of_a_request,
    of_a_socket_too,
    of_an_annotated_connection,
    of_anything,
    of_what_is_like_it,
    of_what_type_checkers_know,
    with_a_default,
    with_more,
    functools.partial(two, id=1),
    lambda connection: None,
]


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: getattr(right, "__name__", "partial"))
def test_B10_1_what_takes_the_connection_alone_is_a_loader(right: Any) -> None:
    assert perm(CHANGE, obj=right).looks_for_object


# A missing object


async def test_B10_1_a_view_may_rely_on_what_the_loader_left_whoever_let_the_user_in(auth: Auth) -> None:
    visitors = await people(auth)

    async def keeping(connection: HTTPConnection) -> Post | None:
        connection.state.post = await load_post(connection)
        return connection.state.post  # type: ignore[no-any-return]

    async def view(request: Request) -> Response:
        return JSONResponse(request.state.post.id)

    on_post = perm(CHANGE, obj=keeping)
    predicates = [staff | on_post, on_post | staff, staff | (recent_login(hours=1) & on_post), staff | on_post | staff]
    routes = [Route(f"/{at}/{{id:int}}", requires(predicate)(view)) for at, predicate in enumerate(predicates)]
    async with client(site(auth, *routes, exception_handlers=auth.exception_handlers)) as browser:
        for at in range(len(predicates)):
            assert (await browser.get(f"/{at}/7", headers=visitors["staff"])).json() == 7
            answer = await browser.get(f"/{at}/999", headers=visitors["staff"])
            assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "not_found")


# perms in templates


def test_A13_2_a_whole_name_in_brackets_raises_with_the_cure() -> None:
    held = Perms(PermissionSet(frozenset({ADD})))
    with pytest.raises(ConfigurationError, match=r"write perms\.blog\.add_post, or 'blog\.add_post' in perms"):
        held[ADD]
    with pytest.raises(ConfigurationError, match=r"write perms\.blog\.add_post"):
        Environment(autoescape=True).from_string("{% if perms['blog.add_post'] %}{% endif %}").render(perms=held)
    assert ADD in held


def test_A13_2_perms_as_a_whole_are_neither_true_nor_false() -> None:
    for held in (Perms(PermissionSet()), Perms(PermissionSet(everything=True)), Perms(None)):
        with pytest.raises(ConfigurationError, match=r"perms has no truth of its own: .* perms\.blog\.add_post"):
            Environment(autoescape=True).from_string("{% if perms %}{% endif %}").render(perms=held)

"""`permission_required` and guards with permissions, on functions and classes (rows A10.2 and A10.7)."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import Auth, login_required, permission_required
from asgiauth.backends import PasswordBackend
from asgiauth.guards import group, perm, requires

from ..conftest import client
from ..http.guarding import PAGE, cookie_of, site
from .blog import blog, user
from .test_permissions_sources import PermissionsOnly

HELD = ("blog.add_post", "blog.change_post")


async def view(request: Request) -> Response:
    return PlainTextResponse("in")


def sync_view(request: Request) -> Response:
    return PlainTextResponse("in")


class Page(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("in")


async def statuses(auth: Auth, *guarded: Any, headers: dict[str, str] | None = None) -> list[list[int]]:
    """For each view: anonymous, joe who holds `HELD`, bob who holds the first of them."""
    joe, bob = await user(auth, "joe"), await user(auth, "bob")
    for held in HELD:
        await auth.permissions.grant(joe, held)
    await auth.permissions.grant(bob, HELD[0])
    who = [{}, await cookie_of(auth, "joe"), await cookie_of(auth, "bob")]
    found = []
    async with client(site(auth, *(Route(f"/{number}", one) for number, one in enumerate(guarded)))) as browser:
        for number in range(len(guarded)):
            answers = [await browser.get(f"/{number}", headers={**one, **(headers or {})}) for one in who]
            found.append([answer.status_code for answer in answers])
    return found


def test_A10_2_wrapped_sync_and_async_functions_are_coroutine_functions() -> None:
    """Deliberately different: one async implementation, which sends a function that is not async to a worker thread."""
    for one in (view, sync_view):
        assert inspect.iscoroutinefunction(permission_required("blog.add_post")(one))


async def test_A10_2_every_permission_is_required(sqlite_url: str) -> None:
    """Of one, of several, of those in a set; of views of both kinds."""
    async with blog(sqlite_url, "joe", "bob") as auth:
        for one in (view, sync_view):
            guarded = [permission_required(HELD[0])(one), permission_required(*HELD)(one)]
            guarded += [permission_required(*set(HELD))(one), requires(perm(HELD[0]), perm(HELD[1]))(one)]
            assert await statuses(auth, *guarded) == [[401, 200, 200], *[[401, 200, 403]] * 3]


async def test_A10_2_who_lacks_one_is_refused(sqlite_url: str) -> None:
    """Deliberately different: a logged-in user is never sent to the login, which could go round in circles, so there is
    no `raise_exception`."""
    async with blog(sqlite_url, "joe", "bob") as auth:
        guarded = [permission_required(*HELD, "blog.nonexistent")(one) for one in (view, sync_view)]
        assert await statuses(auth, *guarded) == [[401, 403, 403]] * 2
        assert await statuses(auth, *guarded, headers=PAGE) == [[303, 403, 403]] * 2


async def test_A10_2_the_anonymous_are_asked_about_too(sqlite_url: str) -> None:
    """A source may grant to them."""
    guarded = [permission_required(name)(view) for name in ("forum.read", "forum.write")]
    async with blog(sqlite_url, "joe", "bob", backends=[PasswordBackend(), PermissionsOnly()]) as auth:
        assert await statuses(auth, *guarded) == [[200, 200, 200], [401, 403, 403]]


async def test_A10_7_classes_with_permissions(sqlite_url: str) -> None:
    """Of one permission and of several; anonymous to the login, others refused."""
    async with blog(sqlite_url, "joe", "bob") as auth:
        one = permission_required(HELD[0])(type("One", (Page,), {}))
        several = permission_required(*HELD)(type("Several", (Page,), {}))
        unknown = permission_required(*HELD, "blog.nonexistent")(type("Unknown", (Page,), {}))
        expected = [[401, 200, 200], [401, 200, 403], [401, 403, 403]]
        assert await statuses(auth, one, several, unknown) == expected
        assert [row[0] for row in await statuses(auth, one, several, unknown, headers=PAGE)] == [303] * 3


async def test_A10_7_a_login_and_permissions_in_either_order(sqlite_url: str) -> None:
    async with blog(sqlite_url, "joe", "bob") as auth:
        first = login_required(permission_required(*HELD)(type("First", (Page,), {})))
        second = permission_required(*HELD)(login_required(type("Second", (Page,), {})))
        assert await statuses(auth, first, second) == [[401, 200, 403]] * 2


@pytest.mark.parametrize("names", [("editors",), ("editors", "others")])
async def test_A4_8_a_guard_may_ask_for_a_group(sqlite_url: str, names: tuple[str, ...]) -> None:
    async with blog(sqlite_url, "joe", "bob") as auth:
        for name in ("editors", "others"):
            await auth.groups.create(name)
            await auth.groups.add(await user(auth, "joe"), name)
        guarded = [requires(group(name))(view) for name in names]
        assert await statuses(auth, *guarded) == [[401, 200, 403]] * len(names)

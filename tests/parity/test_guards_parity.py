"""Django's `test_decorators.py`, `TestLoginRequiredMiddleware` of `test_middleware.py`, and what of `test_mixins.py` applies,
test by test. "Deliberately different" gives the reason; every other row is matched. Permissions: test_permissions_guards.py."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, guards, login_required
from asgiauth.exceptions import ConfigurationError
from asgiauth.guards import protect, public, requires, staff

from ..conftest import client
from ..http.guarding import PAGE, offline, people, site


async def view(request: Request) -> Response:
    return PlainTextResponse("in")


def sync_view(request: Request) -> Response:
    return PlainTextResponse("in")


async def statuses(auth: Auth, *guarded: Any) -> list[list[int]]:
    """For each view: anonymous, ann, sue (staff)."""
    who = await people(auth)
    found = []
    async with client(site(auth, *(Route(f"/{number}", one) for number, one in enumerate(guarded)))) as browser:
        for number in range(len(guarded)):
            answers = [await browser.get(f"/{number}", headers=who[kind]) for kind in ("anonymous", "user", "staff")]
            found.append([answer.status_code for answer in answers])
    return found


# LoginRequiredTestCase


def test_A10_1_wrapped_sync_and_async_functions_are_coroutine_functions() -> None:
    """test_wrapped_sync_function_is_not_coroutine_function. Deliberately different: one async implementation, which sends
    a function that is not async to a worker thread; Starlette and FastAPI call either kind alike."""
    for one in (view, sync_view):
        assert inspect.iscoroutinefunction(login_required(one))


def test_A10_1_callable() -> None:
    """testCallable. Deliberately different: an object that is called has no place for a mark of its own that `protect`
    could trust; it is refused with the cure."""

    class CallableView:
        def __call__(self, request: Request) -> Response:
            return PlainTextResponse("in")

    with pytest.raises(ConfigurationError, match="Guard"):
        login_required(CallableView())


def test_A10_1_view() -> None:
    """testView: metadata stays."""
    assert login_required(view).__name__ == "view"
    assert login_required(view).__wrapped__ is view  # type: ignore[attr-defined]


async def test_A10_1_login_required(sqlite_auth: Auth) -> None:
    """testLoginRequired, test_login_required_async_view: anonymous 302 there, 303 and 401 here (B9.7)."""
    found = await statuses(sqlite_auth, login_required(view), login_required(sync_view))
    assert found == [[401, 200, 200]] * 2


@pytest.mark.parametrize(
    ("login_url", "location"),
    [
        ("/login/", "/login/?next=/0"),
        ("/somewhere/?a=b", "/somewhere/?a=b&next=/0"),
        ("https://site.example/login/", "https://site.example/login/?next=/0"),
        ("https://sso.example/login/", "https://sso.example/login/?next=https%3A//site.example/0"),
        ("http://site.example/login/", "http://site.example/login/?next=https%3A//site.example/0"),
    ],
)
async def test_A10_1_login_required_next_url(login_url: str, location: str) -> None:
    """testLoginRequiredNextUrl: `next` is the path if the login page has our origin, else the whole address.
    Deliberately different: one `login_url` for each `Auth`, and the parameter is always called `next`."""
    async with client(site(offline(login_url=login_url), Route("/0", login_required(view)))) as browser:
        assert (await browser.get("/0", headers=PAGE)).headers["location"] == location


# LoginNotRequiredTestCase


async def test_A10_4_login_not_required() -> None:
    """test_callable, test_view, test_decorator_marks_view_as_login_not_required: the same object, marked."""

    async def async_view(request: Request) -> Response:
        return PlainTextResponse("in")

    for one in (async_view, lambda request: PlainTextResponse("in"), PlainTextResponse("in")):
        assert public(one) is one
        async with client(protect(site(offline(), Route("/", one)))) as browser:
            assert (await browser.get("/")).status_code == 200


# UserPassesTestDecoratorTest


async def test_A10_3_user_passes_test_in_each_combination(sqlite_auth: Auth) -> None:
    """test_decorator, test_decorator_async_view, test_decorator_async_test_func, test_wrapped_...: test and view may each
    be async or not. Deliberately different: refused to a logged-in user is 403, where Django redirects to the login (a
    loop)."""

    def is_staff(user: Any) -> bool:
        return bool(user.is_staff)

    async def is_staff_async(user: Any) -> bool:
        return bool(user.is_staff)

    tests = [guards.test(is_staff), guards.test(is_staff_async)]
    guarded = [requires(test)(one) for test in tests for one in (view, sync_view)]
    assert await statuses(sqlite_auth, *guarded) == [[401, 403, 200]] * 4


async def test_A10_3_a_sync_test_runs_in_a_thread(sqlite_auth: Auth) -> None:
    """test_decorator_async_test_func's counterpart: the event loop is not blocked by it."""
    seen: list[bool] = []

    def in_a_thread(user: Any) -> bool:
        seen.append(threading.current_thread() is not threading.main_thread())
        return True

    assert await statuses(sqlite_auth, requires(guards.test(in_a_thread))(view)) == [[200, 200, 200]]
    assert set(seen) == {True}


async def test_A10_5_staff_member_required(sqlite_auth: Auth) -> None:
    """Active staff; the others as above."""
    assert await statuses(sqlite_auth, requires(staff)(view)) == [[401, 403, 200]]


# AccessMixin, LoginRequiredMixin, UserPassesTestMixin


async def test_A10_6_access_mixin(sqlite_auth: Auth) -> None:
    """test_access_mixin_permission_denied_response and its kin: authenticated but denied 403, anonymous to the login.
    Deliberately different: messages and hooks are the exception handlers of the application."""

    @requires(staff)
    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    assert await statuses(sqlite_auth, Page) == [[401, 403, 200]]
    async with client(site(sqlite_auth, Route("/0", Page))) as browser:
        assert (await browser.get("/0", headers=PAGE)).headers["location"] == "/auth/login?next=/0"


async def test_A10_7_stacked_guards_on_classes(sqlite_auth: Auth) -> None:
    """test_stacked_mixins_success, test_stacked_mixins_missing_permission, test_stacked_mixins_not_logged_in: the outermost
    is asked first. Deliberately different: tests can be stacked, classes may be async."""

    @login_required
    @requires(guards.test(lambda user: user.username == "sue"))
    @requires(guards.test(lambda user: user.is_staff))
    class Page(HTTPEndpoint):
        def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    assert await statuses(sqlite_auth, Page) == [[401, 403, 200]]


# TestLoginRequiredMiddleware


async def test_A9_2_public_and_protected_views(sqlite_auth: Auth) -> None:
    """test_public_paths, test_protected_paths, test_protected_class_view and _function_view and async kin."""

    class Page(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    @public
    class PublicPage(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("in")

    async def open_view(request: Request) -> Response:
        return PlainTextResponse("in")

    who = await people(sqlite_auth)
    closed = [Route("/function", lambda request: PlainTextResponse("in")), Route("/class", Page)]
    opened = [Route("/open", public(open_view)), Route("/open-class", PublicPage)]
    async with client(protect(site(sqlite_auth, *closed, *opened))) as browser:
        for route in (*closed, *opened):
            expected = 303 if route in closed else 200
            answer = await browser.get(route.path, headers=PAGE)
            assert answer.status_code == expected
            assert answer.headers.get("location") == (f"/auth/login?next={route.path}" if route in closed else None)
            assert (await browser.get(route.path, headers=who["user"])).status_code == 200


async def test_A9_2_unknown_paths_stay_404() -> None:
    async with client(protect(site(offline(), Mount("/x", routes=[])))) as browser:
        assert [(await browser.get(path)).status_code for path in ("/nowhere", "/x/nowhere")] == [404, 404]


async def test_A9_2_login_url_resolve_logic() -> None:
    """test_login_url_resolve_logic, test_get_login_url_from_view_func: deliberately different, the `Auth` has the login
    URL, and no view another; test_login_required_without_login_url: without any, there is the default."""
    async with client(protect(site(offline(login_url="/enter"), Route("/", view)))) as browser:
        assert (await browser.get("/", headers=PAGE)).headers["location"] == "/enter?next=/"


async def test_A9_2_public_views_ask_no_database_for_the_anonymous() -> None:
    """test_public_view_logged_in_performance, test_public_view_not_logged_in_performance. Deliberately different: a
    request with a session cookie is looked up once, in one query, because `request.user` is not lazy here."""

    async def never_connected(request: Request) -> Response:
        return PlainTextResponse(request.user.username)

    async with client(protect(site(offline(), Route("/", public(never_connected)), Route("/in", view)))) as browser:
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/in")).status_code == 401

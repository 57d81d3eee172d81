"""Which backend is asked, and what its answer is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.requests import HTTPConnection, Request

from asgiauth import Auth, User
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import ConfigurationError, LoginRefused, Unavailable

from ..conftest import client, make_auth
from ..sites import PASSWORD, View, connected, count, site, views


class Badge:
    """A backend of one's own: knows a user by a number."""

    name = "badge"

    def __init__(self, auth: Callable[[], Auth], numbers: dict[int, str]) -> None:
        self.auth = auth
        self.numbers = numbers
        self.asked: list[Any] = []

    async def authenticate(self, connection: HTTPConnection | None, *, number: int) -> User | None:
        self.asked.append(connection)
        return await self.auth().users.find(self.numbers.get(number, ""))


class Lenient(Badge):
    """Lets inactive users in, on purpose; but nobody whose first name is `Out`."""

    name = "lenient"

    def may_log_in(self, user: User) -> bool:
        return user.first_name != "Out"


@asynccontextmanager
async def with_backends(
    url: str, *backends: Any, **named_views: View
) -> AsyncIterator[tuple[Auth, httpx2.AsyncClient]]:
    auths: list[Auth] = []
    for backend in backends:
        if isinstance(backend, Badge):
            backend.auth = lambda: auths[0]
    async with connected(url, backends=backends) as auth, client(site(auth, *views(**named_views))) as browser:
        auths.append(auth)
        yield auth, browser


async def by_number(request: Request) -> Any:
    """Logs in whom the backends know by `?number=`."""
    user = await request.auth.authenticate(number=int(request.query_params["number"]))
    if user is None:
        return None
    outcome = await request.auth.login(user)
    return [outcome.user.username, outcome.session.backend, outcome.session.methods]


def badge(kind: type[Badge] = Badge, **names: int) -> Badge:
    return kind(lambda: pytest.fail("not connected"), {number: name for name, number in names.items()})


async def test_a_backend_is_asked_when_the_credentials_bind_to_its_signature(sqlite_url: str) -> None:
    """A6.1: the others are passed by, and none that binds means nobody."""
    own = badge(ann=7)

    async def odd(request: Request) -> list[bool]:
        odd: list[dict[str, Any]] = [{}, {"number": 7, "x": 1}, {"username": "ann"}, {"connection": None}]
        return [await request.auth.authenticate(**credentials) is None for credentials in odd]

    async with with_backends(sqlite_url, own, PasswordBackend(), login=by_number, odd=odd) as (auth, browser):
        await auth.users.create("ann", password=PASSWORD)
        assert (await browser.get("/odd")).json() == [True] * 4
        assert own.asked == []
        assert (await browser.get("/login?number=8")).json() is None
        assert (await browser.get("/login?number=7", headers={"x-badge": "yes"})).json() == ["ann", "badge", ["badge"]]
        assert own.asked[-1].headers["x-badge"] == "yes"
        assert (await browser.get("/who")).json() == "ann"
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert answer.status_code == 200
        assert (await browser.get("/api/auth/session")).json()["methods"] == ["password"]


async def test_the_first_backend_that_knows_the_user_wins(sqlite_url: str) -> None:
    first, second = badge(ann=1), badge(Lenient, ann=1, bob=2)
    async with with_backends(sqlite_url, first, second, login=by_number) as (auth, browser):
        for name in ("ann", "bob"):
            await auth.users.create(name)
        assert (await browser.get("/login?number=1")).json() == ["ann", "badge", ["badge"]]
        assert (await browser.get("/login?number=2")).json() == ["bob", "lenient", ["lenient"]]


async def test_with_two_backends_a_login_says_which_one_unless_it_was_just_asked(sqlite_url: str) -> None:
    """No name, or an unknown one, is a ConfigurationError that lists the names, and nobody is logged in."""
    users: dict[str, User] = {}

    async def login(request: Request) -> Any:
        backend = request.query_params.get("backend")
        try:
            outcome = await request.auth.login(users["ann"], backend=backend)
        except ConfigurationError as error:
            return str(error)
        return outcome.session.backend

    async def another(request: Request) -> Any:
        assert await request.auth.authenticate(number=7) == users["ann"]
        with pytest.raises(ConfigurationError):
            await request.auth.login(users["bob"])

    async with with_backends(sqlite_url, badge(ann=7), PasswordBackend(), login=login, another=another) as (
        auth,
        browser,
    ):
        for name in ("ann", "bob"):
            users[name] = await auth.users.create(name, password=PASSWORD)
        for url in ("/login", "/login?backend=nonsense"):
            answer = await browser.get(url)
            assert "badge, password" in answer.json()
            assert "set-cookie" not in answer.headers
        assert "set-cookie" not in (await browser.get("/another")).headers
        assert (await browser.get("/login?backend=badge")).json() == "badge"


async def test_an_inactive_user_is_refused_whatever_a_careless_backend_says(sqlite_url: str) -> None:
    """V-062: `authenticate` finds nobody, `login` refuses, and one who was inside is out."""
    users: dict[str, User] = {}

    async def force(request: Request) -> str:
        try:
            await request.auth.login(users["ann"])
        except LoginRefused:
            return "refused"
        return "logged in"

    async with with_backends(sqlite_url, badge(ann=7), login=by_number, force=force) as (auth, browser):
        users["ann"] = await auth.users.create("ann")
        assert (await browser.get("/login?number=7")).json() is not None
        users["ann"] = await auth.users.update(users["ann"], is_active=False)
        assert (await browser.get("/who")).json() == ""
        assert (await browser.get("/login?number=7")).json() is None
        assert (await browser.get("/force")).json() == "refused"
        assert (await browser.get("/who")).json() == ""


async def test_a_backend_may_decide_who_may_log_in_and_is_asked_on_every_request(sqlite_url: str) -> None:
    """A6.11: inactive users by its own rule, and out as soon as that rule says no."""
    async with with_backends(sqlite_url, badge(Lenient, ann=7), login=by_number) as (auth, browser):
        ann = await auth.users.create("ann", is_active=False)
        assert (await browser.get("/login?number=7")).json() == ["ann", "lenient", ["lenient"]]
        assert (await browser.get("/who")).json() == "ann"
        await auth.users.update(ann, first_name="Out")
        assert (await browser.get("/who")).json() == ""
        assert (await browser.get("/login?number=7")).json() is None


@pytest.mark.parametrize("error", [RuntimeError("broken"), TypeError("broken"), KeyError("number")], ids=repr)
async def test_a_backend_that_raises_logs_nobody_in(sqlite_url: str, error: Exception) -> None:
    """V-059: its error goes through, also a TypeError, which is not taken for a signature that does not bind; no other
    backend is asked."""

    class Broken(Badge):
        name = "broken"

        async def authenticate(self, connection: HTTPConnection | None, *, number: int) -> User | None:
            raise error

    later = badge(ann=7)
    async with with_backends(sqlite_url, badge(Broken), later, login=by_number) as (auth, browser):
        await auth.users.create("ann")
        with pytest.raises(type(error), match=str(error)):
            await browser.get("/login?number=7")
        assert later.asked == []
        assert (await browser.get("/who")).json() == ""
    assert await count(sqlite_url, auth.tables.session) == 0


async def test_a_backend_whose_service_is_down_is_503_for_a_json_login(sqlite_url: str) -> None:
    """D-23: nobody is let in, and nobody is told that the password was wrong."""

    class Down(PasswordBackend[User]):
        async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
            raise Unavailable("the directory does not answer", retry_after=7)

    async with with_backends(sqlite_url, Down()) as (_, browser):
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["detail"]["code"] == "unavailable"
    assert "directory" not in answer.text
    assert "set-cookie" not in answer.headers


async def test_a_backend_that_returns_something_else_logs_nobody_in(sqlite_url: str) -> None:
    class Odd(Badge):
        name = "odd"

        async def authenticate(self, connection: HTTPConnection | None, *, number: int) -> Any:
            return {"id": 1, "is_active": True} if number else True

    async with with_backends(sqlite_url, badge(Odd), login=by_number) as (_, browser):
        for number in (0, 1):
            with pytest.raises((TypeError, AttributeError)):
                await browser.get(f"/login?number={number}")
        assert (await browser.get("/who")).json() == ""


def named(name: Any) -> Any:
    backend = PasswordBackend[User]()
    backend.name = name
    return backend


@pytest.mark.parametrize(
    "backends",
    [[], [PasswordBackend(), PasswordBackend()], [object()], [named("")], [named(None)], [named("x" * 101)]],
    ids=["none", "two of one name", "no backend", "blank name", "no name", "a name that no session can hold"],
)
def test_backends_that_cannot_work_are_refused_when_auth_is_built(backends: Sequence[Any]) -> None:
    """DESIGN 3: never at the first request."""
    with pytest.raises(ConfigurationError):
        make_auth("sqlite:///never-opened.db", backends=backends)

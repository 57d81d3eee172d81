"""The extension API: each field of `Contribution` does something, `Core` has what it promises, and clashes are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, String, Table, select
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import AnonymousUser, Auth, Contribution, Core, User
from asgiauth.backends import Identity
from asgiauth.events import Event, UserCreated, UserLoggedIn
from asgiauth.exceptions import (
    ConfigurationError,
    LoginRefused,
    NotReady,
    PasswordRejected,
    Reason,
    TooManyAttempts,
)
from asgiauth.guards import public
from asgiauth.http.actions import Action, Field
from asgiauth.login import LoginAttempt
from asgiauth.passwords import PasswordPolicy

from .conftest import make_auth
from .login.helpers import Extension
from .sessions.helpers import PASSWORD, rows, site_at, token_of, user

ANN = {"username": "ann", "password": PASSWORD}


class Named(Extension):
    def __init__(self, name: str, *tables: Any, **contribution: Any) -> None:
        super().__init__(*tables, **contribution)
        self.name = name


class CardBackend:
    """Knows whoever shows a card."""

    def __init__(self, name: str = "card") -> None:
        self.name = name
        self.core: Core | None = None

    async def authenticate(self, connection: Any, *, card: str) -> User | None:
        assert self.core is not None
        found: User | None = await self.core.users.get_by(username=card.removeprefix("card of "))
        return found


class HeaderAuthenticator:
    """Believes a header."""

    def __init__(self, feature: Extension, header: str) -> None:
        self._feature = feature
        self._header = header

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        name = connection.headers.get(self._header)
        found = await self._feature.core.users.get_by(username=name) if name else None
        return None if found is None else Identity(found, self._header, frozenset({self._header}))


class Refusing:
    def __init__(self, **errors: Exception) -> None:
        self._errors = errors

    async def admit(self, attempt: LoginAttempt) -> None:
        if error := self._errors.get(attempt.credentials.get("username", "")):
            raise error


class Step:
    """A step that everybody needs."""

    path = "step"

    def __init__(self, name: str, requirement: str = "more") -> None:
        self.name = name
        self.requirement = requirement

    async def applies_to(self, user: User, attempt: LoginAttempt) -> bool:
        return True


class Without:
    """Refuses a letter in every new password."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    async def validate(self, password: str, user: object) -> None:
        if self._letter in password:
            raise PasswordRejected([Reason(f"without_{self._letter}")])


async def nothing(*arguments: Any, **fields: Any) -> None:
    """Does nothing."""


# What each field does


async def test_a_features_backends_are_asked_after_the_applications(sqlite_url: str) -> None:
    """And may be named at login; the session remembers which one it was."""
    backend = CardBackend()
    feature = Extension(backends=[backend])
    async with site_at(sqlite_url, "ann", features=[feature]) as site:
        backend.core = feature.core

        async def view(request: Any) -> Any:
            known = await request.auth.authenticate(card="card of ann")
            outcome = await request.auth.login(known)
            return [outcome.session.backend, outcome.session.methods]

        assert await site.ask(site.browser(), view) == ["card", ["card"]]
        assert await site.who(token_of(await site.log_in())) == "ann"
    async with site_at(sqlite_url, features=[feature], backends=[]) as site:
        answer = await site.browser().post("/api/auth/login", json=ANN)
        assert answer.status_code == 401


async def test_a_features_authenticators_know_a_request_by_what_it_carries(sqlite_url: str) -> None:
    """In the order of the features; a session goes before them all."""
    first, second = Named("first"), Named("second")
    for feature, header in ((first, "x-first"), (second, "x-second")):
        feature._contribution = Contribution(authenticators=[HeaderAuthenticator(feature, header)])
    async with site_at(sqlite_url, "ann", "bob", "cyd", features=[first, second]) as site:
        member = await site.log_in("cyd")

        def view(request: Any) -> Any:
            return [request.user.username, list(request.auth.scopes), request.auth.session is None]

        both = {"X-Second": "bob", "X-First": "ann"}
        for browser, headers, seen in (
            (site.browser(), {}, ["", [], True]),
            (site.browser(), {"X-Second": "bob"}, ["bob", ["authenticated", "x-second"], True]),
            (site.browser(), {"X-Second": "bob", "X-First": "nobody"}, ["bob", ["authenticated", "x-second"], True]),
            (site.browser(), both, ["ann", ["authenticated", "x-first"], True]),
            (member, both, ["cyd", ["authenticated"], False]),
        ):
            browser.headers.update(headers)
            assert await site.ask(browser, view) == seen


async def test_a_features_login_guards_refuse_before_anybody_looks(sqlite_url: str) -> None:
    guards = [
        Refusing(ann=TooManyAttempts(retry_after=7)),
        Refusing(bob=LoginRefused("no")),
        Refusing(ann=LookupError()),
    ]
    async with site_at(sqlite_url, "ann", "bob", "cyd", features=[Extension(login_guards=guards)]) as site:
        answers = {}
        for name in ("ann", "bob", "cyd"):
            answer = await site.browser().post("/api/auth/login", json={**ANN, "username": name})
            answers[name] = (answer.status_code, answer.headers.get("retry-after"))
    assert answers == {"ann": (429, "7"), "bob": (401, None), "cyd": (200, None)}


async def test_a_features_login_steps_stand_between_the_password_and_the_login(sqlite_url: str) -> None:
    """One of each requirement; steps of two features are one list."""
    features = [Named("a", login_steps=[Step("code"), Step("key")]), Named("b", login_steps=[Step("terms", "consent")])]
    async with site_at(sqlite_url, "ann", features=features) as site:
        browser = site.browser()
        answer = await browser.post("/api/auth/login", json=ANN)
        assert [step["name"] for step in answer.json()["detail"]["steps"]] == ["code", "key", "terms"]

        async def view(request: Any, name: str) -> Any:
            outcome = await request.auth.pass_step(name)
            return [request.user.username, [step.name for step in getattr(outcome, "steps", ())]]

        assert await site.ask(browser, lambda request: view(request, "key")) == ["", ["terms"]]
        assert await site.ask(browser, lambda request: view(request, "terms")) == ["ann", []]


async def test_a_features_permission_sources_are_asked_about_everybody(sqlite_url: str) -> None:
    """The anonymous too."""

    class Trial:
        async def granted(self, user: Any) -> Collection[str]:
            return ["shop.visit"] if user.is_anonymous else ["shop.visit", "shop.buy"]

    auth = make_auth(sqlite_url, features=[Extension(permission_sources=[Trial()])])
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        assert await auth.permissions.of(ann) == {"shop.visit", "shop.buy"}
        assert await auth.permissions.of(AnonymousUser()) == {"shop.visit"}


async def test_a_features_password_validators_see_every_new_password(sqlite_url: str) -> None:
    """At creation, when it is set, when it is changed: with all reasons at once, the policy's own too."""
    features = [Named("a", password_validators=[Without("q")]), Named("b", password_validators=[Without("z")])]
    passwords = PasswordPolicy(validators=(), failure_deadline=0)
    async with site_at(sqlite_url, "ann", features=features, passwords=passwords) as site:
        codes = ["password_too_short", "without_q", "without_z"]
        ann, users = await user(site), site.auth.users
        for attempt in (users.create("bob", password="qz"), users.set_password(ann, "qz")):
            with pytest.raises(PasswordRejected) as rejected:
                await attempt
            assert [reason.code for reason in rejected.value.reasons] == codes
        browser = await site.log_in()
        body = {"old_password": PASSWORD, "new_password": "qz"}
        answer = await browser.post("/api/auth/password/change", json=body)
        assert (answer.status_code, answer.json()["detail"]["fields"]) == (422, {"new_password": codes})
        assert await users.get_by(username="bob") is None
        assert await users.create("bob", password="qz", validate=False)


async def test_a_features_listeners_are_told_of_the_events_of_their_kind(sqlite_url: str) -> None:
    told: list[tuple[str, str]] = []

    def listener(name: str) -> Any:
        async def listen(event: Event) -> None:
            told.append((name, type(event).__name__))

        return listen

    listeners = [(UserCreated, listener("created")), (Event, listener("any")), (UserLoggedIn, listener("in"))]
    async with site_at(sqlite_url, "ann", features=[Extension(listeners=listeners)]) as site:
        await site.log_in()
    names = ["created UserCreated", "any UserCreated", "any UserLoggedIn", "in UserLoggedIn"]
    assert [" ".join(one) for one in told] == names


async def test_a_features_actions_are_json_routes_like_the_cores(sqlite_url: str) -> None:
    """Closed unless public, strict in what they take, protected against other sites."""

    async def greet(auth: Any, *, greeting: str, name: str) -> dict[str, Any]:
        return {"said": f"{greeting} {name}, says {auth.user.username or 'nobody'}"}

    fields = {"greeting": Field(max_length=5)}
    actions = [
        Action(name="greet", path="greet/{name}", run=greet, fields=fields),
        Action(name="shout", path="shout/{name}", run=greet, fields=fields, public=True),
        Action(name="greeted", path="greet/{name}", method="DELETE", run=nothing, public=True),
    ]
    async with site_at(sqlite_url, "ann", features=[Extension(actions=actions)]) as site:
        browsers = (site.browser(), await site.log_in())
        for path, said in (
            ("greet", (401, "hi bob, says ann")),
            ("shout", ("hi bob, says nobody", "hi bob, says ann")),
        ):
            for browser, expected in zip(browsers, said, strict=True):
                answer = await browser.post(f"/api/auth/{path}/bob", json={"greeting": "hi"})
                assert (answer.json().get("said") or answer.status_code) == expected
                assert (await browser.post(f"/api/auth/{path}/b", json={"greeting": "too long"})).status_code == (
                    401 if expected == 401 else 422
                )
        cross = await browsers[1].post(
            "/api/auth/shout/bob", json={"greeting": "hi"}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert cross.status_code == 403
        assert (await browsers[0].delete("/api/auth/greet/bob")).status_code == 204
        assert site.app.url_path_for("asgiauth_json_greet", name="bob") == "/api/auth/greet/bob"
        assert {"login", "greet", "shout", "greeted"} <= {action.name for action in site.auth.actions}


async def test_a_features_routes_are_served_beside_the_actions_as_they_are(sqlite_url: str) -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{request.method} {request.user.username}")

    routes = [
        Route("/page", public(page), methods=["GET", "PUT"], name="page"),
        Mount("/below", routes=[Route("/", page)]),
    ]
    async with site_at(sqlite_url, "ann", features=[Extension(routes=routes)]) as site:
        browser = await site.log_in()
        assert [(await browser.request(method, "/api/auth/page")).text for method in ("GET", "PUT")] == [
            "GET ann",
            "PUT ann",
        ]
        assert (await browser.get("/api/auth/below/")).text == "GET ann"
        assert site.app.url_path_for("page") == "/api/auth/page"


async def test_a_features_tables_are_created_where_those_of_the_core_are(url: str) -> None:
    """On each server; a row may refer to a user, and goes with it. Twice is harmless."""

    def card(metadata: Any) -> None:
        owner = ForeignKey("auth_user.id", ondelete="CASCADE")
        Table(
            "card", metadata, Column("id", Integer, primary_key=True), Column("user_id", owner), Column("c", String(9))
        )

    feature = Extension(card)
    async with site_at(url, "ann", features=[feature]) as site:
        await site.auth.create_tables()
        table = site.auth.metadata.tables["card"]
        async with feature.core.db.unit() as unit:
            await unit.insert(table, {"user_id": (await user(site)).id, "c": "x"})
        assert [row["c"] for row in await rows(url, table)] == ["x"]
        await site.auth.users.delete(await user(site))
        assert await feature.core.db.fetch(select(table)) == []


def test_each_field_of_a_contribution_is_tested_here_or_with_the_jobs() -> None:
    tested = {name for name in globals() if name.startswith("test_a_features_")}
    fields = {field.name for field in dataclasses.fields(Contribution)} - {"jobs", "commands", "checks"}  # tests/cli
    assert {field for field in fields if not any(f"test_a_features_{field}_" in name for name in tested)} == set()
    assert dataclasses.astuple(Contribution()) == ((),) * (len(fields) + 3)


# The core that it gets


async def test_install_is_called_once_with_a_core_that_is_built_and_not_connected() -> None:
    """Whatever needs the database says so; signing and hashing need none."""
    installed: list[Core] = []

    class Curious(Extension):
        def install(self, core: Core) -> Contribution:
            installed.append(core)
            assert "auth_user" in core.tables.user.metadata.tables
            return super().install(core)

    feature = Curious()
    auth = make_auth("sqlite:///never.db", features=[feature])
    (core,) = installed
    assert feature.core is core
    with pytest.raises(NotReady, match=r"auth\.lifespan"):
        await core.users.get(1)
    assert await core.passwords.verify(PASSWORD, await core.passwords.hash(PASSWORD))
    services: dict[str, Any] = {
        name: getattr(auth, name) for name in ("users", "sessions", "passwords", "events", "tables")
    }
    assert {name: getattr(core, name) for name in services} == services
    for field in dataclasses.fields(core):
        assert getattr(core, field.name) is not None
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(core, field.name, None)


# What cannot work


def duplicate_table(metadata: Any) -> None:
    Table("thing", metadata, Column("id", Integer, primary_key=True))


def users_table(metadata: Any) -> None:
    Table("auth_user", metadata, Column("id", Integer, primary_key=True))


def action(name: str, path: str, method: str = "POST") -> Action:
    return Action(name=name, path=path, method=method, run=nothing)


async def page(request: Request) -> Response:
    return PlainTextResponse("never served")


CLASHES: dict[str, Callable[[], list[Extension]]] = {
    "one name": lambda: [Named("a"), Named("a")],
    "one feature twice": lambda: [feature := Named("a"), feature],
    "a backend's name": lambda: [Named("a", backends=[CardBackend()]), Named("b", backends=[CardBackend()])],
    "a backend like the core's": lambda: [Named("a", backends=[CardBackend("password")])],
    "a backend without a name": lambda: [Named("a", backends=[CardBackend("")])],
    "a step's name": lambda: [Named("a", login_steps=[Step("x")]), Named("b", login_steps=[Step("x", "other")])],
    "a step without a name": lambda: [Named("a", login_steps=[Step("")])],
    "an action's name": lambda: [Named("a", actions=[action("x", "x")]), Named("b", actions=[action("x", "y")])],
    "an action's path": lambda: [Named("a", actions=[action("x", "x")]), Named("b", actions=[action("y", "x")])],
    "an action like the core's": lambda: [Named("a", actions=[action("login", "x")])],
    "an action at the core's path": lambda: [Named("a", actions=[action("x", "login")])],
    "an action under another name of the core's path": lambda: [
        Named("a", actions=[action("x", "sessions/{x}", "DELETE")])
    ],
    "a route at the core's path": lambda: [Named("a", routes=[Route("/login", page)])],
    "a table": lambda: [Named("a", duplicate_table), Named("b", duplicate_table)],
    "a table of the core": lambda: [Named("a", users_table)],
}


@pytest.mark.parametrize("features", CLASHES.values(), ids=CLASHES)
def test_a_clash_is_a_configuration_error_when_auth_is_built(features: Callable[[], list[Extension]]) -> None:
    """Never a feature that is listed and silently without effect."""
    with pytest.raises(ConfigurationError):
        make_auth("sqlite:///never.db", features=features())


def test_two_auths_may_have_the_same_features_in_one_metadata() -> None:
    """Each its own instance, with tables named by the realm."""

    def table(realm: str) -> Any:
        return lambda metadata: Table(f"thing_{realm}", metadata, Column("id", Integer, primary_key=True))

    metadata = make_auth("sqlite:///never.db", features=[Extension(table("a"))]).metadata
    other: Auth = make_auth("sqlite:///never.db", realm="b", metadata=metadata, features=[Extension(table("b"))])
    assert {"thing_a", "thing_b", "asgiauth_session", "asgiauth_b_session"} <= set(other.metadata.tables)

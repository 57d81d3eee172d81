"""`Auth`: composes everything, decides nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self

import anyio
from sqlalchemy import MetaData, Table
from sqlalchemy.exc import InvalidRequestError
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.routing import BaseRoute

from .accounts import Accounts
from .backends import Backend, PasswordBackend, remote_user_of
from .checks import Check
from .configuration import (
    check_jobs,
    check_parts,
    check_realm,
    check_routes,
    check_skip,
    check_url,
    env,
    is_https,
    site_words,
)
from .core import Core
from .db import Database
from .db.beside_django import purge_orphans
from .db.django_history import MIGRATIONS
from .db.schema import create_tables, has_table
from .db.tables import Tables, build_tables
from .events import EventBus
from .exceptions import ConfigurationError
from .feature import Contribution, Feature
from .http.actions import Action
from .http.cookies import CookieJar
from .http.core_actions import CoreActions
from .http.csrf import Csrf, origin_of
from .http.error_pages import exception_handlers
from .http.errors import ExceptionHandlers
from .http.explain import Explain
from .http.html import Face, html_routes
from .http.json import json_routes
from .http.middleware import AuthMiddleware, check_order
from .http.proxies import TrustedProxies
from .http.speaker import Look, Speaker
from .http.strength import StrengthMeter
from .http.templates import Templates, context_processor
from .jobs import Job, running
from .limits import Limits, LocalLimits, SqlLimits
from .login import Login
from .passwords import PasswordPolicy, Passwords, recommended_validators
from .passwords.profiles import check_cost
from .permissions import Groups, Permission, Permissions, Resource, Rule
from .sessions import SessionPolicy, Sessions
from .signing import Signing
from .texts import Languages
from .users import UserModel, Users, UserT

if TYPE_CHECKING:
    import click
    import databases
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

__all__ = ["Auth"]


_PURGE_EVERY = timedelta(hours=1)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Auth(Generic[UserT]):
    """Everything about who is who, configured once.

    `database`: a URL, a `databases.Database` or an SQLAlchemy `AsyncEngine`. `secret_keys`: newest first, each at least
    32 random bytes; the first signs, all of them verify. `base_url`: where the site is, `https://...`; plain http only
    for this machine, and then the cookie is not Secure. `metadata`: the application's own, for foreign keys to
    `auth.tables.user`. `realm`: keeps two `Auth` in one application apart, in keys, cookie and tables. `clock`: the
    only source of the time. `login_url`, `login_redirect_url` and `logout_redirect_url` are paths of this
    application, or whole URLs. `read_only`: for a database that this process may only read; whatever would write is
    `ReadOnly`.
    `trusted_proxies`: networks of the proxies whose `X-Forwarded-For` is believed. `trusted_origins`: other sites that
    may send this one's users' requests (CSRF). `permissions`: what this application declares, `[*crud("blog",
    "post")]`; `resources`: whose rows may be granted one by one; `rules`: permissions on them that code decides.
    `skip`: path prefixes that need no session, such as `/static/`. `shared_with_django`: whether a Django site uses
    the database, too; None looks for its table `django_migrations` when it connects. `jobs`: who does the work that
    recurs, this process's lifespan or nobody here. `texts`: words of the application's own for the pages, by language
    and key, `{"de": {"login.title": "Anmelden"}}`; `locale`: which language, or a function that tells it for a request.
    `features`: what else is switched on. Raises `ConfigurationError` for what could not work.
    """

    users: Users[UserT]
    groups: Groups
    permissions: Permissions
    passwords: Passwords
    sessions: Sessions
    events: EventBus
    texts: Languages
    metadata: MetaData
    tables: Tables
    middleware: list[Middleware]
    exception_handlers: ExceptionHandlers
    json_routes: list[BaseRoute]
    actions: list[Action]
    feature_routes: list[BaseRoute]
    commands: list[click.Command]
    checks: list[Check]

    def __init__(
        self,
        database: str | databases.Database | AsyncEngine,
        *,
        secret_keys: Sequence[str],
        base_url: str,
        metadata: MetaData | None = None,
        realm: str = "",
        user_model: UserModel[UserT] | None = None,
        backends: Sequence[Backend] | None = None,
        permissions: Sequence[Permission] = (),
        resources: Sequence[Resource] = (),
        rules: Sequence[Rule] = (),
        passwords: PasswordPolicy | None = None,
        sessions: SessionPolicy | None = None,
        login_url: str = "/auth/login",
        login_redirect_url: str = "/",
        logout_redirect_url: str = "/",
        trusted_proxies: Sequence[str] = (),
        trusted_origins: Sequence[str] = (),
        skip: Sequence[str] = (),
        shared_with_django: bool | None = None,
        read_only: bool = False,
        jobs: Literal["lifespan", "worker", "off"] = "lifespan",
        texts: Mapping[str, Mapping[str, str]] | None = None,
        locale: str | Callable[[HTTPConnection], str] = "en",
        clock: Callable[[], datetime] = utc_now,
        features: Sequence[Feature] = (),
    ) -> None:
        check_parts(user_model, sessions, backends)
        model: UserModel[UserT] = user_model or UserModel()
        policy = sessions or SessionPolicy()
        secure = is_https(base_url)
        check_realm(realm)
        check_skip(skip)
        urls = {"login_url": login_url, "login_redirect_url": login_redirect_url}
        for name, url in {**urls, "logout_redirect_url": logout_redirect_url}.items():
            check_url(name, url)
        check_jobs(jobs)
        self._database = seam = Database(database, read_only=read_only)
        self._entered, self._entering = 0, anyio.Lock()
        self.metadata = MetaData() if metadata is None else metadata
        self.tables = build_tables(self.metadata, realm=realm, users=model.users)
        self._feature_tables = _feature_tables(self.metadata, features)
        signing = Signing(secret_keys, realm=realm, clock=clock)
        self.events = EventBus(seam)
        self._limits = limits = Limits(
            LocalLimits() if read_only else SqlLimits(seam, self.tables.limit),
            mac=partial(signing.mac, "limits"),
            clock=clock,
        )
        self.sessions = Sessions(seam, self.tables, signing, policy, self.events, clock=clock)
        self._feature_tables += getattr(self.sessions.store, "tables", ())
        password_policy = passwords or PasswordPolicy(validators=recommended_validators(words=site_words(base_url)))
        check_cost(password_policy)
        self._shared_with_django = shared_with_django
        self.passwords = Passwords(password_policy, shared=shared_with_django is True)
        self.users = Users(
            seam,
            self.tables,
            model,
            self.passwords,
            sessions=self.sessions,
            events=self.events,
            locate=lambda perm, obj: self.permissions.locate(perm, obj),  # noqa: PLW0108  they are built below
            clock=clock,
        )
        accounts = Accounts(self.users)
        self.permissions = Permissions(
            seam,
            self.tables,
            self.users,
            self.events,
            permissions=permissions,
            resources=resources,
            rules=rules,
            clock=clock,
        )
        self.groups = Groups(seam, self.tables, self.users, self.permissions, self.events, clock=clock)
        core = Core(
            users=self.users,
            groups=self.groups,
            permissions=self.permissions,
            sessions=self.sessions,
            passwords=self.passwords,
            accounts=accounts,
            events=self.events,
            signing=signing,
            limits=limits,
            db=seam,
            tables=self.tables,
            clock=clock,
        )
        given = Contribution(
            backends=[PasswordBackend()] if backends is None else backends,
            actions=[
                *CoreActions(accounts, self.sessions).all(),
                StrengthMeter(self.passwords, limits).action(),
                Explain(self.users, self.permissions).action(),
            ],
        )
        parts = [given, *(feature.install(core) for feature in features)]
        for kind, listener in _all(parts, "listeners"):
            self.events.on(kind, listener)
        self.passwords.validators.extend(_all(parts, "password_validators"))
        bound = [_bound(backend, self.users) for backend in _all(parts, "backends")]
        self.permissions.ask(bound, _all(parts, "permission_sources"))
        login = Login(
            seam,
            self.tables,
            self.sessions,
            self.events,
            backends=bound,
            guards=_all(parts, "login_guards"),
            steps=_all(parts, "login_steps"),
            users=self.users,
            model=model,
            passwords=self.passwords,
            clock=clock,
        )
        self._jobs = [
            Job("purge expired sessions", _PURGE_EVERY, self.sessions.purge_expired),
            Job("purge expired pending logins", _PURGE_EVERY, login.pending.purge_expired),
            Job("purge expired limits", _PURGE_EVERY, limits.purge_expired),
            Job("purge what Django has deleted", _PURGE_EVERY, self._purge_orphans),
            *_all(parts, "jobs"),
        ]
        self._runs_jobs = jobs == "lifespan"
        self.texts = Languages(texts)
        self._look = Look()
        origin, remote_user = origin_of(base_url), remote_user_of(bound)
        speaker = Speaker(
            database=seam,
            login=login,
            permissions=self.permissions,
            groups=self.groups,
            sessions=self.sessions,
            events=self.events,
            authenticators=_all(parts, "authenticators"),
            cookies=CookieJar.of(policy, secure=secure, realm=realm),
            csrf=Csrf(signing, origin, trusted_origins),
            proxies=TrustedProxies(trusted_proxies, believed=remote_user is not None),
            remote_user=remote_user,
            origin=origin,
            login_url=login_url,
            login_redirect_url=login_redirect_url,
            skip=tuple(skip),
            clock=clock,
            texts=self.texts,
            locale=locale,
            look=self._look,
        )
        self._logout_redirect_url = logout_redirect_url
        self.middleware = [Middleware(AuthMiddleware, speaker)]
        self.exception_handlers = dict(exception_handlers)
        self.actions = _all(parts, "actions")
        self.commands = _all(parts, "commands")
        self.checks = _all(parts, "checks")
        self.feature_routes = _all(parts, "routes")
        self.json_routes = [*json_routes(self.actions), *self.feature_routes]
        check_routes(self.json_routes)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """From `ASGIAUTH_DATABASE_URL`, `ASGIAUTH_SECRET_KEYS` (comma separated, newest first) and
        `ASGIAUTH_BASE_URL`; keyword arguments are those of `Auth` and come first."""
        settings: dict[str, Any] = {
            "database": overrides.pop("database", None) or env("ASGIAUTH_DATABASE_URL"),
            "secret_keys": overrides.pop("secret_keys", None)
            or [key.strip() for key in env("ASGIAUTH_SECRET_KEYS").split(",")],
            "base_url": overrides.pop("base_url", None) or env("ASGIAUTH_BASE_URL"),
        }
        return cls(**settings, **overrides)

    async def __aenter__(self) -> Self:
        """Connects, for scripts, tests and mounted applications; may be entered again inside."""
        async with self._entering:
            if self._entered == 0:
                await self._database.connect()
                try:
                    await self._look_for_django()
                except BaseException:
                    await self._database.disconnect()
                    raise
            self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with self._entering:
            self._entered -= 1
            if self._entered == 0:
                await self._database.disconnect()

    async def _look_for_django(self) -> None:
        """Django changes what users may do without telling: there, no set of permissions is kept. And it stores
        passwords in a way of its own."""
        setting = self._shared_with_django
        shared = await has_table(self._database, MIGRATIONS) if setting is None else setting
        self.passwords.beside_django(shared)
        self._database.shared_with_django, self.permissions.keeps = shared, not shared

    async def _purge_orphans(self) -> int:
        return await purge_orphans(self._database, [*self.tables.all(), *self._feature_tables])

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Connects, and runs the jobs unless `jobs` says otherwise. `Starlette(lifespan=auth.lifespan)`; or inside your
        own: `async with auth.lifespan(app): yield`."""
        check_order(getattr(app, "user_middleware", ()))
        async with self, running(self._jobs if self._runs_jobs and not self._database.read_only else ()):
            yield

    def html_routes(self, templates: Templates | None = None) -> list[BaseRoute]:
        """The pages: `Mount("/auth", routes=auth.html_routes())`, where `login_url` says. With `templates` those of the
        application come before ours. From then on a browser that goes to a page gets what the middleware itself refuses
        as a page too, and through `auth.exception_handlers` what a guard refuses a user. Raises `MissingDependency`
        without Jinja."""
        shown = self.templates() if templates is None else templates
        if not isinstance(shown, Templates):
            raise ConfigurationError('html_routes() takes the templates that auth.templates("directory") makes')
        face = Face(shown, self.passwords, self.texts, self._logout_redirect_url)
        self._look.error_page = face.error_page
        return [*html_routes(self.actions, face), *self.feature_routes]

    def templates(self, *directories: str | os.PathLike[str]) -> Templates:
        """Jinja templates of the application, `await templates.render(request, "page.html", {...})`, with `user`,
        `perms` and `csrf_input()` in each."""
        return Templates(directories, self.passwords.describe)

    @property
    def context_processor(self) -> Callable[[Request], dict[str, Any]]:
        """For Starlette's own `Jinja2Templates("templates", context_processors=[auth.context_processor])`. From then on
        guards look up what the user may do, for `perms`."""
        self._look.shows_perms = True
        return context_processor

    async def create_tables(self) -> None:
        """Creates the tables that are missing, and changes none that exist; then declares the permissions. Run it while
        connected. On a database that Django uses too, asgiauth's tables lose their foreign keys to Django's."""
        self._database.check_writable()
        await self._look_for_django()
        await create_tables(self._database, self.metadata, [*self.tables.all(), *self._feature_tables])
        await self.permissions.sync()

    def joined(self, target: AsyncSession | AsyncConnection) -> AbstractAsyncContextManager[None]:
        """`async with auth.joined(session):` what this task does through `auth` then happens in your transaction, in
        savepoints: you commit or roll back. A session is flushed first."""
        return self._database.joined(target)


def _feature_tables(metadata: MetaData, features: Sequence[Feature]) -> list[Table]:
    names = [feature.name for feature in features]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"a feature is listed twice: {', '.join(names)}")
    before = set(metadata.tables)
    for feature in features:
        try:
            feature.tables(metadata)
        except InvalidRequestError as error:
            raise ConfigurationError(
                f"the feature {feature.name!r} defines a table that is there already: {error}"
            ) from None
    return [table for name, table in metadata.tables.items() if name not in before]


def _all(parts: Sequence[Contribution], what: str) -> list[Any]:
    return [one for part in parts for one in getattr(part, what)]


def _bound(backend: Backend, users: Users[Any]) -> Backend:
    bind = getattr(backend, "bound_to", None)
    bound: Backend = bind(users) if bind is not None else backend
    return bound

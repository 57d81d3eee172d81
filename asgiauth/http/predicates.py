"""Questions about who asks, joined with `&`, `|` and `~`. They know nothing about answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from ..exceptions import ConfigurationError
from ..permissions.declaration import split
from .loaders import check_loader
from .request_auth import RequestAuth

__all__ = [
    "Predicate",
    "Refusal",
    "all_of",
    "auth_of",
    "authenticated",
    "group",
    "is_authenticated",
    "perm",
    "recent_login",
    "staff",
    "superuser",
    "test",
]

Refusal = Literal["permission_denied", "recent_login_required", "unknown_permission", "not_found"]
"""Why not. The second is only given where a fresh login alone would change the answer; the third where nobody knows the
permission, the fourth where the object is missing: neither yes nor no, so that `~` turns neither into a yes."""


@dataclass(frozen=True)
class Predicate:
    """One question, which a guard asks: `requires(staff | test(is_editor))`.

    `refusal` answers None for yes; `text` is how it is written. Python's `and`, `or` and `not` would lose a part
    without a word, so they raise `ConfigurationError`.
    """

    text: str
    refusal: Callable[[HTTPConnection], Awaitable[Refusal | None]]
    is_joined: bool = field(default=False, repr=False)
    """By `&`: it needs brackets in front of which a `~` is to stand."""
    looks_for_object: bool = field(default=False, repr=False)
    """Whether the answer may be that there is no such thing."""

    async def holds(self, connection: HTTPConnection) -> bool:
        """Asked afresh each time. Raises `ConfigurationError` without the middleware."""
        return await self.refusal(connection) is None

    def __and__(self, other: Predicate) -> Predicate:
        return _all(self, _checked(other))

    def __or__(self, other: Predicate) -> Predicate:
        return _any(self, _checked(other))

    def __invert__(self) -> Predicate:
        async def refusal(connection: HTTPConnection) -> Refusal | None:
            refused = await self.refusal(connection)
            if refused in _NEITHER:  # its contrary is not known either
                return refused
            return "permission_denied" if refused is None else None

        text = f"({self.text})" if self.is_joined else self.text
        return Predicate(f"~{text}", refusal, looks_for_object=self.looks_for_object)

    def __bool__(self) -> NoReturn:
        raise ConfigurationError(f"{self.text} has no truth of its own: join predicates with &, | and ~")

    def __repr__(self) -> str:
        return self.text


def all_of(*predicates: Predicate) -> Predicate:
    """Every one of them holds; asked in order, until one does not. Raises `ConfigurationError` for what is none."""
    if not predicates:
        raise ConfigurationError("a guard needs a predicate, such as requires(authenticated)")
    first, *others = map(_checked, predicates)
    for other in others:
        first = _all(first, other)
    return first


def _all(left: Predicate, right: Predicate) -> Predicate:
    async def refusal(connection: HTTPConnection) -> Refusal | None:
        refused = await left.refusal(connection)
        if refused not in (None, "recent_login_required"):
            return refused
        return await right.refusal(connection) or refused

    looks = left.looks_for_object or right.looks_for_object
    return Predicate(f"{left.text} & {right.text}", refusal, is_joined=True, looks_for_object=looks)


def _any(left: Predicate, right: Predicate) -> Predicate:
    async def refusal(connection: HTTPConnection) -> Refusal | None:
        refused = await left.refusal(connection)
        if refused == "not_found" or (refused is None and not right.looks_for_object):
            return refused
        other = await right.refusal(connection)
        if other == "not_found":  # the view behind the guard relies on the object, whoever is let in
            return other
        return None if refused is None or other is None else max(refused, other, key=_RANK.index)

    looks = left.looks_for_object or right.looks_for_object
    return Predicate(f"({left.text} | {right.text})", refusal, looks_for_object=looks)


_NEITHER: Sequence[Refusal | None] = ("unknown_permission", "not_found")
_RANK: Sequence[Refusal] = ("permission_denied", "recent_login_required", "unknown_permission")
"""Of two refusals, either of which would have to go, the last one is told: a login can be had, and what nobody knows
must not look like a no."""


def _checked(predicate: object) -> Predicate:
    if isinstance(predicate, Predicate):
        return predicate
    raise ConfigurationError(
        f"{predicate!r} is no predicate: use authenticated, staff, superuser, perm('blog.add_post'), group('editors'), "
        "recent_login(minutes=5), or test(function) for a function of your own"
    )


def auth_of(connection: HTTPConnection) -> RequestAuth[Any]:
    """Raises `ConfigurationError` without the middleware."""
    auth = connection.scope.get("auth")
    if not isinstance(auth, RequestAuth):
        raise ConfigurationError(
            "a guard needs the middleware, add auth.middleware: Starlette(middleware=auth.middleware)"
        )
    return auth


def is_authenticated(connection: HTTPConnection) -> bool:
    return "authenticated" in auth_of(connection).scopes


def _flagged(text: str, asked: Callable[[Any], bool]) -> Predicate:
    async def refusal(connection: HTTPConnection) -> Refusal | None:
        return None if is_authenticated(connection) and asked(connection.scope["user"]) else "permission_denied"

    return Predicate(text, refusal)


authenticated = _flagged("authenticated", lambda user: True)
"""Somebody is logged in."""
staff = _flagged("staff", lambda user: user.is_active and user.is_staff)
"""An active user with `is_staff` (A10.5)."""
superuser = _flagged("superuser", lambda user: user.is_active and user.is_superuser)
"""An active user with `is_superuser`."""


def perm(name: str, *names: str, obj: Callable[[Any], Any] | None = None) -> Predicate:
    """The user may do all of that: `perm("blog.add_post")`. The anonymous user is asked about too (A10.2). What is
    neither declared nor stored is refused, also behind `~`, but to superusers.

    With `obj`, that is asked about one object: `posts_resource.from_path("id")`, or a function of the connection,
    async, or not and then run in a worker thread, that gives it or None where there is none. That is 404 for a user,
    beside `|` too, whoever else may get in; a visitor who is not logged in is not told. Only `&` does not look where it
    has refused before. The function may keep the object for the view: `connection.state.post = post`. Raises
    `ConfigurationError` for what is no name of a permission, and for what is no such function.
    """
    for one in (name, *names):
        if not isinstance(one, str) or not all(split(one)):
            raise ConfigurationError(f"perm({one!r}): write 'app.codename', such as perm('blog.add_post')")
    if obj is not None:
        check_loader(f"perm({name!r}, obj={_name(obj)})", obj)

    async def refusal(connection: HTTPConnection) -> Refusal | None:
        auth = auth_of(connection)
        about = None
        if obj is not None:
            about = await _asked(obj, connection)
            if about is None:
                return "not_found"
        if await auth.has_perms((name, *names), about):
            return None
        known = [await auth._knows_perm(one) for one in (name, *names)]
        return "permission_denied" if all(known) else "unknown_permission"

    shown = [repr(one) for one in (name, *names)] + ([] if obj is None else [f"obj={_name(obj)}"])
    return Predicate(f"perm({', '.join(shown)})", refusal, looks_for_object=obj is not None)


def group(name: str, *names: str) -> Predicate:
    """An active user who is in one of these groups, asked once in a request. Superusers are in those alone that they
    were put into: to let in whoever may do something, ask for that, with `perm`."""
    wanted = {name, *names}
    if not all(isinstance(one, str) and one for one in wanted):
        raise ConfigurationError(f"group{(name, *names)!r}: give names of groups, such as group('editors')")

    async def refusal(connection: HTTPConnection) -> Refusal | None:
        return None if wanted & await auth_of(connection)._group_names() else "permission_denied"

    return Predicate(f"group({', '.join(map(repr, (name, *names)))})", refusal)


def recent_login(*, hours: float = 0, minutes: float = 0, seconds: float = 0) -> Predicate:
    """The login of this session is younger than that, by the `Auth`'s clock; for what a found open browser must not do.

    Never without a session, as with an API token, nor in one that a Django site has opened. Raises `ConfigurationError`
    for no time at all.
    """
    span = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if span <= timedelta(0):
        raise ConfigurationError("recent_login needs a span of time, such as recent_login(minutes=5)")

    async def refusal(connection: HTTPConnection) -> Refusal | None:
        auth = auth_of(connection)
        if not is_authenticated(connection):
            return "permission_denied"
        session = auth.session
        since = session.authenticated_at if session is not None else None
        if since is not None and auth._speaker.clock() - since < span:
            return None
        return "recent_login_required"

    return Predicate(f"recent_login({span})", refusal)


def test(function: Callable[[Any], Any]) -> Predicate:
    """A question of your own, `function(user)`: async, or not and then asked in a worker thread (A10.3). The anonymous
    user is asked about too."""

    async def refusal(connection: HTTPConnection) -> Refusal | None:
        auth_of(connection)
        user = connection.scope["user"]
        return None if await _asked(function, user) else "permission_denied"

    return Predicate(f"test({_name(function)})", refusal)


test.__test__ = False  # type: ignore[attr-defined]  # imported into a test module it is no test


async def _asked(function: Callable[[Any], Any], about: Any) -> Any:
    """A function of the application, async or not."""
    answer = function(about) if inspect.iscoroutinefunction(function) else await run_in_threadpool(function, about)
    return await answer if inspect.isawaitable(answer) else answer  # of a lambda too, which would be true in itself


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))

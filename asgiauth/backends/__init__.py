"""Who are you? Credentials in, a user out."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self

from ..users import User, Users, UserT
from .remote_user import AllowAllUsersRemoteUserBackend, RemoteUserBackend
from .remote_user import remote_user_of as remote_user_of

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

__all__ = [
    "AllowAllUsersPasswordBackend",
    "AllowAllUsersRemoteUserBackend",
    "Authenticator",
    "Backend",
    "Identity",
    "PasswordBackend",
    "RemoteUserBackend",
]


class Backend(Protocol):
    """Turns credentials into a user. It is called when the keywords of `authenticate(...)` bind to its signature
    (Django row A6.1); `connection` is the request, or None outside of one.

    `name` is kept in the session: a backend that is no longer configured logs its users out. An optional method
    `may_log_in(user) -> bool`, by default `user.is_active`, is asked at login and on every request. An optional
    attribute `proves_password = True` says that whoever it knows has given the password that is stored here, and not a
    directory's: only then a login may ask for a new one.
    """

    name: str

    @property
    def authenticate(self) -> Callable[..., Awaitable[User | None]]:
        """`async def authenticate(self, connection, *, username, password) -> User | None`, your own keywords."""


class PasswordBackend(Generic[UserT]):
    """A user name or e-mail address, and a password. Wrong, unknown, inactive and without a password all cost the same
    work (D-20)."""

    name = "password"
    proves_password = True
    _users: Users[UserT]

    def bound_to(self, users: Users[UserT]) -> Self:
        """`Auth` calls this: a backend is listed before the users exist."""
        bound = copy.copy(self)
        bound._users = users
        return bound

    async def authenticate(self, connection: Any, *, username: str, password: str) -> UserT | None:
        user = await self._users.verified(await self._users.find(username), password)
        return user if user is not None and self.may_log_in(user) else None

    def may_log_in(self, user: User) -> bool:
        return user.is_active


class AllowAllUsersPasswordBackend(PasswordBackend[UserT]):
    """Lets inactive users in, too (Django row A6.11): for a site where `is_active` says something else."""

    def may_log_in(self, user: User) -> bool:
        return True


@dataclass(frozen=True)
class Identity:
    """Who a request comes from, known without a session. `scopes` are what the credentials allow. `ambient` ones are
    sent by the browser or a proxy without anybody's doing, such as a header of a proxy, and so need protection from
    requests that other sites cause (D-18)."""

    user: User
    method: str
    scopes: frozenset[str] = frozenset()
    ambient: bool = False


class Authenticator(Protocol):
    """Knows a request by what it carries, such as a bearer token. Asked on every request that has no session of a user;
    the first one with an answer counts. An optional attribute `challenge` is what a 401 then says in `WWW-Authenticate`
    to clients that are no browsers, beside what is there."""

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        """None: not mine to say. A user who is not active is nobody, whatever is answered. May raise `Unavailable` and
        `TooManyAttempts`, which are answered 503 and 429. `connection.auth` is there, with nobody in it."""

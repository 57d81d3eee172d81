"""Who does the proxy in front of the site say it is?"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Self

from ..exceptions import ConfigurationError, InvalidField, UserExists
from ..users import User, Users, UserT

__all__ = ["AllowAllUsersRemoteUserBackend", "RemoteUserBackend", "remote_user_of"]

logger = logging.getLogger("asgiauth")


class RemoteUserBackend(Generic[UserT]):
    """Logs in whom a proxy names in a header, having checked who it is (Django rows A6.12, A9.4).

    `Auth(backends=[RemoteUserBackend(), ...], trusted_proxies=["10.0.0.7"])`: the header counts only on connections
    that such a proxy opens (D-34), and the proxy must take away what clients send under that name.

    `create_unknown_user`: whoever is named gets an account, without a password. `persistent`: who is logged in stays so
    where the header is missing, as when only one page is behind the proxy's login (A9.5). `clean_username(name)` and
    `await configure_user(connection, user, created)` are what the methods of these names do, which a subclass may
    define instead. Raises `ConfigurationError` for what is no name of a header; one with `_` is none, because some
    servers take it for the one with `-` (V-014).
    """

    name = "remote_user"
    _users: Users[UserT]

    def __init__(
        self,
        header: str = "Remote-User",
        *,
        create_unknown_user: bool = True,
        persistent: bool = False,
        clean_username: Callable[[str], str] | None = None,
        configure_user: Callable[[Any, UserT, bool], Awaitable[UserT]] | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", header):
            raise ConfigurationError(f"RemoteUserBackend({header!r}): use letters, digits and -, as in Remote-User")
        self.header = header
        self.create_unknown_user = create_unknown_user
        self.persistent = persistent
        self._clean_username = clean_username
        self._configure_user = configure_user

    def bound_to(self, users: Users[UserT]) -> Self:
        """`Auth` calls this: a backend is listed before the users exist."""
        bound = copy.copy(self)
        bound._users = users
        return bound

    async def authenticate(self, connection: Any, *, remote_user: str) -> UserT | None:
        """The user of exactly this name, as in Django: neither another spelling nor an e-mail address will do, which
        may be somebody else's at the proxy."""
        name = self.clean_username(remote_user)
        user, created = (await self.named(name), False) if name else (None, False)
        if name and user is None and self.create_unknown_user:
            user, created = await self._get_or_create(name)
        if user is None:
            return None
        user = await self.configure_user(connection, user, created)
        return user if self.may_log_in(user) else None

    def clean_username(self, username: str) -> str:
        """From what the header says to the name of the user; blank for nobody. Called on every request, so it only
        computes: `ann@EXAMPLE.COM` to `ann`."""
        return self._clean_username(username) if self._clean_username is not None else username

    async def configure_user(self, connection: Any, user: UserT, created: bool) -> UserT:
        """Called at every login; returns the user as it then is. For what the proxy tells besides: groups, a mail
        address."""
        return user if self._configure_user is None else await self._configure_user(connection, user, created)

    def may_log_in(self, user: User) -> bool:
        return user.is_active

    async def named(self, name: str) -> UserT | None:
        """The user of a name that is clean."""
        return await self._users.get_by(username=name)

    async def _get_or_create(self, name: str) -> tuple[UserT | None, bool]:
        try:
            return await self._users.create(name, email=name if "@" in name else None), True
        except UserExists as error:
            found = await self.named(name)  # of many first requests one creates the user
            if found is None:
                logger.warning("the proxy names a user whose %s somebody else has, in another spelling", error.field)
            return found, False
        except InvalidField as error:
            logger.warning("the proxy names a user that cannot be created: %s %s", error.field, error.code)
            return None, False


class AllowAllUsersRemoteUserBackend(RemoteUserBackend[UserT]):
    """Lets inactive users in, too (Django row A6.13)."""

    def may_log_in(self, user: User) -> bool:
        return True


def remote_user_of(backends: Sequence[object]) -> RemoteUserBackend[Any] | None:
    """The one among them. Raises `ConfigurationError` for two, which could name two users in one request."""
    found = [backend for backend in backends if isinstance(backend, RemoteUserBackend)]
    if len(found) > 1:
        raise ConfigurationError("two backends read a proxy's header: keep one RemoteUserBackend")
    return found[0] if found else None

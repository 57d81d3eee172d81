"""Who are they? Guards, then backends, until one knows them; and how long a no takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Generic, TypeVar

from .attempt import LoginAttempt, LoginGuard, LoginStep, masked
from .backends import Backend
from .events import EventBus, LoginFailed
from .exceptions import ConfigurationError, PermissionDenied
from .pace import Pace
from .passwords import BreachedPasswordValidator, Passwords
from .users import User, UserT

__all__ = ["Authentication", "named"]

_MAX_NAME = 100


class Authentication(Generic[UserT]):
    """Credentials in, a user out, and the name of the backend that knew them."""

    def __init__(
        self,
        events: EventBus,
        *,
        backends: Sequence[Backend],
        guards: Sequence[LoginGuard],
        user_class: type[UserT],
        passwords: Passwords,
        clock: Callable[[], datetime],
    ) -> None:
        if not backends:
            raise ConfigurationError("no backends are configured: leave `backends` out for passwords")
        self.backends: Mapping[str, Backend] = named(backends, "backends")
        self._guards = guards
        self._events = events
        self._user_class = user_class
        self._clock = clock
        self._pace = Pace(passwords.policy.failure_deadline)
        self._breaches = next(
            (
                one
                for one in passwords.validators
                if isinstance(one, BreachedPasswordValidator) and one.on_login != "off"
            ),
            None,
        )

    async def authenticate(
        self,
        connection: Any,
        credentials: Mapping[str, Any],
        address: str = "",
        device: str = "",
        *,
        paced: bool = True,
    ) -> tuple[UserT, str] | None:
        """The user, and the name of the backend that knew them. One who may not log in is nobody. Raises what a guard
        raises to refuse. Not `paced` is what no stranger can try: there is nothing to learn from how long it takes."""
        began = monotonic()
        attempt = LoginAttempt(credentials=masked(credentials), address=address, device=device)
        for guard in self._guards:
            await guard.admit(attempt)
        try:
            known = await self._ask_backends(connection, credentials)
        except PermissionDenied:
            known = None
        if known is None:
            await self._events.publish(
                LoginFailed(at=self._clock(), credentials=attempt.credentials, address=address, device=device)
            )
            if paced:
                await self._pace.hold_back(began)
        elif paced:
            self._pace.note(began)
        return known

    async def _ask_backends(self, connection: Any, credentials: Mapping[str, Any]) -> tuple[UserT, str] | None:
        for name, backend in self.backends.items():
            try:
                inspect.signature(backend.authenticate).bind(connection, **credentials)
            except TypeError:
                continue
            user = await backend.authenticate(connection, **credentials)
            if user is not None and self.may_log_in(user, name):
                return self.checked(user), name
        return None

    def may_log_in(self, user: User, backend: str) -> bool:
        asked = getattr(self.backends[backend], "may_log_in", None)
        return bool(asked(user)) if asked is not None else user.is_active

    def backend_for(self, name: str | None) -> str:
        """Raises `ConfigurationError` for an unknown name, and for no name where several backends are configured
        (Django row A7.2)."""
        if name is None and len(self.backends) == 1:
            (name,) = self.backends
        if name is None:
            raise ConfigurationError(
                "several backends are configured: say which one knew the user, login(user, backend=...) with one of "
                + ", ".join(self.backends)
            )
        if not isinstance(name, str):
            raise TypeError(f"backend is the name of a backend, not {type(name).__name__}")
        if name not in self.backends:
            raise ConfigurationError(f"no backend is named {name!r}; configured are {', '.join(self.backends)}")
        return name

    async def breaches_of(self, credentials: Mapping[str, Any]) -> int:
        """How often the password, with which somebody was just let in, is known from breaches; 0 where the policy does
        not ask at a login, and where nobody can tell now."""
        password = credentials.get("password")
        return await self._breaches.count(password) if self._breaches and isinstance(password, str) else 0

    def checked(self, user: User) -> UserT:
        if not isinstance(user, self._user_class):
            raise TypeError(f"a {self._user_class.__name__} is needed, not {type(user).__name__}")
        return user


N = TypeVar("N", Backend, LoginStep)


def named(things: Sequence[N], what: str) -> dict[str, N]:
    """By name. A name is kept in the session, and so is as long as its column."""
    named: dict[str, N] = {}
    for thing in things:
        name = getattr(thing, "name", None)
        if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME:
            raise ConfigurationError(f"{type(thing).__name__} needs a name of 1 to {_MAX_NAME} characters")
        if name in named:
            raise ConfigurationError(f"two {what} are named {name!r}: give one another name")
        named[name] = thing
    return named

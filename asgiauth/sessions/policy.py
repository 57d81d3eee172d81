from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ..exceptions import ConfigurationError
from .sql import SqlSessionStore
from .store import SessionStore

__all__ = ["SessionCookie", "SessionPolicy"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class SessionCookie:
    """The session cookie: always HttpOnly, `Path=/` and without Domain. Over https it is also Secure, and its name gets
    the prefix `__Host-`, by which a browser refuses one that a neighbouring host has planted (D-12)."""

    name: str = "asgiauth"
    same_site: Literal["lax", "strict"] = "lax"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"SessionCookie(name={self.name!r}): use letters, digits, - and _")
        if self.name.endswith(("-pending", "-csrf")):
            raise ConfigurationError(f"SessionCookie(name={self.name!r}): another cookie of ours is called so")
        if self.same_site not in ("lax", "strict"):
            raise ConfigurationError(f"SessionCookie(same_site={self.same_site!r}): use 'lax' or 'strict'")


@dataclass(frozen=True)
class SessionPolicy:
    """How long a login lasts (D-11). `idle` is counted from the last request, `absolute` from the login and cannot be
    extended; `remember_...` hold for a login with `remember=True`, whose cookie outlives the browser. The last request
    is noted at most once per `touch_every`. `store` keeps the sessions, by default in the database. With `max_per_user`
    a login ends the user's sessions that were least recently used beyond that number."""

    idle: timedelta = timedelta(hours=24)
    absolute: timedelta = timedelta(days=7)
    remember_idle: timedelta = timedelta(days=14)
    remember_absolute: timedelta = timedelta(days=30)
    touch_every: timedelta = timedelta(seconds=60)
    cookie: SessionCookie = field(default_factory=SessionCookie)
    max_per_user: int | None = None
    store: SessionStore = field(default_factory=SqlSessionStore)

    def __post_init__(self) -> None:
        for name in ("idle", "absolute", "remember_idle", "remember_absolute"):
            if getattr(self, name) <= self.touch_every:
                raise ConfigurationError(f"SessionPolicy({name}=...) must be longer than touch_every")
        if isinstance(self.store, type):
            raise ConfigurationError(
                f"SessionPolicy(store={self.store.__name__}) is a class: write {self.store.__name__}(...)"
            )
        if self.max_per_user is not None and self.max_per_user < 1:
            raise ConfigurationError("SessionPolicy(max_per_user=...) is at least 1, or None for no limit")
        if self.max_per_user is not None and getattr(self.store, "is_shared", False):
            raise ConfigurationError(
                "SessionPolicy(max_per_user=...) cannot be kept to: Django has no index of sessions by user, so leave "
                "it out with this store"
            )

    def limits(self, *, remember: bool) -> tuple[timedelta, timedelta]:
        """Idle and absolute."""
        return (self.remember_idle, self.remember_absolute) if remember else (self.idle, self.absolute)

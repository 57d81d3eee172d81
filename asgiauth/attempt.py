"""What goes into a login, what may stand in its way, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NoReturn, Protocol

from .sessions import SessionRecord
from .sessions.pending import PendingRecord
from .sessions.record import SessionChanges
from .users import User, UserT

__all__ = [
    "LoginAttempt",
    "LoginGuard",
    "LoginStep",
    "Opened",
    "PendingLogin",
    "RequiredStep",
    "Resumed",
    "Visit",
    "masked",
]

_MASKED = "*" * 20
_SECRETS = ("api", "token", "key", "secret", "password", "signature", "otp", "code", "pin")
"""Parts of names whose values are masked: Django's (row A6.5), and the three that it forgets."""


@dataclass(frozen=True, kw_only=True)
class LoginAttempt:
    """Somebody wants in. `credentials` are those of `authenticate()`, the secret ones masked; none are known to a step.
    `address` and `device` say where from; `backend` and `method` are only known once the credentials were right."""

    credentials: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""
    device: str = ""
    backend: str = ""
    method: str = ""
    remember: bool = False


class LoginGuard(Protocol):
    """May refuse before anyone looks at the credentials."""

    async def admit(self, attempt: LoginAttempt) -> None:
        """Raises `LoginRefused`, or `TooManyAttempts`, to refuse."""


class LoginStep(Protocol):
    """Something more to prove than the first proof. Steps of one `requirement` are alternatives: one of them will do.
    `path` is its page, relative to where the login page is."""

    name: str
    requirement: str
    path: str

    async def applies_to(self, user: User, attempt: LoginAttempt) -> bool:
        """Whether this user, in this attempt, can take the step: for each requirement with such a step, one has to be
        passed."""


@dataclass(frozen=True)
class RequiredStep:
    """A step that a pending login may take next."""

    name: str
    requirement: str
    path: str


@dataclass(frozen=True, kw_only=True)
class PendingLogin(Generic[UserT]):
    """A login that waits for a step: who it would be, which steps are open, what was proved so far. Nobody is logged in
    by it."""

    user: UserT
    steps: tuple[RequiredStep, ...]
    methods: tuple[str, ...]
    remember: bool
    tries: int
    expires_at: datetime
    record: PendingRecord = field(repr=False)


@dataclass(frozen=True)
class Resumed(Generic[UserT]):
    """A live session, and its user: None for an anonymous visitor's."""

    user: UserT | None
    key: bytes
    record: SessionRecord
    permission_version: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a login replaces and where it comes from: the session of the request, what the request has changed in its
    data, and the pending login that it completes."""

    key: bytes | None = None
    record: SessionRecord | None = None
    changes: SessionChanges = field(default_factory=lambda: SessionChanges({}))
    pending: PendingRecord | None = None
    address: str = ""
    device: str = ""


class Opened(Generic[UserT]):
    """A new session. `token` exists here and in the browser's cookie, and nowhere else: not in a repr nor a copy."""

    __slots__ = ("record", "token", "user")

    def __init__(self, user: UserT, token: str, record: SessionRecord) -> None:
        self.user = user
        self.token = token
        self.record = record

    def __repr__(self) -> str:
        return f"Opened({self.user!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a new session cannot be copied: it holds its token")


def masked(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """The same without its secrets, for guards and events."""
    return {
        name: _MASKED
        if any(part in str(name).lower() for part in _SECRETS)
        else masked(value)
        if isinstance(value, Mapping)
        else value
        for name, value in credentials.items()
    }

"""Every error that asgiauth raises on purpose, in one tree. None of them knows HTTP; the number is what
`auth.exception_handlers` answers when an application's own view lets one escape.

AsgiAuthError
├── ConfigurationError              wrong set-up; raised when `Auth(...)` is built or a command starts
│   ├── MissingDependency           an extra is not installed
│   └── NotReady              503   the database is not connected, refuses us, or lacks our tables
├── LoginRefused              401   this user may not log in
│   └── TooManyAttempts       429   not now: `retry_after` seconds later
├── PermissionDenied          403   credentials or wish are understood, and the answer is no
├── PasswordRejected          422   the password breaks the policy
├── InvalidField              422   a value does not fit its field
├── UserExists                409   a login identifier is taken
├── GroupExists               409   another group has this name
├── NotFound                  404   the row is not there (any more)
├── UnknownPermission               a permission that is neither declared nor stored was to be granted
├── NotExpressible                  a source of permissions decides on objects in Python alone
├── InvalidToken              400   a signed value is forged, damaged or meant for something else
│   └── TokenExpired                it was genuine, and is too old
├── SessionClosed                   the response had already begun
├── SessionTooLarge                 more data than a session may hold
├── Conflict                        the database refused a row: `kind` and `constraint` say which rule
└── Unavailable               503   the database (or the hashing queue) cannot answer now; nothing was changed
    └── ReadOnly              503   this would write, and `Auth(read_only=True)` only reads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "AsgiAuthError",
    "ConfigurationError",
    "Conflict",
    "ConflictKind",
    "GroupExists",
    "InvalidField",
    "InvalidToken",
    "LoginRefused",
    "MissingDependency",
    "NotExpressible",
    "NotFound",
    "NotReady",
    "PasswordRejected",
    "PermissionDenied",
    "ReadOnly",
    "Reason",
    "SessionClosed",
    "SessionTooLarge",
    "TokenExpired",
    "TooManyAttempts",
    "Unavailable",
    "UnknownPermission",
    "UserExists",
]

ConflictKind = Literal["unique", "foreign_key", "not_null", "check", "other"]


class AsgiAuthError(Exception):
    """Catch this to catch everything that asgiauth raises on purpose."""


class ConfigurationError(AsgiAuthError):
    """The application is set up wrongly; the message says what to change."""


class MissingDependency(ConfigurationError):
    """An optional package is needed; the message holds the `pip install` line."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Run: pip install "asgiauth[{extra}]"')


class NotReady(ConfigurationError):
    """The database is not connected yet, refuses us, or lacks our tables; the message says how to mend it."""


class LoginRefused(AsgiAuthError):
    """The credentials may be right, but this user may not log in (inactive, or deleted meanwhile)."""


class TooManyAttempts(LoginRefused):
    """Too many tries: `retry_after` is in seconds, for the `Retry-After` header."""

    def __init__(self, message: str = "too many attempts", *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermissionDenied(AsgiAuthError):
    """No. Raised by a backend's `authenticate`, no later backend is asked (Django row A6.3)."""


@dataclass(frozen=True)
class Reason:
    """Why a password was rejected: a stable code, and the numbers that belong to it."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


class PasswordRejected(AsgiAuthError):
    """The password breaks the policy. `reasons` lists every rule that it breaks, not only the first; `field` is the one
    that it was typed into."""

    def __init__(self, reasons: Sequence[Reason], *, field: str = "password") -> None:
        super().__init__("password rejected: " + ", ".join(reason.code for reason in reasons))
        self.reasons = tuple(reasons)
        self.field = field


class InvalidField(AsgiAuthError):
    """A value does not fit its field: `field`, a stable `code`, and `params`. The value itself is not repeated."""

    def __init__(self, field: str, code: str, params: Mapping[str, Any] | None = None) -> None:
        details = "".join(f", {name}={value!r}" for name, value in (params or {}).items())
        super().__init__(f"{field}: {code}{details}")
        self.field = field
        self.code = code
        self.params = dict(params or {})


class UserExists(AsgiAuthError):
    """Another user already has this login identifier; `field` says which one."""

    def __init__(self, field: str) -> None:
        super().__init__(f"another user has this {field}")
        self.field = field


class GroupExists(AsgiAuthError):
    """Another group already has this name."""

    def __init__(self) -> None:
        super().__init__("another group has this name")


class UnknownPermission(AsgiAuthError):
    """A permission of this `name` is neither declared nor stored."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"there is no permission {name!r}: declare it, Auth(permissions=[...]), and run `asgiauth syncpermissions` "
            "or `await auth.permissions.sync()`"
        )
        self.name = name


class NotExpressible(AsgiAuthError):
    """No SQL says what was asked: a source of permissions decides on objects in Python alone."""


class NotFound(AsgiAuthError):
    """The row that was to be changed does not exist."""


class InvalidToken(AsgiAuthError):
    """A signed value that this application did not sign for this purpose."""


class TokenExpired(InvalidToken):
    """A signed value that was genuine once, and is too old."""


class SessionClosed(AsgiAuthError):
    """The session was to change after the response had begun: its cookie can no longer be sent."""


class SessionTooLarge(AsgiAuthError):
    """The session's data is too large to be saved, and was not: `size` and `limit` are bytes of JSON."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the session's data is {size} bytes long, {limit} is the limit: keep large things elsewhere")
        self.size = size
        self.limit = limit


class Conflict(AsgiAuthError):
    """The database refused a row. `kind` names the rule, `constraint` the constraint or column where the server tells.

    The message never holds values: a driver's own message would quote the row.
    """

    def __init__(self, kind: ConflictKind, constraint: str = "") -> None:
        super().__init__(f"{kind} constraint violated" + (f": {constraint}" if constraint else ""))
        self.kind: ConflictKind = kind
        self.constraint = constraint


class Unavailable(AsgiAuthError):
    """Something that asgiauth depends on cannot answer now. Nothing was changed; trying again later is right.

    `retry_after` is in seconds, for the `Retry-After` header.
    """

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ReadOnly(Unavailable):
    """This would write, and `Auth(read_only=True)` only reads. Nothing was changed, and nothing was sent to the
    database; trying again is of no use."""

    def __init__(self) -> None:
        super().__init__(
            "Auth(read_only=True) only reads, and this would write: do it where an Auth may write, or leave read_only "
            "out"
        )

"""What can happen to an account, as frozen values; the bus that tells it.

A listener is awaited inside the unit of work that made the event true: an exception in it takes everything back. One
that is wrapped in `after_commit(...)` runs once it is durable, before the call returns, and its exceptions are logged.
What must survive a crash is a row that a listener writes, not a call that one makes afterwards.

    auth.events.on(UserCreated, welcome)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .db import Database, Unit

if TYPE_CHECKING:
    from .permissions import Ref
    from .sessions import SessionInfo
    from .users import Group, User

__all__ = [
    "AccessRefused",
    "Event",
    "EventBus",
    "GroupCreated",
    "GroupDeleted",
    "GroupMembersChanged",
    "GroupRenamed",
    "Listener",
    "LoginFailed",
    "PasswordBreached",
    "PasswordChanged",
    "PermissionGranted",
    "PermissionRevoked",
    "SessionRevoked",
    "SessionsRevoked",
    "UserCreated",
    "UserDeleted",
    "UserLoggedIn",
    "UserLoggedOut",
    "UserUpdated",
    "after_commit",
]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that has happened, `at` that time. It carries its facts: a listener has no request to read."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class UserCreated(Event):
    """A user was created."""

    user: User


@dataclass(frozen=True, kw_only=True)
class UserUpdated(Event):
    """The fields named in `changed` were set; `user` is as it then was."""

    user: User
    changed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UserDeleted(Event):
    """A user, as it was before, is gone."""

    user: User


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event):
    """A password was set, or made unusable. (A stronger hash of the same password is no event.)"""

    user: User


@dataclass(frozen=True, kw_only=True)
class PasswordBreached(Event):
    """A right password was typed that was seen `count` times in breaches, which the policy asks about at a login: told
    in the unit of work of that login, or of the wait for its next step."""

    user: User
    count: int


@dataclass(frozen=True, kw_only=True)
class UserLoggedIn(Event):
    """Every step has passed and a session is open. `session` says how, from where and until when."""

    user: User
    session: SessionInfo


@dataclass(frozen=True, kw_only=True)
class UserLoggedOut(Event):
    """Somebody has logged out (Django row A7.6)."""

    user: User
    session: SessionInfo


@dataclass(frozen=True, kw_only=True)
class LoginFailed(Event):
    """No backend knew these credentials, of which the secret ones are masked (Django row A6.5)."""

    credentials: Mapping[str, Any]
    address: str
    device: str


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Event):
    """One session was ended by its public id."""

    session_id: str


@dataclass(frozen=True, kw_only=True)
class SessionsRevoked(Event):
    """So many sessions of a user were ended at once."""

    user: User
    count: int


@dataclass(frozen=True, kw_only=True)
class GroupCreated(Event):
    """A group was created. What it was granted with it is told by a `PermissionGranted` each."""

    group: Group


@dataclass(frozen=True, kw_only=True)
class GroupRenamed(Event):
    """`group`, as it is called now, had another name before."""

    group: Group
    former_name: str


@dataclass(frozen=True, kw_only=True)
class GroupDeleted(Event):
    """A group, as it was before, is gone, with its memberships and grants."""

    group: Group


@dataclass(frozen=True, kw_only=True)
class GroupMembersChanged(Event):
    """A user was put into groups, or taken out: the ones where that was a change. `by` is the user who did it, where
    the caller told."""

    user: User
    added: tuple[Group, ...] = ()
    removed: tuple[Group, ...] = ()
    by: User | None


@dataclass(frozen=True, kw_only=True)
class PermissionGranted(Event):
    """A user or a group got a permission: everywhere or, where `obj` is not None, on that object. `by` is the user who
    granted it, where the caller told."""

    subject: User | Group
    perm: str
    obj: Ref | None
    by: User | None


@dataclass(frozen=True, kw_only=True)
class PermissionRevoked(Event):
    """The same, taken away."""

    subject: User | Group
    perm: str
    obj: Ref | None
    by: User | None


@dataclass(frozen=True, kw_only=True)
class AccessRefused(Event):
    """A guard let a known user not through: `guard` as it is written, such as `perm('blog.add_post')`, and the `path`
    without its query (ASVS 16.3.2). Anonymous visitors, who are asked to log in, are not told of; neither is what
    `has_perm` answers in a view."""

    user: User
    guard: str
    path: str


E = TypeVar("E", bound=Event)

Listener = Callable[[E], Awaitable[None]]


@dataclass(frozen=True)
class _AfterCommit(Generic[E]):
    listener: Listener[E]

    async def __call__(self, event: E) -> None:
        await self.listener(event)


def after_commit(listener: Listener[E]) -> Listener[E]:
    """The same listener, to be told once the event is durable."""
    return _AfterCommit(listener)


class EventBus:
    """`auth.events`: tells each listener of the events of its kind, and of the kinds derived from that, in the order in
    which they were added."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[tuple[type[Event], Listener[Any]]] = []

    def on(self, kind: type[E], listener: Listener[E]) -> None:
        """Adds an async listener; do it before the application starts."""
        self._listeners.append((kind, listener))

    async def publish(self, event: Event) -> None:
        """Tells `event`, in the unit of work that is open, or else in one of its own."""
        due = [listener for kind, listener in self._listeners if isinstance(event, kind)]
        if not due:
            return

        async def tell(unit: Unit) -> None:
            for listener in due:
                if isinstance(listener, _AfterCommit):
                    await self._database.after_commit(lambda listener=listener: listener(event))  # type: ignore[misc]
                else:
                    await listener(event)

        await self._database.within(tell)

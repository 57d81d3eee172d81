"""One question, `may this user do that (with this object)?`, and what each source answers to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .resources import Ref, Resource

__all__ = ["Answer", "Held", "Question"]


class Held:
    """What is known of one user, asked once in a request: a change is seen by the next one. Raises `TypeError` for what
    is no user."""

    def __init__(self, user: Any, version: tuple[int, int] | None = None) -> None:
        if not hasattr(user, "is_superuser"):
            raise TypeError(f"a user is a User or AnonymousUser(), not {type(user).__name__}: await auth.users.get(id)")
        self.user = user
        self.version = version
        self._known: dict[Any, frozenset[str]] = {}

    @property
    def is_super(self) -> bool:
        """An active superuser, who may do everything."""
        return bool(self.user.is_active and self.user.is_superuser)

    async def once(self, key: Any, ask: Callable[[], Awaitable[frozenset[str]]]) -> frozenset[str]:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = await ask()
        return known


@dataclass(frozen=True)
class Question:
    """`ref` is the object as far as it has a key, `resource` what it is one of; both None where `obj` is, and where the
    application has registered no resource for the permission."""

    held: Held
    perm: str
    obj: object | None = None
    resource: Resource | None = None
    ref: Ref | None = None

    @property
    def user(self) -> Any:
        return self.held.user


@dataclass(frozen=True)
class Answer:
    """What one source says: yes, no (final), or None for "not mine to say". `reasons` are for people: which grant,
    which group, which rule. Not `reached`: another one has decided before it would have been asked."""

    source: str
    allowed: bool | None
    reasons: tuple[str, ...] = field(default=())
    reached: bool = True

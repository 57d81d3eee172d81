from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Any, Protocol

from sqlalchemy import ColumnElement

__all__ = ["PermissionSource", "SomeSource", "is_source"]


class PermissionSource(Protocol):
    """Says what users may do, beside what the database grants: by `granted`, `allows`, or both. It is asked about
    anonymous and inactive users too (Django rows A3.4, A5.5); about an active superuser nobody is asked.

    Each method may be a plain function, too. An answer that is none of those written here is a `TypeError`. An optional
    attribute `name` is what `explain` calls it. Two further methods are what `allows` says in SQL: `where`, without
    which `permissions.where()` raises `NotExpressible`, and `excludes`, of the same form, the rows about which `allows`
    says a final no; None if it never does. Only the source that is asked last may leave it out: for others
    `permissions.where()` raises `NotExpressible`.
    """

    async def granted(self, user: Any) -> Collection[str]:
        """The permissions that it grants everywhere."""

    async def allows(self, user: Any, perm: str, obj: object | None) -> bool | None:
        """Yes, no (final: Django's `PermissionDenied`), or not mine to say. Raising `PermissionDenied` is a no."""

    async def where(self, user: Any, perm: str, t: Any) -> ColumnElement[bool] | None:
        """The rows of `t`, a table or an alias of it, to which `allows` says yes; None for none."""


class _Grants(Protocol):
    def granted(self, user: Any) -> Collection[str] | Awaitable[Collection[str]]:
        """As above."""


class _Decides(Protocol):
    def allows(self, user: Any, perm: str, obj: object | None) -> bool | Awaitable[bool | None] | None:
        """As above."""


SomeSource = _Grants | _Decides
"""As much of a `PermissionSource` as there has to be: for type checkers."""


def is_source(thing: object) -> bool:
    """Whether a backend takes part in permission checks, too, or is meant to."""
    return any(hasattr(thing, method) for method in ("granted", "allows", "where", "excludes"))

"""What the users must know of sessions, which live in a layer above."""

from __future__ import annotations

from typing import Any, Protocol

from ..db import Unit
from .user import User

__all__ = ["LiveSessions"]


class LiveSessions(Protocol):
    """What a change of a user does to sessions, inside of its unit of work."""

    async def restamp(self, unit: Unit, user_id: Any, old: str, new: str) -> None:
        """The stored hash was replaced by a stronger one of the same password."""

    async def outdate(self, unit: Unit, user_id: Any) -> None:
        """The password is another one."""

    async def end_all(self, unit: Unit, user_id: Any) -> None:
        """The user may not log in any more, or is gone."""

    async def bump_epoch(self, user: User) -> None:
        """A way to recover the account is another one."""

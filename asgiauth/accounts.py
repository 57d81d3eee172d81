"""How an account changes: validate, store, announce. No HTTP here."""

from __future__ import annotations

from typing import Generic

from .exceptions import InvalidField, NotFound, PasswordRejected, Reason
from .users import User, Users, UserT

__all__ = ["Accounts"]


class Accounts(Generic[UserT]):
    """What users may do to their own accounts: each time the proof is asked for, and only then something changes."""

    def __init__(self, users: Users[UserT]) -> None:
        self._users = users

    async def change_password(self, user: User, *, old_password: str, new_password: str) -> UserT:
        """Sets a new password for somebody who knows the old one. The session that does this stays, under a fresh id;
        all others end (ASVS 7.4.3).

        Raises `InvalidField("old_password", "incorrect")`, also when the password was changed by another request
        meanwhile, and `PasswordRejected`, for the old password too: a change that was asked for is none with it.
        """
        for _ in range(2):  # once more: a login beside this may have upgraded the hash of the same password
            known = await self._users.verified(await self._users.get(user.id), old_password)
            if known is None:
                break
            if new_password == old_password:
                raise PasswordRejected([Reason("password_reused", {"last": 1})])
            try:
                return await self._users.set_password(known, new_password, replacing=known.password)
            except NotFound:
                continue
        raise InvalidField("old_password", "incorrect")

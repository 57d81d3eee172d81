"""What a rule for new passwords is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

__all__ = ["NAMES", "PasswordValidator", "names_of"]

NAMES = ("username", "first_name", "last_name", "email")
"""The attributes of a user that a password is compared with, as Django's (row A16.2)."""


class PasswordValidator(Protocol):
    """Judges every new password; plain or async. A plain one runs in a thread: it may compute, or wait. Neither is
    asked about what could not be stored: more than 1,024 bytes, nothing, or lone surrogates (D-06, D-08).

    Optional, as with Django (row A16.5): `get_help_text(self) -> str | Reason`, the rule to show beside the field, as a
    sentence or as the code and numbers of a text `rule.<code>`; `password_changed(self, password, user)`, plain or
    async, told inside the unit of work that stores the new password. And `live`: whether it is asked while somebody
    types, too, for the meter beside the field; by default plain ones are, and async ones are not.
    """

    def validate(self, password: str, user: object) -> Awaitable[None] | None:
        """Raises `PasswordRejected` with its reasons; those of all validators are told at once.

        `user` is whose password it is to be: a `User`; before there is one, an object with the fields known so far; or
        None.
        """


def names_of(user: object) -> list[str]:
    """The names of a user that are there, as words and as the local part of a mail address."""
    names = [value for attribute in NAMES if isinstance(value := getattr(user, attribute, None), str) and value]
    return [*names, *(name.rpartition("@")[0] for name in names if "@" in name)]

"""Plain values: who a request may come from. No I/O."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from datetime import date, datetime, time
from typing import Any, Literal, NoReturn, Self

from starlette.authentication import BaseUser

__all__ = ["AnonymousUser", "User"]


class _Secret:
    """Keeps the encoded password in a slot: out of `vars()`, of the dataclass's fields, and so of every serialiser."""

    __slots__ = ("_password",)
    _password: str


@dataclass(frozen=True, kw_only=True, eq=False)
class User(_Secret, BaseUser):
    """A user, as the database had it when it was read. Two are equal when their class and id are.

    Subclass it for columns of your own: `@dataclass(frozen=True, kw_only=True, eq=False)`, and give
    `UserModel(Member, columns=[...])` to `Auth`.
    """

    id: Any
    username: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False
    last_login: datetime | None = None
    date_joined: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From what has each field, and `password`. Of a row `UserModel.user` makes a user."""
        user = cls(**{field.name: row[field.name] for field in fields(cls)})
        object.__setattr__(user, "_password", row["password"])
        return user

    def with_changes(self, **changes: Any) -> Self:
        """A copy that keeps the password hash, which `dataclasses.replace` would lose."""
        copy = replace(self, **changes)
        object.__setattr__(copy, "_password", self.password)
        return copy

    @property
    def password(self) -> str:
        """The encoded hash; blank on a copy, which has none."""
        return getattr(self, "_password", "")

    @property
    def is_authenticated(self) -> Literal[True]:
        return True

    @property
    def is_anonymous(self) -> Literal[False]:
        return False

    @property
    def display_name(self) -> str:
        """The full name, or else the user name."""
        return self.get_full_name() or self.username

    @property
    def identity(self) -> str:
        """The id as a string."""
        return str(self.id)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name

    def as_dict(self) -> dict[str, Any]:
        """The public fields, as JSON can hold them: what the JSON API returns."""
        return {field.name: _jsonable(getattr(self, field.name)) for field in fields(self)}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other.id == self.id)

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.username

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have no password either."""
        return dict(vars(self))


class AnonymousUser(BaseUser):
    """Nobody: what `request.user` is until somebody has logged in (Django row A3)."""

    id: None = None
    username: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    is_active: bool = False
    is_staff: bool = False
    is_superuser: bool = False
    last_login: None = None
    date_joined: None = None

    @property
    def is_authenticated(self) -> Literal[False]:
        return False

    @property
    def is_anonymous(self) -> Literal[True]:
        return True

    @property
    def display_name(self) -> str:
        return ""

    @property
    def identity(self) -> str:
        return ""

    def get_full_name(self) -> str:
        return ""

    def get_short_name(self) -> str:
        return ""

    def as_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(User)}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnonymousUser)

    def __hash__(self) -> int:
        return 1

    def __int__(self) -> NoReturn:
        raise TypeError("AnonymousUser has no id: check request.user.is_authenticated first")

    def __str__(self) -> str:
        return "AnonymousUser"

    def __repr__(self) -> str:
        return "AnonymousUser()"


def _jsonable(value: Any) -> Any:
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime() | date() | time():
            return value.isoformat()
        case enum.Enum():
            return _jsonable(value.value)
        case Mapping():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_jsonable(item) for item in value]
    return str(value)

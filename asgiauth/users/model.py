from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Generic

from sqlalchemy import Column, Integer
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeVar

from ..db.types import DjangoInteger
from ..exceptions import ConfigurationError
from .user import User

__all__ = ["UserModel", "UserT"]

UserT = TypeVar("UserT", bound=User, default=User)


class UserModel(Generic[UserT]):
    """The application's own user: its class, its table, its further columns.

    `UserModel(Member, columns=[Column("birthday", Date)])`. The columns are copied, so that one model may serve
    several `Auth`. `id_type` is an SQLAlchemy integer type. Raises `ConfigurationError` for a class that is not
    declared like `User`, and for a field that no column fills.
    """

    def __init__(
        self,
        cls: type[UserT] = User,  # type: ignore[assignment]  # the default of a type variable with a default
        *,
        table: str = "auth_user",
        id_type: TypeEngine[Any] | None = None,
        columns: Sequence[Column[Any]] = (),
    ) -> None:
        _check_class(cls)
        if id_type is not None and not isinstance(id_type, Integer):
            raise ConfigurationError(f"UserModel(id_type=...) must be an SQLAlchemy integer type, not {id_type!r}")
        base = {field.name for field in fields(User)}
        extra = {column.name for column in columns}
        if len(extra) != len(columns):
            raise ConfigurationError(f"UserModel(columns=...) names a column twice: {', '.join(sorted(extra))}")
        if taken := sorted(extra & (base | {"password"})):
            raise ConfigurationError(f"UserModel(columns=...) repeats {taken[0]!r}, which User already has")
        unfilled = [field for field in fields(cls) if field.name not in base | extra]
        if unfilled:
            raise ConfigurationError(
                f"{cls.__name__}.{unfilled[0].name} has no column: add Column({unfilled[0].name!r}, ...) to "
                "UserModel(columns=...)"
            )
        self.cls: type[UserT] = cls
        self.table = table
        # SQLite generates keys for a column of type INTEGER alone, which holds 64 bits there
        self.id_type: TypeEngine[Any] = (id_type or DjangoInteger()).with_variant(DjangoInteger(), "sqlite")
        self.columns = tuple(columns)


def _check_class(cls: type[User]) -> None:
    declaration = "@dataclass(frozen=True, kw_only=True, eq=False)"
    if not (isinstance(cls, type) and issubclass(cls, User)):
        raise ConfigurationError(f"UserModel takes a subclass of asgiauth.User, declared with {declaration}")
    own = cls.__dict__.get("__dataclass_fields__", {})
    as_asked = own and cls.__dict__["__dataclass_params__"].frozen and all(field.kw_only for field in own.values())
    if not as_asked or cls.__eq__ is not User.__eq__ or cls.__hash__ is not User.__hash__:
        raise ConfigurationError(f"{cls.__name__} must be declared with {declaration}: equality is by id")

"""Column types that mean the same on SQLite, PostgreSQL and MariaDB/MySQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Dialect, Integer, LargeBinary, String, Uuid
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["BinaryKey", "DjangoBoolean", "DjangoInteger", "DjangoUuid", "ExactString", "UTCDateTime"]


class _SqliteDateTime(sqlite.DATETIME):
    """Django's own text form: microseconds only when there are any."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        return lambda value: None if value is None else value.isoformat(" ")


@compiles(_SqliteDateTime, "sqlite")
def _sqlite_datetime(type_: _SqliteDateTime, compiler: Any, **options: Any) -> str:
    return "datetime"


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, with microseconds, in and out. A naive one is refused: it does not say when."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_SqliteDateTime())  # type: ignore[no-untyped-call]
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime does not say when: use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class BinaryKey(TypeDecorator[bytes]):
    """Bytes of one fixed length that may be a key: no collation can make two of them equal."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(mysql.BINARY(self.length) if dialect.name == "mysql" else LargeBinary())


class ExactString(TypeDecorator[str]):
    """A string compared byte by byte. MariaDB's collations find 'abcTOKEN' when asked for 'AbCtoken', and even the
    binary ones 'key ' when asked for 'key': there it is kept as bytes."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        bytes_ = mysql.VARBINARY(4 * self.length)
        return dialect.type_descriptor(bytes_ if dialect.name == "mysql" else String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return value.encode() if value is not None and dialect.name == "mysql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


class DjangoBoolean(Boolean):
    """Spelled `bool` on SQLite, as Django spells it."""


@compiles(DjangoBoolean, "sqlite")
def _sqlite_bool(type_: DjangoBoolean, compiler: Any, **options: Any) -> str:
    return "bool"


class DjangoInteger(Integer):
    """Spelled `integer`, as Django spells it."""


@compiles(DjangoInteger, "sqlite")
def _sqlite_integer(type_: DjangoInteger, compiler: Any, **options: Any) -> str:
    return "integer"


class DjangoUuid(Uuid[UUID]):
    """On MariaDB of its type `uuid`, as Django has it there since 5.0; on MySQL, which has none, CHAR(32)."""


@compiles(DjangoUuid, "mysql", "mariadb")
def _mysql_uuid(type_: DjangoUuid, compiler: Any, **options: Any) -> str:
    # which of the two is at the other end is not known here: each leaves out what is in the comment of the other
    return "/*M! uuid */ /*!50701 char(32) */"

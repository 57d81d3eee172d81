"""Columns of a type that the application has written itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Date,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from asgiauth import UserModel
from asgiauth.exceptions import InvalidField
from asgiauth.users.fields import check_value

from ..conftest import make_auth


class Code(UserDefinedType[str]):
    """A type of the application's own, which does not say what Python type it takes."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "VARCHAR(5)"


async def test_a_type_of_ones_own_takes_what_it_likes(sqlite_url: str) -> None:
    """And a column that must have a value, and gets none, is named."""
    columns: list[Column[Any]] = [Column("code", Code(), nullable=False), Column("born", Date)]
    auth = make_auth(sqlite_url, user_model=UserModel(columns=columns))
    async with auth:
        await auth.create_tables()
        with pytest.raises(InvalidField) as missing:
            await auth.users.create("ann")
        assert (missing.value.field, missing.value.code) == ("code", "required")
        with pytest.raises(InvalidField) as wrong:
            await auth.users.create("ann", code="x", born=datetime(2000, 1, 1))
        assert (wrong.value.field, wrong.value.code) == ("born", "invalid_type")
        assert await auth.users.create("ann", code="x") is not None


def test_a_type_that_names_no_python_type_refuses_nothing() -> None:
    """The database is then the judge."""

    class Unknown(TypeEngine[Any]):
        @property
        def python_type(self) -> type[Any]:
            raise NotImplementedError

    column: Column[Any] = Column("odd", Unknown())
    check_value(column, object())
    with pytest.raises(InvalidField, match="required"):
        check_value(Column("odd", Unknown(), nullable=False), None)

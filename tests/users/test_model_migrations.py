"""B11.5, A21: migrations make the tables of a model as it is, and say what is missing of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Date, MetaData, String, Uuid

from asgiauth import UserModel
from asgiauth.db.migrate import check, upgrade

from ..conftest import make_auth
from .helpers import PASSWORD
from .test_missing_columns import by_email, nameless

MODELS: dict[str, Any] = {
    "uuid": lambda: UserModel(table="member", id_type=Uuid(), link_column="member_id"),
    "text": lambda: UserModel(table="member", id_type=String(40)),
    "nameless": nameless,
    "by_email": by_email,
}
NEW: dict[str, Any] = {
    "uuid": {"username": "ann", "password": PASSWORD},
    "text": {"username": "ann", "password": PASSWORD, "id": "a/b"},
    "nameless": {"username": "ann"},
    "by_email": {"username": "ann@example.com", "password": PASSWORD},
}


@pytest.mark.parametrize("name", MODELS)
async def test_A21_5_migrations_make_the_tables_of_a_model(url: str, name: str) -> None:
    """Once, on each server; and then there is nothing left to do."""
    async with make_auth(url, user_model=MODELS[name]()) as auth:
        done = await upgrade(auth)
        assert f"table {auth.tables.user.name}" in done
        assert await upgrade(auth) == await check(auth) == []
        ann = await auth.users.create(**NEW[name])
        assert await auth.users.find(ann.username) == ann
        await auth.users.delete(ann)


async def test_A21_5_a_column_that_the_model_has_and_the_table_has_not_is_named(sqlite_url: str) -> None:
    async with make_auth(sqlite_url, user_model=MODELS["nameless"]()) as auth:
        await upgrade(auth)
    grown = UserModel(table="shop_visitor", columns=[Column("born", Date)])
    async with make_auth(sqlite_url, metadata=MetaData(), user_model=grown) as auth:
        found = "".join(await check(auth))
    assert [name for name in ("born", "password", "email") if name not in found] == []

"""Row A21: a `UserModel` that is not as the tables of a Django site are is told so, with the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Uuid

from asgiauth import Auth, UserModel
from asgiauth.db import Unit
from asgiauth.db.migrate import check, upgrade
from asgiauth.db.schema import create_tables
from asgiauth.exceptions import ConfigurationError, NotReady

from ..conftest import make_auth
from .test_schema import table_names


def customers(without: Sequence[str] = ("first_name", "last_name"), **options: Any) -> UserModel:
    given = {"id_type": Uuid(), "link_column": "customer_id", **options}
    return UserModel(table="shop_customer", without=without, **given)


async def run(auth: Auth[Any], *statements: str) -> None:
    async def work(unit: Unit) -> None:
        for statement in statements:
            await unit.text(statement)

    await auth._database.atomic(work)


async def test_A21_keys_of_another_type_are_told_before_a_table_is_made(url: str) -> None:
    async with make_auth(url, user_model=customers()) as site:
        await create_tables(site._database, site.metadata, [site.tables.user])
    async with make_auth(url, user_model=customers(id_type=None)) as auth:
        with pytest.raises(
            ConfigurationError, match=r"shop_customer.id does not hold integers: give .*id_type="
        ) as told:
            await upgrade(auth)
        assert await table_names(url) == ["shop_customer"]
        assert str(told.value) in await check(auth)


async def test_A21_tables_made_for_keys_of_another_type_are_named(url: str) -> None:
    async with make_auth(url, user_model=customers()) as auth:
        await upgrade(auth)
        await run(auth, "DROP TABLE asgiauth_session", "CREATE TABLE asgiauth_session (user_id integer)")
        with pytest.raises(
            ConfigurationError, match=r"are in asgiauth_session, made for another .*: drop these tables"
        ):
            await upgrade(auth)
        await run(auth, "DROP TABLE asgiauth_session")
        assert await upgrade(auth) == ["table asgiauth_session"]
        assert await check(auth) == []


async def test_A21_a_user_model_of_the_site_is_not_given_another_table_beside_it(url: str) -> None:
    async with make_auth(url, user_model=customers()) as site:
        await upgrade(site, for_django=True)
    async with make_auth(url) as auth:
        with pytest.raises(ConfigurationError, match=r"Django has run its migrations: .*UserModel") as told:
            await upgrade(auth)
        assert "auth_user" not in await table_names(url)
        assert str(told.value) in await check(auth)


async def test_A21_columns_that_the_site_does_not_have_are_told_with_the_cure(url: str) -> None:
    async with make_auth(url, user_model=customers()) as site:
        await upgrade(site)
    async with make_auth(url, user_model=customers(without=["last_name"], link_column="user_id")) as auth:
        own = "add it by a migration of your own"
        absent = f"is missing in a table that exists: {own}, or leave it out, UserModel(without=[...])"
        called = f"is missing in a table that exists: {own}, or say what it is called there, UserModel(link_column=...)"
        assert await check(auth) == [
            f"column shop_customer.first_name {absent}",
            f"column shop_customer_groups.user_id {called}",
            f"column shop_customer_user_permissions.user_id {called}",
        ]
        with pytest.raises(NotReady, match=r"first_name.*: `asgiauth db check` tells"):
            await auth.users.find("ann")


async def test_A21_a_wrong_type_of_key_is_told_when_it_is_met(url: str) -> None:
    async with make_auth(url, user_model=customers()) as site:
        await upgrade(site)
    async with make_auth(url, user_model=customers(id_type=None)) as auth:
        if url.startswith("sqlite"):  # which compares anything with anything
            assert await auth.users.get_by(id=1) is None
            return
        with pytest.raises(NotReady, match="`asgiauth db check` tells"):
            await auth.users.get_by(id=1)

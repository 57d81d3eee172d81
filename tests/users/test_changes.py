"""`auth.users`: changing and deleting, alone and in transactions of the application."""

from __future__ import annotations

from typing import Any

import databases
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asgiauth import Auth
from asgiauth.exceptions import Conflict, InvalidField, NotFound, UserExists

from ..conftest import make_auth
from ..databases import engine_url
from .helpers import NOW, PASSWORD, count, made_by_django


async def test_update_changes_what_is_given_and_returns_all_of_it(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("ann", email="ann@example.com", password=PASSWORD)
    changed = await sqlite_auth.users.update(
        ann, first_name="Ann", is_active=False, last_login=NOW, email="New@EXAMPLE.com"
    )
    assert changed.as_dict() == ann.as_dict() | {
        "first_name": "Ann", "is_active": False, "last_login": NOW.isoformat(), "email": "New@example.com",
    }  # fmt: skip
    assert changed.password == ann.password
    assert (await sqlite_auth.users.update(ann)).as_dict() == changed.as_dict()
    assert [await sqlite_auth.users.find(name) for name in ("ann@example.com", "new@example.com", "ANN")] == [
        None,
        ann,
        ann,
    ]
    renamed = await sqlite_auth.users.update(ann, username="Anna")
    assert [await sqlite_auth.users.find(name) for name in ("ann", "anna", "new@example.com")] == [
        None,
        renamed,
        renamed,
    ]
    assert (await sqlite_auth.users.update(ann, username="ANNA", email="")).email == ""
    assert await sqlite_auth.users.find("new@example.com") is None
    await sqlite_auth.users.create("ann", email="new@example.com")


async def test_update_refuses_the_name_and_the_address_of_another(auth: Auth) -> None:
    ann = await auth.users.create("ann", email="ann@example.com", first_name="before")
    await auth.users.create("Bob", email="Bob@example.com")
    changes: list[tuple[dict[str, str], str]] = [
        ({"username": "bob"}, "username"),
        ({"username": "Bob"}, "username"),
        ({"email": "BOB@example.com"}, "email"),
    ]
    assert (await auth.users.update(ann, first_name="before")).as_dict() == ann.as_dict()  # MariaDB counts no change
    for change, field in changes:
        with pytest.raises(UserExists) as exists:
            await auth.users.update(ann, first_name="after", **change)
        assert exists.value.field == field
    stored = await auth.users.get(ann.id)
    assert stored is not None
    assert stored.as_dict() == ann.as_dict()
    assert [await auth.users.find(name) for name in ("ANN", "ann@example.com")] == [ann, ann]


async def test_a_user_name_with_an_at_must_equal_the_own_address(sqlite_auth: Auth) -> None:
    """DESIGN 4: nobody sits on the address of somebody else."""
    users = sqlite_auth.users
    same = await users.create("Ann@example.com", email="ann@EXAMPLE.com")
    assert (same.username, same.email) == ("Ann@example.com", "ann@example.com")
    plain = await users.create("plain", email="plain@example.com")
    for change in (
        users.create("eve@example.com"),
        users.create("eve@example.com", email="other@example.com"),
        users.update(plain, username="eve@example.com"),
        users.update(same, email="new@example.com"),
        users.update(same, email=""),
    ):
        with pytest.raises(InvalidField) as refused:
            await change
        assert (refused.value.field, refused.value.code) == ("username", "must_equal_email")
    both = await users.update(same, username="new@example.com", email="New@example.com")
    assert [await users.find(name) for name in ("ann@example.com", "NEW@example.com")] == [None, both]
    assert (await users.update(plain, username="PLAIN@example.com")).username == "PLAIN@example.com"


JUNK: list[Any] = [0, False, True, 1.5, b"ann", [], {}, {"a": 1}]
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    *(({"username": value}, "username", "invalid_type") for value in JUNK),
    *(({"email": value}, "email", "invalid_type") for value in JUNK),
    ({"username": ""}, "username", "required"),
    ({"username": "an n"}, "username", "invalid_username"),
    ({"email": "nonsense"}, "email", "invalid_email"),
    ({"first_name": None}, "first_name", "required"),
    ({"first_name": 5}, "first_name", "invalid_type"),
    ({"first_name": "x" * 151}, "first_name", "too_long"),
    ({"last_name": "\0"}, "last_name", "invalid_characters"),
    ({"last_name": "\udfff"}, "last_name", "invalid_characters"),
    *(({flag: value}, flag, "invalid_type") for flag in ("is_active", "is_staff", "is_superuser") for value in (1, 0, "true")),
    ({"is_active": None}, "is_active", "required"),
    ({"last_login": NOW.replace(tzinfo=None)}, "last_login", "naive_datetime"),
    ({"last_login": "2026-01-01"}, "last_login", "invalid_type"),
    ({"date_joined": None}, "date_joined", "required"),
    *(({name: 1}, name, "unknown_field") for name in ("id", "pk", "nosuch", "groups", "_connector", "id__in")),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "code"), REFUSED)
async def test_a_value_that_does_not_fit_is_an_invalid_field(
    sqlite_auth: Auth, fields: dict[str, Any], field: str, code: str
) -> None:
    """V-012, V-034: on create and on update alike, and nothing is stored."""
    ann = await sqlite_auth.users.create("ann", email="ann@example.com")
    with pytest.raises(InvalidField) as created:
        await sqlite_auth.users.create(**{"username": "bob", **fields})
    with pytest.raises(InvalidField) as updated:
        await sqlite_auth.users.update(ann, **fields)
    assert {(error.value.field, error.value.code) for error in (created, updated)} == {(field, code)}
    stored = await sqlite_auth.users.get(ann.id)
    assert stored is not None
    assert (stored.as_dict(), await count(sqlite_auth, "user")) == (ann.as_dict(), 1)


async def test_a_taken_primary_key_is_no_taken_user_name(auth: Auth) -> None:
    """A restored dump leaves PostgreSQL's sequence behind its rows; elsewhere the next key is simply free."""
    await made_by_django(auth, "restored", id=1)
    try:
        created = await auth.users.create("ann")
    except Conflict as conflict:
        assert (conflict.kind, conflict.constraint) == ("unique", "auth_user_pkey")
    else:
        assert created.id > 1


async def test_update_has_no_word_for_passwords(sqlite_auth: Auth) -> None:
    ann = await sqlite_auth.users.create("ann")
    with pytest.raises(TypeError, match="set_password"):
        await sqlite_auth.users.update(ann, password=PASSWORD)


async def test_delete_takes_everything_of_the_user_along(auth: Auth) -> None:
    ann, bob = [await auth.users.create(name, email=f"{name}@example.com") for name in ("ann", "bob")]
    async with auth._database.unit() as unit:
        tables = auth.tables
        group = await unit.insert(tables.group, {"name": "g"})
        content_type = await unit.insert(tables.content_type, {"app_label": "a", "model": "m"})
        permission = await unit.insert(
            tables.permission, {"name": "n", "content_type_id": content_type, "codename": "c"}
        )
        for user in (ann, bob):
            await unit.insert(tables.user_groups, {"user_id": user.id, "group_id": group})
            await unit.insert(tables.user_permissions, {"user_id": user.id, "permission_id": permission})
            login = {"user_id": user.id, "key": bytes([user.id]) * 32, "stamp": b"s" * 32, "backend": "b"}
            login |= {"methods": "[]", "remember": False, "expires_at": NOW}
            seen = dict.fromkeys(["created", "authenticated_at", "last_seen"], NOW)
            await unit.insert(tables.session, {**login, **seen, "device": "", "address": "", "data": "{}"})
            await unit.insert(tables.pending_login, {**login, "passed": "[]", "tries": 0})
            await unit.insert(tables.user_state, {"user_id": user.id, "epoch": 1})
    await auth.users.delete(ann)
    assert await auth.users.get(ann.id) is None
    assert [await auth.users.find(name) for name in ("ann", "ann@example.com")] == [None, None]
    once = ("user", "user_groups", "user_permissions", "session", "pending_login", "user_state")
    left = {name: await count(auth, name) for name in (*once, "identifier")}
    assert left == {**dict.fromkeys(once, 1), "identifier": 2}
    for gone in (
        auth.users.delete(ann),
        auth.users.update(ann, first_name="x"),
        auth.users.update(ann, email="x@example.com"),
        auth.users.update(ann),
        auth.users.set_password(ann, None),
        auth.users.set_password(ann, PASSWORD),
    ):
        with pytest.raises(NotFound):
            await gone
    assert not await auth.users.check_password(ann, PASSWORD)
    assert (await auth.users.create("ann", email="ann@example.com")).id != ann.id


async def test_a_user_that_the_application_refers_to_is_not_deleted(url: str) -> None:
    """`Conflict`, and the user keeps everything."""
    from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

    metadata = MetaData()
    invoice = Table(
        "invoice", metadata, Column("id", Integer, primary_key=True), Column("user_id", ForeignKey("auth_user.id"))
    )
    auth = make_auth(url, metadata=metadata)
    engine = create_async_engine(engine_url(url))
    try:
        async with auth:
            await auth.create_tables()
            async with engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
            ann = await auth.users.create("ann")
            async with auth._database.unit() as unit:
                await unit.insert(invoice, {"id": 1, "user_id": ann.id})
            with pytest.raises(Conflict) as conflict:
                await auth.users.delete(ann)
            assert conflict.value.kind == "foreign_key"
            assert await auth.users.find("ANN") == ann
    finally:
        await engine.dispose()


async def test_a_joined_block_lives_and_dies_with_the_applications_transaction(auth: Auth, url: str) -> None:
    """DESIGN 6: what it does is seen inside at once, and outside after the commit alone; an error leaves it usable."""
    await auth.users.create("bob", email="bob@example.com", password=PASSWORD)
    engine = create_async_engine(engine_url(url))
    try:
        for keep in (False, True):
            async with AsyncSession(engine) as session:
                async with auth.joined(session):
                    ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
                    ann = await auth.users.update(ann, email="new@example.com", first_name="A")
                    for refused in (
                        auth.users.create("BOB"),
                        auth.users.create("x", email="Bob@example.com"),
                        auth.users.update(ann, username="bob"),
                    ):
                        with pytest.raises(UserExists):
                            await refused
                    ann = await auth.users.set_password(ann, "another password")
                    assert await auth.users.check_password(ann, "another password")
                    assert [await auth.users.find(name) for name in ("ANN", "New@example.com")] == [ann, ann]
                    bob = await auth.users.find("bob")
                    assert bob is not None
                    await auth.users.delete(bob)
                    assert [user.username for user in (await auth.users.page()).items] == ["ann"]
                await (session.commit() if keep else session.rollback())
            assert (await auth.users.find("new@example.com") is not None, await auth.users.find("bob") is None) == (
                keep,
                keep,
            )
    finally:
        await engine.dispose()
    assert await auth.users.check_password(ann, "another password")
    assert await count(auth, "identifier") == 2


async def test_a_transaction_of_the_applications_databases_lives_and_dies_as_one(url: str) -> None:
    """The same inside `async with database.transaction()`."""
    database = databases.Database(url.replace("mysql://", "mysql+asyncmy://"))
    auth = make_auth(database)
    async with database, auth:
        await auth.create_tables()
        await auth.users.create("bob", email="bob@example.com")
        for keep in (False, True):
            transaction = await database.transaction()
            ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
            with pytest.raises(UserExists):
                await auth.users.create("other", email="BOB@example.com")
            ann = await auth.users.update(ann, username="anna")
            assert await auth.users.find("ANNA") == ann
            assert await database.fetch_val("SELECT count(*) FROM auth_user") == 2
            await (transaction.commit() if keep else transaction.rollback())
            assert [await auth.users.find(name) for name in ("ann@example.com", "anna")] == [ann if keep else None] * 2
        assert await auth.users.check_password(ann, PASSWORD)


async def test_two_hosts_of_one_database_are_one_set_of_users(sqlite_url: str) -> None:
    """What one process writes, the other reads."""
    first, second = make_auth(sqlite_url), make_auth(sqlite_url)
    async with first, second:
        await first.create_tables()
        ann = await first.users.create("ann", email="ann@example.com")
        assert await second.users.find("ann@example.com") == ann
        await second.users.update(ann, username="anna")
        assert await first.users.find("ANNA") == ann
        assert await first.users.get_by(username="ann") is None


async def test_a_name_that_django_let_differ_from_the_address_may_keep_to(sqlite_auth: Auth) -> None:
    """Only what changes is validated: the user name was no address of theirs before."""
    user = await made_by_django(sqlite_auth, "me@home", email="old@example.com")
    changed = await sqlite_auth.users.update(user, email="new@example.com")
    assert (changed.username, changed.email) == ("me@home", "new@example.com")

"""A21.6: models without this or that column of Django's, and with names in other columns."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Boolean, Column, Date, Integer, MetaData, String, Table, Text, Uuid
from starlette.applications import Starlette
from starlette.routing import Mount

from asgiauth import Auth, Permission, Ref, Resource, User, UserModel, crud
from asgiauth.exceptions import ConfigurationError, InvalidField, UserExists
from asgiauth.fastapi import CurrentUser, auth_router
from asgiauth.testing import force_login
from asgiauth.users.wrapping import OldHashes

from ..conftest import client, make_auth
from .helpers import PASSWORD

ALL = ("first_name", "last_name", "email", "is_active", "is_staff", "is_superuser", "last_login", "date_joined")


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    born: date | None = None


def by_email(**options: Any) -> UserModel[Any]:
    """A customer: an address and a password."""
    settings: dict[str, Any] = {
        "table": "shop_customer",
        "id_type": Uuid(),
        "columns": [Column("born", Date)],
        "without": ["first_name", "last_name", "is_staff"],
        "username_field": "email",
        "groups_table": "shop_in",
        "permissions_table": "shop_may",
        "link_column": "customer_id",
        **options,
    }
    return UserModel(Member, **settings)


def bare(**options: Any) -> UserModel[User]:
    """A name and a password, and nothing else."""
    return UserModel(table="shop_member", without=ALL, **options)


def nameless(**options: Any) -> UserModel[User]:
    """Nor a password: somebody else proves who they are."""
    return UserModel(table="shop_visitor", without=[*ALL, "password"], **options)


def columns(auth: Auth[Any]) -> set[str]:
    return {column.name for column in auth.tables.user.c}


async def test_A21_6_a_user_of_a_name_and_a_password_is_a_user(url: str) -> None:
    """Attributes without a column are what Django's class says; nothing selects or writes them."""
    async with make_auth(url, user_model=bare()) as auth:
        assert columns(auth) == {"id", "password", "username"}
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        assert (ann.email, ann.first_name, ann.last_login) == ("", "", None)
        assert ann.as_dict()["date_joined"] is None
        assert (ann.is_active, ann.is_staff, ann.is_superuser, ann.display_name) == (True, False, False, "ann")
        others: dict[str, Any] = {"is_active": False, "email": "a@example.com", "first_name": "Ann", "last_login": None}
        for field, value in others.items():
            with pytest.raises(InvalidField) as refused:
                await auth.users.update(ann, **{field: value})
            assert (refused.value.field, refused.value.code) == (field, "unknown_field")
            with pytest.raises(InvalidField):
                await auth.users.create("bob", **{field: value})
            with pytest.raises(TypeError, match="not a field"):
                await auth.users.get_by(**{field: value})
        assert (await auth.users.page(active=True, search="AN")).items == [ann]
        assert (await auth.users.page(active=False)).items == []
        root = await auth.users.create_superuser("root@example.com")
        assert not root.is_superuser
        assert await auth.users.find("ROOT@example.com") == root
        assert (await auth.users.update(root, username="root")).username == "root"


async def test_A21_6_without_a_date_what_is_granted_beside_django_has_no_date_to_compare(url: str) -> None:
    """Elsewhere it says whether the user is still the one who got it, and not another with the same id."""
    table = Table("post", MetaData(), Column("id", Integer, primary_key=True))
    settings = {"permissions": crud("blog", "post"), "resources": [Resource("blog.post", table=table)]}
    async with make_auth(url, user_model=bare(), shared_with_django=True, **settings) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        await auth.permissions.grant(ann, "blog.change_post", Ref("blog.post", 1))
        assert await auth.permissions.check(ann, "blog.change_post", Ref("blog.post", 1))
        assert not await auth.permissions.check(ann, "blog.change_post", Ref("blog.post", 2))
        assert await auth.permissions.holders("blog.change_post", Ref("blog.post", 1)) == [ann]


async def test_A21_6_without_last_login_and_is_active_one_logs_in_all_the_same(url: str) -> None:
    """The password of now is still asked for, and a new one ends the session."""
    async with make_auth(url, user_model=bare(), permissions=[Permission("blog.add", "Can")]) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        await auth.permissions.grant(ann, "blog.add")
        assert await auth.permissions.check(ann, "blog.add")
        assert await auth.permissions.holders("blog.add") == await auth.users.with_perm("blog.add") == [ann]
        assert await auth.users.with_perm("blog.add", active=False) == []
        app = Starlette(
            routes=[Mount("/api", routes=auth.json_routes), Mount("/auth", routes=auth.html_routes())],
            middleware=auth.middleware,
        )
        async with client(app) as browser:
            answer = await browser.post("/api/login", json={"username": "ann", "password": PASSWORD})
            assert answer.json()["user"] == {**dict.fromkeys(answer.json()["user"]), **ann.as_dict()}
            for page in ("login", "password_change", "sessions"):
                assert (await browser.get(f"/auth/{page}")).status_code in (200, 303)
            ann = await auth.users.set_password(ann, PASSWORD + "!")
            assert (await browser.get("/api/session")).json()["user"] is None
        async with client(app) as browser:
            await force_login(browser, ann)
            assert (await browser.get("/api/session")).json()["user"]["username"] == "ann"


async def test_A21_6_users_without_a_password_log_in_by_other_means(url: str) -> None:
    """The password backend knows nobody, and a password cannot be set."""
    async with make_auth(url, user_model=nameless()) as auth:
        assert columns(auth) == {"id", "username"}
        await auth.create_tables()
        ann = await auth.users.create("ann")
        assert ann.password == ""
        assert not await auth.users.check_password(ann, "")
        for change in (
            auth.users.set_password(ann, PASSWORD),
            auth.users.set_password(ann, None),
            auth.users.create("bob", password=PASSWORD),
            auth.users.require_password_change(ann, stored=""),
        ):
            with pytest.raises(InvalidField) as refused:
                await change
            assert (refused.value.field, refused.value.code) == ("password", "unknown_field")
        app = Starlette(routes=[Mount("/api", routes=auth.json_routes)], middleware=auth.middleware)
        async with client(app) as browser:
            answer = await browser.post("/api/login", json={"username": "ann", "password": ""})
            assert answer.status_code in (401, 422)
            answer = await browser.post("/api/login", json={"username": "ann", "password": "!"})
            assert answer.json()["detail"]["code"] == "invalid_credentials"
            await force_login(browser, ann)
            assert (await browser.get("/api/session")).json()["user"]["username"] == "ann"
            answer = await browser.post("/api/password/change", json={"old_password": "", "new_password": PASSWORD})
            assert answer.status_code == 422
        old = OldHashes(auth._database, auth.tables, auth.passwords, auth.sessions, schemes={"md5"}, batch=10)
        assert await old.count() == {}


async def test_A21_4_the_address_is_the_user_name(url: str) -> None:
    """`username_field="email"`: one column, unique, in tables of their own names."""
    auth: Auth[Any] = make_auth(url, user_model=by_email(), permissions=[Permission("blog.add", "Can")])
    async with auth:
        assert "username" not in columns(auth)
        assert (auth.tables.user_groups.name, auth.tables.user_permissions.name) == ("shop_in", "shop_may")
        assert [column.name for column in auth.tables.user_groups.c] == ["id", "customer_id", "group_id"]
        await auth.create_tables()
        ann = await auth.users.create("Ann@Example.com", password=PASSWORD, born=date(2000, 2, 29))
        bob = await auth.users.create(email="bob@example.com")
        assert (ann.username, ann.email, ann.born) == ("Ann@example.com", "Ann@example.com", date(2000, 2, 29))
        assert await auth.users.find("ann@EXAMPLE.com") == await auth.users.get_by(username=ann.username) == ann
        assert await auth.users.get_by(email=ann.email) == ann
        twins: list[dict[str, Any]] = [{"username": "ANN@example.com"}, {"email": "ann@example.com"}]
        for taken in twins:
            with pytest.raises(UserExists) as exists:
                await auth.users.create(**taken)
            assert exists.value.field == "email"
            with pytest.raises(UserExists) as exists:
                await auth.users.update(bob, **taken)
            assert exists.value.field == "email"
        wrong: dict[str, Any]
        for wrong, code in (
            ({}, "required"),
            ({"email": ""}, "required"),
            ({"username": "ann"}, "invalid_email"),
            ({"email": 1}, "invalid_type"),
            ({"username": "a@example.com", "email": "b@example.com"}, "must_equal_email"),
        ):
            with pytest.raises(InvalidField) as refused:
                await auth.users.create(**wrong)
            assert refused.value.code == code
        bob = await auth.users.update(bob, username="rob@example.com", email="rob@example.com")
        assert (bob.username, bob.email) == ("rob@example.com",) * 2
        assert await auth.users.find("bob@example.com") is None
        await auth.groups.create("staff", ["blog.add"])
        await auth.groups.add(ann, "staff")
        assert await auth.permissions.check(ann, "blog.add")


async def test_A21_4_fastapi_hands_out_the_own_class(sqlite_url: str) -> None:
    """`CurrentUser[Member]`, in a response too."""
    auth = make_auth(sqlite_url, user_model=by_email(without=["first_name", "is_staff", "date_joined", "last_login"]))
    app = FastAPI(middleware=auth.middleware, lifespan=auth.lifespan)
    app.include_router(auth_router(auth), prefix="/auth")

    @app.get("/me")
    async def me(user: CurrentUser[Member]) -> Member:
        return user

    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann@example.com", password=PASSWORD, born=date(2000, 2, 29))
        async with client(app) as browser:
            answer = await browser.post("/auth/login", json={"username": "Ann@example.com", "password": PASSWORD})
            assert answer.json()["user"] == ann.as_dict()
            assert (await browser.get("/me")).json() == ann.as_dict()


async def test_A21_4_an_address_in_a_column_of_its_own(url: str) -> None:
    """`email_field`, which may be NULL: blank is NULL then, so that many may have none."""
    model = UserModel(
        columns=[Column("email_address", String(254), unique=True)], email_field="email_address", required_fields=[]
    )
    async with make_auth(url, user_model=model) as auth:
        await auth.create_tables()
        assert "email" not in columns(auth)
        ann, _ = await auth.users.create("ann", email="ann@example.com"), await auth.users.create("bob")
        await auth.users.create("carl")
        assert (ann.email, (await auth.users.update(ann, email="a@example.com")).email) == (
            "ann@example.com",
            "a@example.com",
        )
        assert await auth.users.find("A@example.com") == await auth.users.get_by(email="a@example.com") == ann
        assert (await auth.users.page(search="A@EXAMPLE")).items == [ann]
        with pytest.raises(UserExists) as exists:
            await auth.users.create("dan", email="a@example.com")
        assert exists.value.field == "email"
        with pytest.raises(InvalidField) as refused:
            await auth.users.update(ann, email_address="x@example.com")
        assert refused.value.code == "unknown_field"


async def test_A21_4_numbers_for_user_names(url: str) -> None:
    """They are text for people: `007` is 7; what is no number, or too large a one, is nobody's."""
    model = UserModel(without=["username", "email"], columns=[Column("username", Integer, nullable=False)])
    async with make_auth(url, user_model=model) as auth:
        await auth.create_tables()
        seven = await auth.users.create("7", password=PASSWORD)
        eight = await auth.users.create(8)  # type: ignore[arg-type]
        assert (seven.username, eight.username) == ("7", "8")
        assert await auth.users.find("007") == await auth.users.find("7") == seven
        assert (await auth.users.page(search="7")).items == [seven]
        assert await auth.users.get_by(username="7") == await auth.users.get_by(username=7) == seven
        for other in ("007", "x", "", "9", "9" * 300):
            assert await auth.users.get_by(username=other) is None
        for nobody in ("", "9", "x", "7 ", "\uff12", "2147483648", "-1", "9" * 300):
            assert await auth.users.find(nobody) is None
        for wrong in ("x", True, 1.5, 2**31, None):
            with pytest.raises(InvalidField) as refused:
                await auth.users.create(wrong)  # type: ignore[arg-type]
            assert (refused.value.field, refused.value.code in ("invalid_type", "required")) == ("username", True)
        made = await asyncio.gather(*(auth.users.create("50") for _ in range(20)), return_exceptions=True)
        assert Counter(type(one).__name__ for one in made) == {"User": 1, "UserExists": 19}
        assert (await auth.users.update(eight, username="80")).username == "80"
        async with auth._database.unit() as unit:  # a column of one's own may hold a name twice
            await unit.insert(auth.tables.user, await _copy(auth, seven))
        assert await auth.users.find("7") is None


async def _copy(auth: Auth[Any], user: User) -> dict[str, Any]:
    async with auth._database.unit() as unit:
        row = await unit.row(auth.tables.user.select().where(auth.tables.user.c.id == user.id))
    assert row is not None
    return {name: value for name, value in row.items() if name != "id"}


async def test_A21_4_which_of_the_two_one_logs_in_with(sqlite_url: str) -> None:
    """The other one may then be anybody's."""
    async with make_auth(sqlite_url, user_model=UserModel(identifiers=["email"])) as auth:
        await auth.create_tables()
        ann = await auth.users.create("bob@example.com", email="ann@example.com")
        assert await auth.users.find("bob@example.com") is None
        assert await auth.users.find("ann@example.com") == ann
        bob = await auth.users.create("bob", email="bob@example.com")
        assert await auth.users.find("bob@example.com") == bob
    async with make_auth(sqlite_url, realm="b", user_model=UserModel(table="b", identifiers=["username"])) as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", email="one@example.com")
        bob = await auth.users.create("bob", email="one@example.com")
        assert await auth.users.find("one@example.com") is None
        assert await auth.users.find("BOB") == bob
        assert (await auth.users.update(ann, email="two@example.com")).email == "two@example.com"
        assert (await auth.users.create(email="carl@example.com")).username == "carl@example.com"


async def test_A21_6_names_that_django_wrote_are_found_as_they_are(url: str) -> None:
    """Longer than 150, and not in a unique column."""
    model = UserModel(without=["username"], columns=[Column("username", String(200))], identifiers=["username"])
    async with make_auth(url, user_model=model) as auth:
        await auth.create_tables()
        long = await auth.users.create("x")
        async with auth._database.unit() as unit:
            await unit.changed(auth.tables.user.update().values(username="n" * 180))
        assert await auth.users.find("n" * 180) == long
        assert await auth.users.find("n" * 201) is None
        assert (await auth.users.find("n" * 180 + "\0")) is None
    model = UserModel(table="b", without=["username"], columns=[Column("username", String(5), nullable=False)])
    async with make_auth(url, realm="b", user_model=model) as auth:
        await auth.create_tables()
        for name in ("a" * 6, "a@example.com"):
            with pytest.raises(InvalidField) as refused:
                await auth.users.create(name)
            assert refused.value.field == "username"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"without": ["username"]}, "users need a name"),
        ({"username_field": "handle"}, "handle"),
        ({"username_field": "email", "without": ["email"]}, "users need a name"),
        ({"email_field": "mail"}, "mail"),
        ({"without": ["nick"]}, "nick"),
        ({"without": ["id"]}, "id"),
        ({"without": "email"}, "a list"),
        ({"required_fields": "email"}, "a list"),
        ({"required_fields": ["username"]}, "asked for anyway"),
        ({"required_fields": ["email"], "username_field": "email"}, "asked for anyway"),
        ({"required_fields": ["email"], "without": ["email"]}, "email"),
        ({"required_fields": ["password"]}, "password"),
        ({"required_fields": ["born"]}, "born"),
        ({"identifiers": []}, "log in with"),
        ({"identifiers": ["nick"]}, "log in with 'username' or 'email'"),
        ({"identifiers": ["email"], "without": ["email"]}, "log in with 'username'"),
        ({"columns": [Column("email", String(9))]}, "without="),
        ({"columns": [Column("id", Integer)]}, "id"),
        ({"columns": [Column("name", Boolean)], "username_field": "name"}, "text or integers"),
        ({"columns": [Column("mail", Integer)], "email_field": "mail"}, "text"),
        ({"id_type": String()}, "String"),
        ({"id_type": Text()}, "String"),
        ({"table": ""}, "1 to 63"),
        ({"table": "t" * 64}, "1 to 63"),
        ({"groups_table": "auth_user"}, "auth_user"),
        ({"groups_table": "x", "permissions_table": "x"}, "x"),
        ({"groups_table": "auth_group"}, "auth_group"),
        ({"link_column": "group_id"}, "group_id"),
    ],
    ids=str,
)
def test_A19_3_a_model_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    """Django's invalid_models, and others: when the model is built, or the Auth."""
    with pytest.raises(ConfigurationError, match=message):
        make_auth("sqlite:///never.db", user_model=UserModel(**options))


def test_A21_5_a_model_with_long_names_has_tables_on_every_server() -> None:
    """No name is longer than PostgreSQL takes, and two are never the same."""
    first, second = (
        make_auth(
            "sqlite:///never.db",
            metadata=MetaData(),
            user_model=UserModel(table="t" * 50 + end, groups_table="g", permissions_table="p"),
        )
        for end in "ab"
    )
    assert len(first.tables.user_version.name) <= 63
    assert first.tables.user_version.name != second.tables.user_version.name
    assert isinstance(first.tables.user, Table)

"""The application's own user: its class, its table, its columns."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Enum,
    Float,
    ForeignKey,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth import Auth, User, UserModel
from asgiauth.db.types import UTCDateTime
from asgiauth.exceptions import ConfigurationError, Conflict, InvalidField, UserExists

from ..conftest import BASE_URL, SECRET_KEYS, make_auth
from ..databases import engine_url


class Role(enum.Enum):
    READER = "reader"
    EDITOR = "editor"


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    born: date | None = None
    balance: Decimal | None = None
    token: uuid.UUID | None = None
    role: Role | None = None
    settings: Any = None
    plan: str = "free"


COLUMNS: list[Column[Any]] = [
    Column("born", Date),
    Column("balance", Numeric(8, 2)),
    Column("token", Uuid),
    Column("role", Enum(Role)),
    Column("settings", JSON),
    Column("plan", String(10), nullable=False, default="free"),
    Column("wakes", Time),
    Column("notes", Text),
    Column("picture", LargeBinary),
    Column("trial", Interval),
    Column("newsletter", Boolean, nullable=False, server_default=text("true")),
    Column("score", Float),
    Column("badge", SmallInteger, unique=True),
    Column("seen", UTCDateTime),
    Column("revision", Integer, nullable=False, default=1, onupdate=lambda: 2),
]


@pytest.fixture
def members(url: str) -> Auth[Member]:
    return Auth(url, secret_keys=SECRET_KEYS, base_url=BASE_URL, user_model=UserModel(Member, columns=COLUMNS))


async def test_columns_of_every_type_come_back_as_they_were(members: Auth[Member]) -> None:
    """DESIGN 4: the same values, of the same types, on every server."""
    values: dict[str, Any] = {
        "born": date(2000, 2, 29),
        "balance": Decimal("-123456.78"),
        "token": uuid.uuid4(),
        "role": Role.EDITOR,
        "settings": {"theme": "dark", "n": [1, None, "\u00fc"]},
        "plan": "gold",
    }
    others: dict[str, Any] = {
        "wakes": time(6, 30, 15),
        "notes": "\U0001f511 " * 500,
        "picture": bytes(range(256)),
        "trial": timedelta(days=30, seconds=5),
        "newsletter": False,
        "score": 0.5,
        "badge": -7,
        "seen": datetime.fromisoformat("2026-01-01T12:00:00.000001+02:00"),
    }
    async with members as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", **values, **others)
        assert type(ann) is Member
        assert {name: getattr(ann, name) for name in values} == values
        for name in (values | others).keys() - {"settings", "score"}:  # JSON and FLOAT have no equality everywhere
            value = (values | others)[name]
            assert await auth.users.get_by(**{name: value}) == ann, name


async def test_columns_left_out_get_their_defaults(members: Auth[Member]) -> None:
    """Python's and the server's, and None where neither is."""
    async with members as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        assert (ann.plan, ann.born, ann.role, ann.settings) == ("free", None, None, None)
        assert await auth.users.get_by(newsletter=True) == ann
        assert await auth.users.get_by(revision=1) == ann


async def test_a_column_with_onupdate_gets_its_value(members: Auth[Member]) -> None:
    """DESIGN 6: column defaults are honoured, those of an UPDATE too."""
    async with members as auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        await auth.users.update(ann, first_name="Ann")
        assert await auth.users.get_by(revision=2) == ann


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("born", "2000-01-01", "invalid_type"),
        ("balance", 1.5, "invalid_type"),
        ("balance", Decimal("1234567.00"), "out_of_range"),
        ("balance", Decimal("NaN"), "out_of_range"),
        ("token", "not a uuid", "invalid_type"),
        ("plan", "x" * 11, "too_long"),
        ("plan", None, "required"),
        ("plan", "\0", "invalid_characters"),
        ("notes", "\ud800", "invalid_characters"),
        ("newsletter", 1, "invalid_type"),
        ("badge", True, "invalid_type"),
        ("badge", 2**15, "out_of_range"),
        ("badge", 2**63, "out_of_range"),
        ("badge", 10**30, "out_of_range"),
        ("seen", datetime(2026, 1, 1), "naive_datetime"),
        ("seen", "2026-01-01T12:00+02:00", "invalid_type"),
        ("role", "nobody", "any"),
        ("role", 1, "any"),
    ],
)
async def test_a_value_that_does_not_fit_its_column_is_refused_before_any_server_sees_it(
    sqlite_url: str, field: str, value: Any, code: str
) -> None:
    """The answer is the same on every server, so SQLite, which takes anything, shows it best."""
    auth = make_auth(sqlite_url, user_model=UserModel(Member, columns=COLUMNS))
    async with auth:
        await auth.create_tables()
        bob = await auth.users.create("bob")
        with pytest.raises(InvalidField) as created:
            await auth.users.create("ann", **{field: value})
        with pytest.raises(InvalidField) as updated:
            await auth.users.update(bob, **{field: value})
    for refused in (created.value, updated.value):
        assert refused.field == field
        assert code in (refused.code, "any")
        assert len(str(value)) < 5 or str(value) not in str(refused)


async def test_a_float_column_takes_an_integer(sqlite_url: str) -> None:
    """PEP 484: where float is expected, int is fine."""
    auth = make_auth(sqlite_url, user_model=UserModel(Member, columns=COLUMNS))
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann", score=1)
        assert await auth.users.get_by(score=1.0) == ann


async def test_a_taken_value_of_a_unique_column_is_told_by_its_name(url: str) -> None:
    """`UserExists.field`, also where one column's name is a part of another's."""
    columns: list[Column[Any]] = [Column("badge", SmallInteger, unique=True), Column("name", String(9), unique=True)]
    auth = make_auth(url, user_model=UserModel(columns=columns))
    async with auth:
        await auth.create_tables()
        await auth.users.create("ann", email="ann@example.com", badge=1, name="a")
        bob = await auth.users.create("bob", badge=2, name="b")
        found = []
        for change in (
            auth.users.create("carl", badge=1),
            auth.users.create("carl", name="a"),
            auth.users.create("ann"),
            auth.users.create("ANN"),
            auth.users.create("carl", email="ANN@example.com"),
            auth.users.update(bob, badge=1),
            auth.users.update(bob, username="ann"),
        ):
            with pytest.raises(UserExists) as exists:
                await change
            found.append(exists.value.field)
        assert found == ["badge", "name", "username", "username", "email", "badge", "username"]


@pytest.mark.parametrize("id_type", [BigInteger(), SmallInteger()], ids=repr)
async def test_integer_ids_of_every_size(url: str, id_type: Integer) -> None:
    """An id that cannot exist in that size is None; the tables that refer to it have the same type."""
    auth = make_auth(url, user_model=UserModel(id_type=id_type))
    async with auth:
        await auth.create_tables()
        first, second = await auth.users.create("ann"), await auth.users.create("bob")
        assert second.id > first.id
        assert await auth.users.get(str(second.id)) == second
        for impossible in (2**15, 2**31, 2**63, -(2**63), 10**30):
            assert await auth.users.get(impossible) is None
        await auth.users.delete(first)
        assert (await auth.users.page(after=first.id)).items == [second]


def kw_only_missing() -> type[User]:
    @dataclass(frozen=True, eq=False)
    class Wrong(User):
        badge: int = 0

    return Wrong


def compares_fields() -> type[User]:
    @dataclass(frozen=True, kw_only=True)
    class Wrong(User):
        badge: int = 0

    return Wrong


def hashes_fields() -> type[User]:
    @dataclass(frozen=True, kw_only=True, eq=False, unsafe_hash=True)
    class Wrong(User):
        badge: int = 0

    return Wrong


def not_a_dataclass() -> type[User]:
    class Wrong(User):
        badge: int = 0

    return Wrong


@pytest.mark.parametrize(
    "declare", [kw_only_missing, compares_fields, hashes_fields, not_a_dataclass, lambda: object, User.__new__]
)
def test_a_class_that_is_declared_otherwise_is_refused(declare: Callable[..., Any]) -> None:
    """DESIGN 4: `@dataclass(frozen=True, kw_only=True, eq=False)`, and the message says so."""
    wrong = declare(User, id=1, username="a", date_joined=None) if declare is User.__new__ else declare()
    with pytest.raises(ConfigurationError, match="frozen=True, kw_only=True, eq=False"):
        UserModel(wrong, columns=[Column("badge", Integer)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cls": Member}, "born"),
        ({"columns": [Column("username", String(5))]}, "username"),
        ({"columns": [Column("password", String(5))]}, "password"),
        ({"columns": [Column("id", Integer)]}, "id"),
        ({"columns": [Column("badge", Integer), Column("badge", Integer)]}, "badge"),
        ({"id_type": String()}, "integer"),
        ({"id_type": Numeric()}, "integer"),
        ({"id_type": object()}, "integer"),
    ],
)
def test_a_model_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    """DESIGN 3: when it is built, not at the first request."""
    with pytest.raises(ConfigurationError, match=message):
        make_auth("sqlite:///never.db", user_model=UserModel(**options))


async def test_one_model_serves_two_auths(sqlite_url: str, tmp_path: Path) -> None:
    """DESIGN 4: its columns are copied."""
    model = UserModel(Member, columns=COLUMNS)
    first, second = (make_auth(url, user_model=model) for url in (sqlite_url, f"sqlite:///{tmp_path}/second.db"))
    assert first.tables.user.c.plan is not second.tables.user.c.plan
    async with first, second:
        await first.create_tables()
        await second.create_tables()
        await first.users.create("ann", plan="gold")
        assert (await second.users.create("ann")).as_dict()["plan"] == "free"
    assert all(column.table is None for column in COLUMNS)


async def test_tables_of_the_application_refer_to_the_users_and_they_to_them(url: str) -> None:
    """DESIGN 3: `metadata=` the application's own; `create_all` knows the order, whichever was declared first."""
    metadata = MetaData()
    before = Table(
        "invoice", metadata, Column("id", Integer, primary_key=True), Column("user_id", ForeignKey("auth_user.id"))
    )
    team = Table("team", metadata, Column("id", Integer, primary_key=True))
    auth = make_auth(url, metadata=metadata, user_model=UserModel(columns=[Column("team_id", ForeignKey("team.id"))]))
    after = Table(
        "ticket",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("user_id", ForeignKey(auth.tables.user.c.id)),
    )
    order = [metadata.sorted_tables.index(table) for table in (team, auth.tables.user, before, after)]
    assert order[0] < order[1] < min(order[2:])
    engine = create_async_engine(engine_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await connection.execute(team.insert().values(id=5))
        async with auth:
            await auth.create_tables()
            ann = await auth.users.create("ann", team_id=5)
            with pytest.raises(Conflict) as conflict:
                await auth.users.create("bob", team_id=6)
            assert conflict.value.kind == "foreign_key"
            assert [user.username for user in (await auth.users.page()).items] == ["ann"]
            async with engine.begin() as connection:
                await connection.execute(before.insert().values(id=1, user_id=ann.id))
                assert (await connection.execute(before.join(auth.tables.user).select())).one().username == "ann"
    finally:
        await engine.dispose()


def test_a_table_of_that_name_in_the_metadata_is_refused() -> None:
    metadata = MetaData()
    Table("auth_user", metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(ConfigurationError, match="auth_user"):
        make_auth("sqlite:///never.db", metadata=metadata)


async def test_two_realms_share_one_metadata(url: str) -> None:
    """DESIGN 3: one set of users, two of everything that asgiauth keeps beside them."""
    metadata = MetaData()
    shop, staff = (make_auth(url, metadata=metadata, realm=realm) for realm in ("shop", "staff"))
    assert shop.tables.user is staff.tables.user
    assert (shop.tables.session.name, staff.tables.session.name) == ("asgiauth_shop_session", "asgiauth_staff_session")
    async with shop, staff:
        await shop.create_tables()
        await staff.create_tables()
        ann = await shop.users.create("ann")
        assert await staff.users.find("ann") == ann


async def test_two_models_in_one_metadata_have_a_table_each(sqlite_url: str) -> None:
    metadata = MetaData()
    people = make_auth(sqlite_url, metadata=metadata)
    robots = make_auth(sqlite_url, metadata=metadata, realm="robots", user_model=UserModel(table="robot"))
    assert (people.tables.group, robots.tables.user_groups.name) == (robots.tables.group, "robot_groups")
    async with people, robots:
        await people.create_tables()
        await robots.create_tables()
        await people.users.create("ann")
        assert await robots.users.find("ann") is None
        assert (await robots.users.create("ann")).username == "ann"

"""Statements compiled once: what goes in, what comes out, and what a log gets to see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Integer, bindparam, cast, delete, func, insert, literal_column, select, union_all, update

from asgiauth.db import Database
from asgiauth.db.statement import Arguments

from ..contracts.conftest import emptied, opened
from ..contracts.conftest import shared_url as shared_url
from ..contracts.tables import item, owner, typed


@pytest.fixture
async def db(shared_url: str) -> AsyncIterator[Database]:
    """Three items."""
    async with opened("url", shared_url) as database:
        await emptied(database)
        async with database.unit() as unit:
            for number, name in enumerate("abc", 1):
                await unit.insert(item, {"id": number, "name": name, "amount": number})
        yield database


async def test_in_lists_of_any_length(db: Database) -> None:
    """None, one or many values, between other parameters, compiled once or each time; a value may be used twice."""
    several = item.c.name.in_(bindparam("names", expanding=True))
    statement = (
        select(item.c.id)
        .where(item.c.amount >= bindparam("least"), several, item.c.amount <= bindparam("most"))
        .where(item.c.id >= bindparam("least"))
        .order_by(item.c.id)
        .limit(5)
    )
    prepared = db.prepare(statement)
    for names in ([], ["b"], ["c", "a", "b", "x"], ["c", "b"]):
        expected = [{"id": "abc".index(name) + 1} for name in sorted(names) if name in "bc"]
        for form in (prepared, statement):
            assert await db.fetch(form, least=2, names=names, most=3) == expected
    async with db.unit() as unit:
        assert await unit.changed(update(item).where(item.c.id.in_([1, 2])).values(amount=9)) == 2
        assert await unit.changed(delete(item).where(item.c.id.in_([]))) == 0


async def test_values_in_lists_are_converted(db: Database) -> None:
    """Each value of an IN list goes through its column's type, as a single one does."""
    moments = [datetime(2024, 1, day, 5, tzinfo=UTC) for day in (1, 2, 3)]
    async with db.unit() as unit:
        for moment in moments:
            await unit.insert(typed, {"moment": moment})
    found = await db.fetch(select(typed.c.moment).where(typed.c.moment.in_(moments[1:])).order_by(typed.c.moment))
    assert found == [{"moment": moment} for moment in moments[1:]]


async def test_rows_are_keyed_by_label(db: Database) -> None:
    """Columns, labels and functions; of a union, a join and a statement with RETURNING."""
    both = union_all(
        select(item.c.id.label("n")).where(item.c.id == 1), select(func.count().label("n")).select_from(item)
    )
    assert sorted(row["n"] for row in await db.fetch(both)) == [1, 3]
    assert await db.fetch_one(select(func.max(item.c.id).label("top"), item.c.name).group_by(item.c.name)) is not None
    joined = select(item.c.id, item.c.name, owner.c.name.label("owner")).outerjoin(owner).where(item.c.id == 1)
    assert await db.fetch(joined) == [{"id": 1, "name": "a", "owner": None}]
    async with db.unit() as unit:
        gone = await unit.rows(delete(item).where(item.c.id == 2).returning(item.c.name))
        made = await unit.row(insert(item).values(id=9, name="d").returning(item.c.name, item.c.amount))
    assert (gone, made) == ([{"name": "b"}], {"name": "d", "amount": 7})


async def test_no_column_hides_another_of_its_name(db: Database) -> None:
    """Two tables' columns of one name both come out, as SQLAlchemy would label them."""
    other = item.alias()
    row = await db.fetch_one(select(item.c.name, other.c.name).where(item.c.id == 1, other.c.id == 2))
    assert row is not None
    assert sorted(row.values()) == ["a", "b"]


async def test_percent_signs_mean_themselves(db: Database) -> None:
    """With and without parameters, in a SELECT and in an UPDATE (MySQL's drivers use them for parameters)."""
    odd = item.c.id % literal_column("2") == literal_column("1")
    assert len(await db.fetch(select(item.c.id).where(odd))) == 2
    assert len(await db.fetch(select(item.c.id).where(odd, item.c.name == "a"))) == 1
    async with db.unit() as unit:
        assert await unit.changed(update(item).where(odd).values(amount=literal_column("8"), revision=1)) == 2
        assert await unit.changed(update(item).where(odd).values(amount=literal_column("8"), revision=None)) == 2
        assert await unit.changed(delete(item).where(odd)) == 2


async def test_a_prepared_update_honours_onupdate(db: Database) -> None:
    """Unless the statement gives that column a value."""
    own = db.prepare(update(item).where(item.c.id == bindparam("key")).values(revision=bindparam("given")))
    computed = db.prepare(update(item).where(item.c.id == bindparam("key")).values(amount=bindparam("n")))
    async with db.unit() as unit:
        assert await unit.changed(own, key=1, given=77) == 1
        assert await unit.changed(computed, key=2, n=5) == 1
    rows = await db.fetch(select(item.c.revision, item.c.amount).where(item.c.id < 3).order_by(item.c.id))
    assert rows == [{"revision": 77, "amount": 1}, {"revision": 5, "amount": 5}]


async def test_a_forgotten_parameter_is_an_error(db: Database) -> None:
    """It is not NULL, which would quietly find nothing."""
    prepared = db.prepare(select(item).where(item.c.id == bindparam("key")))
    with pytest.raises(Exception, match="key"):
        await db.fetch(prepared, kye=1)


async def test_subclasses_of_datetime_are_datetimes(db: Database) -> None:
    """freezegun and pendulum hand out such ones."""

    class Frozen(datetime):
        pass

    async with db.unit() as unit:
        key = await unit.insert(typed, {"moment": Frozen(2024, 1, 1, 2, 3, 4, 5, tzinfo=UTC)})
    row = await db.fetch_one(select(typed.c.moment).where(typed.c.id == key))
    assert row == {"moment": datetime(2024, 1, 1, 2, 3, 4, 5, tzinfo=UTC)}


@pytest.mark.parametrize("values", [{"amount": 2**70}, {"name": "x" * 201}, {"name": "nul\x00"}, {"name": "\ud800"}])
async def test_a_value_that_does_not_fit_is_a_value_error(db: Database, values: dict[str, Any]) -> None:
    """SQLite, which knows no lengths, stores what it can: it then comes back unharmed."""
    try:
        async with db.unit() as unit:
            await unit.changed(update(item).where(item.c.id == 1).values(**values))
    except ValueError:
        assert len(await db.fetch(select(item).where(item.c.id == 1, item.c.name == "a"))) == 1
    else:
        row = await db.fetch_one(select(item).where(item.c.id == 1))
        assert row is not None
        assert row | values == row


async def test_a_warning_of_the_server_is_no_error(db: Database) -> None:
    """MariaDB warns of a text that is no number; PostgreSQL refuses it."""
    try:
        found = len(await db.fetch(select(item.c.id).where(cast(item.c.name, Integer) == 0)))
    except ValueError:
        found = -1
    assert found == (-1 if db.dialect == "postgresql" else 3)


def test_arguments_do_not_show_their_values() -> None:
    """Drivers write the repr of what they bind into their debug logs."""
    arguments = Arguments(("secret", 1))
    assert repr(arguments) == str(arguments) == f"{arguments}" == "<2 bound values>"
    assert tuple(arguments) == ("secret", 1)

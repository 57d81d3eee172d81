"""How `where()` is run: the application's table is reached by its indexes (DESIGN 8, row B10.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Uuid, select
from sqlalchemy.sql import Select

from asgiauth import Auth, Resource, Rule, User, crud
from asgiauth.db.schema import create_tables
from asgiauth.db.statement import Arguments

from ..conftest import make_auth

COUNT = 20_000
KINDS: dict[str, Any] = {"note": Integer(), "file": Uuid(), "page": String(40)}
TABLES = {
    model: Table(
        f"plan_{model}",
        MetaData(),
        Column("key", kind, primary_key=True, autoincrement=False),
        Column("author_id", Integer, nullable=False),
        Column("body", String(500), nullable=False),
        Index(f"plan_{model}_author", "author_id"),
    )
    for model, kind in KINDS.items()
}
NUMBERS = {
    "postgresql": "SELECT n FROM generate_series(1, {count}) n",
    "mysql": "SELECT seq AS n FROM seq_1_to_{count}",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s",
}
UUIDS = {
    "postgresql": "md5(n::text)::uuid",
    "mysql": "md5(n)",
    "sqlite": "printf('%032x', n)",
}
SLUGS = {
    "postgresql": "'page-' || n",
    "mysql": "concat('page-', n)",
    "sqlite": "'page-' || n",
}
BODY = {"postgresql": "repeat('x', 400)", "mysql": "repeat('x', 400)", "sqlite": "hex(zeroblob(200))"}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def large(url: str, server: str, model: str) -> AsyncIterator[tuple[Auth, User]]:
    """20,000 rows that are no shorter than rows are. Each of 500 groups has 20 grants, the user as many, 10 of them on the same rows; and is
    the author of 20. Somebody else has 2000."""
    things = TABLES[model]
    auth = make_auth(
        url,
        permissions=crud("plan", model),
        resources=[Resource(f"plan.{model}", table=things)],
        rules=[
            Rule(f"plan.view_{model}", check=lambda user, obj: False, where=lambda user, t: t.c.author_id == user.id)
        ],
    )
    async with auth:
        await auth.create_tables()
        await auth.permissions.sync()
        await create_tables(auth._database, things.metadata, [things])
        await _fill(auth, server, model)
        user = await auth.users.get_by(username="ann")
        assert user is not None
        yield auth, user


async def _fill(auth: Auth, server: str, model: str) -> None:
    things, tables, kind = TABLES[model], auth.tables, auth.permissions.resources[f"plan.{model}"].kind
    ann, ben = await auth.users.create("ann"), await auth.users.create("ben")
    numbers, name = NUMBERS[server].format(count=COUNT), SLUGS[server]
    key = {"note": "n", "file": UUIDS[server], "page": SLUGS[server]}[model]
    users, groups = (getattr(tables, f"{subject}_grant_{kind}") for subject in ("user", "group"))
    permission = tables.permission.c
    perms = await auth._database.fetch(
        select(permission.id).where(permission.codename.in_([f"change_{model}", f"view_{model}"]))
    )
    async with auth._database.unit() as unit:
        await unit.text(f"INSERT INTO {tables.group} (id, name) SELECT n, {name} FROM ({numbers}) s WHERE n <= 500")
        await unit.execute(tables.user_groups.insert().values(user_id=ann.id, group_id=8))
        await unit.text(f"INSERT INTO {things} SELECT {key}, 1 + n % 1000, {BODY[server]} FROM ({numbers}) s")
        for perm in perms:
            for table, owner, condition in (
                (users, ann.id, "n % 1000 = 7"),
                (users, ben.id, "n % 10 = 1"),
                (groups, "1 + n % 500", "n <= 10000"),
            ):
                selected = f"SELECT {owner}, {perm['id']}, {key} FROM ({numbers}) s WHERE {condition}"
                columns = ", ".join(table.primary_key.columns.keys())
                await unit.text(f"INSERT INTO {table} ({columns}) {selected}")
    async with auth._database.unit() as unit:
        for analyzed in [things, *tables.all()]:
            await unit.fetch(f"ANALYZE {'TABLE ' if server == 'mysql' else ''}{analyzed}", Arguments())


async def plan_of(auth: Auth, server: str, statement: Select[Any]) -> list[str]:
    """One line for each step."""
    sql, arguments = auth._database.prepare(statement).bind({})
    async with auth._database.unit() as unit:
        rows = await unit.fetch(f"EXPLAIN {'QUERY PLAN ' if server == 'sqlite' else ''}{sql}", arguments)
    return [" | ".join(str(cell) for cell in tuple(row)) for row in rows]


def reads_all(server: str, table: str, plan: list[str]) -> list[str]:
    """The steps that go through the whole table, or a whole index of it."""
    if server == "postgresql":
        return [step for step in plan if f"Seq Scan on {table}" in step]
    if server == "sqlite":
        return [step for step in plan if f"SCAN {table}" in step]
    return [step for step in plan if f"| {table}" in step and ("| ALL |" in step or "| index |" in step)]


async def test_B10_4_the_table_is_reached_by_its_indexes(large: tuple[Auth, User], server: str, model: str) -> None:
    """With grants, and with a rule beside them; also for a page of the rows."""
    auth, user = large
    table = TABLES[model]
    for perm, count in ((f"plan.change_{model}", 30), (f"plan.view_{model}", 50)):
        statement = select(table.c.key).where(await auth.permissions.where(user, perm, table))
        assert len(await auth._database.fetch(statement)) == count
        for asked in (statement, statement.order_by(table.c.key).limit(20)):
            plan = await plan_of(auth, server, asked)
            assert any(table.name in step for step in plan)
            assert reads_all(server, table.name, plan) == [], "\n".join(plan)
    everything = await plan_of(auth, server, select(table.c.body))
    assert reads_all(server, table.name, everything) != []  # so it would be seen

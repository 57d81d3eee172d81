"""Which objects may this user change? `permissions.where()` beside what is usually done, on PostgreSQL.

10,000 users in five groups each of 1,000, and 100,000 grants on single objects, half of them to groups. A usual user
has about 255 of them, the busy one, who is in 200 groups, about 10,000. The tables are in a database made for this.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import asyncpg
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, select, union_all

from asgiauth import Auth, Resource, Rule, crud
from asgiauth.db.schema import create_tables
from tests.databases import create_database, drop_database
from tests.parity import django_interpreter

from .apps import make_auth

SIZES = [10_000, 100_000, 1_000_000]
USERS = {"usual": [77, 1234, 4321, 5678, 8765], "busy": [1]}
ROUNDS = 7
PERM = "bench.change_document"
REQUIREMENTS = ("django>=6.1,<6.2", "django-guardian>=3.5,<4", "psycopg[binary]")

documents = Table(
    "bench_document",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("author_id", Integer, nullable=False),
    Column("title", String(50), nullable=False),
    Index("bench_document_author", "author_id"),
)

SUBJECTS = """
SELECT setseed(0.5);
INSERT INTO auth_user SELECT n, '!', NULL, false, 'user' || n, '', '', '', false, true, now()
    FROM generate_series(1, 10000) n;
INSERT INTO auth_group (id, name) SELECT n, 'group' || n FROM generate_series(1, 1000) n;
INSERT INTO auth_user_groups (user_id, group_id) SELECT DISTINCT u, 1 + floor(random() * 1000)::int
    FROM generate_series(2, 10000) u, generate_series(1, 5);
INSERT INTO auth_user_groups (user_id, group_id) SELECT 1, n FROM generate_series(1, 200) n;
"""
OBJECTS = """
SELECT setseed(0.5);
TRUNCATE bench_document, asgiauth_user_grant_integer, asgiauth_group_grant_integer;
INSERT INTO bench_document SELECT n, 1 + n % 10000, 'title ' || n FROM generate_series(1, {size}) n;
INSERT INTO asgiauth_user_grant_integer (user_id, permission_id, object_key)
    SELECT 1 + n % 10000, {permission}, 1 + floor(random() * {size})::int FROM generate_series(1, 50000) n
    ON CONFLICT DO NOTHING;
INSERT INTO asgiauth_group_grant_integer (group_id, permission_id, object_key)
    SELECT 1 + n % 1000, {permission}, 1 + floor(random() * {size})::int FROM generate_series(1, 50000) n
    ON CONFLICT DO NOTHING;
"""
SAME_FOR_GUARDIAN = """
TRUNCATE guardian_userobjectpermission, guardian_groupobjectpermission;
INSERT INTO guardian_userobjectpermission (object_pk, content_type_id, permission_id, user_id)
    SELECT object_key::text, content_type_id, p.id, user_id
    FROM asgiauth_user_grant_integer g JOIN auth_permission p ON p.id = g.permission_id;
INSERT INTO guardian_groupobjectpermission (object_pk, content_type_id, permission_id, group_id)
    SELECT object_key::text, content_type_id, p.id, group_id
    FROM asgiauth_group_grant_integer g JOIN auth_permission p ON p.id = g.permission_id;
"""

Ask = Callable[[int, bool], Awaitable[tuple[float, int]]]
"""Seconds and number of rows, of a user's objects or of the first page of them."""


def report() -> str:
    name = f"asgiauth_bench_{secrets.token_hex(6)}"
    url = asyncio.run(create_database("postgresql", name, Path()))
    try:
        with ExitStack() as stack:
            python, reason = guardian_python()
            asyncio.run(_prepare(url))
            guardian = None if python is None else stack.enter_context(_guardian(python, url))
            return asyncio.run(_measured(url, guardian)) + (f"\n\nNOT MEASURED: {reason}." if reason else "")
    finally:
        asyncio.run(drop_database("postgresql", name))


def guardian_python() -> tuple[str | None, str]:
    """The interpreter of a virtual environment with django-guardian, made if need be; or None and why not."""
    environment = Path(__file__).resolve().parents[1] / ".venv-guardian"
    python, stamp = environment / "bin" / "python", environment / "requirements.stamp"
    if stamp.is_file() and stamp.read_text() == str(REQUIREMENTS):
        return str(python), ""
    try:
        base = django_interpreter.create()
        if base is None:
            return None, "django-guardian on Django 6.1 needs Python 3.12 or newer"
        for command in (
            [base, "-m", "venv", "--clear", str(environment)],
            [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS],
        ):
            subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"django-guardian could not be installed ({error})"
    stamp.write_text(str(REQUIREMENTS))
    return str(python), ""


@contextmanager
def _guardian(python: str, url: str) -> Iterator[Ask]:
    """Asked in turn with the others, while they wait."""
    script = Path(__file__).with_name("django_objects.py")
    with subprocess.Popen(
        [python, str(script), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("no pipes")
        source, target = child.stdin, child.stdout
        if not target.readline():
            raise RuntimeError("django-guardian did not start: its message is above")

        async def ask(user: int, page: bool) -> tuple[float, int]:
            source.write(json.dumps({"user": user, "page": page}) + "\n")
            source.flush()
            answer = json.loads(target.readline())
            return answer["seconds"], answer["count"]

        yield ask
        source.close()


def _auth(url: str, *rules: Rule) -> Auth:
    resource = Resource("bench.document", table=documents)
    return make_auth(url, permissions=crud("bench", "document"), resources=[resource], rules=rules)


async def _prepare(url: str) -> None:
    async with _auth(url) as auth:
        await auth.create_tables()
        await auth.permissions.sync()
        await create_tables(auth._database, documents.metadata, [documents])
    await _run(url, SUBJECTS)


async def _run(url: str, sql: str) -> None:
    """On a connection without a deadline."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@dataclass(frozen=True)
class Cell:
    milliseconds: float
    count: int


async def _measured(url: str, guardian: Ask | None) -> str:
    by_author = Rule(PERM, check=lambda user, document: False, where=lambda user, t: t.c.author_id == user.id)
    measured: dict[tuple[str, bool, int], dict[str, Cell]] = {}
    plans: list[str] = []
    async with _auth(url) as auth, _auth(url, by_author) as with_rule:
        contestants: dict[str, Ask] = {"asgiauth": _where(auth), "with a rule": _where(with_rule), "ids": _ids(auth)}
        if guardian is not None:
            contestants["guardian"] = guardian
        (row,) = await auth._database.fetch(_permission(auth))
        for size in SIZES:
            await _run(url, OBJECTS.format(size=size, permission=row["id"]))
            if guardian is not None:
                await _run(url, SAME_FOR_GUARDIAN)
            await _run(url, "VACUUM ANALYZE")
            for kind, users in USERS.items():
                for page in (False, True):
                    measured[kind, page, size] = await _in_turn(contestants, users, page)
            plans.append(await _plan(with_rule, size))
    return _table(measured) + "\n\n" + "\n".join(plans)


def _permission(auth: Auth) -> Any:
    permission = auth.tables.permission
    return select(permission.c.id).where(permission.c.codename == PERM.partition(".")[2])


async def _in_turn(contestants: Mapping[str, Ask], users: Sequence[int], page: bool) -> dict[str, Cell]:
    """Each round another user, once before to warm up."""
    taken: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
    for number in range(ROUNDS + 1):
        for name, ask in contestants.items():
            taken[name].append(await ask(users[number % len(users)], page))
    return {
        name: Cell(1000 * median(seconds for seconds, _ in found[1:]), round(median(count for _, count in found[1:])))
        for name, found in taken.items()
    }


def _where(auth: Auth) -> Ask:
    async def ask(user_id: int, page: bool) -> tuple[float, int]:
        user = await auth.users.get(user_id)
        began = perf_counter()
        statement = select(documents.c.id).where(await auth.permissions.where(user, PERM, documents))
        rows = await auth._database.fetch(statement.order_by(documents.c.id).limit(20) if page else statement)
        return perf_counter() - began, len(rows)

    return ask


def _ids(auth: Auth) -> Ask:
    """What is written without `where()`: the ids that are granted, into a list, into the next query."""
    users, groups, members = auth.tables.user_grant_integer, auth.tables.group_grant_integer, auth.tables.user_groups

    async def ask(user_id: int, page: bool) -> tuple[float, int]:
        began = perf_counter()
        permission = _permission(auth).scalar_subquery()
        granted = union_all(
            select(users.c.object_key).where(users.c.user_id == user_id, users.c.permission_id == permission),
            select(groups.c.object_key)
            .join(members, members.c.group_id == groups.c.group_id)
            .where(members.c.user_id == user_id, groups.c.permission_id == permission),
        )
        ids = {row["object_key"] for row in await auth._database.fetch(granted)}
        statement = select(documents.c.id).where(documents.c.id.in_(ids))
        rows = await auth._database.fetch(statement.order_by(documents.c.id).limit(20) if page else statement)
        return perf_counter() - began, len(rows)

    return ask


async def _plan(auth: Auth, size: int) -> str:
    """How PostgreSQL reaches the documents of a usual user, by grants and by a rule."""
    user = await auth.users.get(USERS["usual"][0])
    statement = select(documents.c.id).where(await auth.permissions.where(user, PERM, documents))
    sql, arguments = auth._database.prepare(statement).bind({})
    async with auth._database.unit() as unit:
        steps = [row[0] for row in await unit.fetch(f"EXPLAIN {sql}", arguments)]
    reached = [step.split("(cost")[0].strip(" ->") for step in steps if documents.name in step and "Scan" in step]
    return f"- {size:,} documents: {'; '.join(reached)}"


def _table(measured: Mapping[tuple[str, bool, int], Mapping[str, Cell]]) -> str:
    names = {
        "asgiauth": "`where()`",
        "with a rule": "and a rule",
        "ids": "ids, then IN",
        "guardian": "`get_objects_for_user`",
    }
    present = [name for name in names if name in next(iter(measured.values()))]
    others = [name for name in present if name in ("ids", "guardian")]
    head = ["user", "asked for", "documents", "rows", *(f"{names[name]}, ms" for name in present)]
    head += [f"{names[name]} / `where()`" for name in others]
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'--:|' * (len(head) - 2)}"]
    for (kind, page, size), cells in measured.items():
        own = cells["asgiauth"]
        if any(cells[name].count != own.count for name in others):
            raise RuntimeError(f"not the same rows: {cells}")
        row = [kind, "a page of 20" if page else "all ids", f"{size:,}", str(own.count)]
        row += [f"{cells[name].milliseconds:.2f}" for name in present]
        row += [f"{cells[name].milliseconds / own.milliseconds:.1f}" for name in others]
        lines.append(f"| {' | '.join(row)} |")
    for kind in USERS:
        for page in (False, True):
            first, last = (measured[kind, page, size] for size in (SIZES[0], SIZES[-1]))
            growth = [f"{last[name].milliseconds / first[name].milliseconds:.1f}" for name in present]
            what = "a page of 20" if page else "all ids"
            row = [kind, what, f"{SIZES[0]:,} to {SIZES[-1]:,}", "growth", *growth, *("" for _ in others)]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)

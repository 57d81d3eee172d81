"""`asgiauth import-django`: from a Django database into the one of the Auth."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from ..auth import Auth
from ..db.snapshot import snapshot
from ..django_import import DjangoImport, Imported
from ..users.newcomers import Newcomers
from .passwords import progress
from .site import connected
from .words import counted, printable

__all__ = ["import_django"]

_SHOWN = 10


@click.command("import-django")
@click.argument("url", envvar="ASGIAUTH_DJANGO_URL")
@click.option("--batch", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Users a transaction.")
@click.option("--dry-run", is_flag=True, help="Write nothing, and say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object with numbers, and all that was skipped.")
@click.pass_context
def import_django(ctx: click.Context, *, url: str, batch: int, dry_run: bool, as_json: bool) -> None:
    """Copy users, groups, permissions and grants from the Django database at URL, which is only read.

    Users keep their ids and passwords. May be killed and run again: it goes on where it stopped. The environment's
    ASGIAUTH_DJANGO_URL stands in for URL, and is not in the list of processes. Exit code 1 if anything was skipped.
    """
    auth = ctx.obj.auth() if dry_run else ctx.obj.writable()
    with connected(auth) as run:
        outcome = run(_imported(auth, url, batch=batch, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(_as_dict(outcome, dry_run=dry_run)))
    else:
        _show(outcome, dry_run=dry_run)
    ctx.exit(0 if outcome.is_complete else 1)


async def _imported(auth: Auth[Any], url: str, *, batch: int, dry_run: bool) -> Imported:
    users, database, tables = auth.users, auth._database, auth.tables
    newcomers = Newcomers(database, tables, users._identifiers, users._names, dry_run=dry_run)
    async with snapshot(url) as source:
        job = DjangoImport(source, database, tables, newcomers, batch=batch, dry_run=dry_run)
        with progress(await job.check(), "Importing") as advance:
            async for number in job.run():
                advance(number)
        return job.outcome


def _as_dict(outcome: Imported, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "tables": {name: asdict(count) for name, count in outcome.tables.items()},
        "skipped": [asdict(one) for one in outcome.skipped],
        "twins": [{"user": str(twin.user_id), "field": twin.field} for twin in outcome.twins],
    }


def _show(outcome: Imported, *, dry_run: bool) -> None:
    width = max(map(len, outcome.tables))
    click.echo(f"{'':{width}}      read     added   present   skipped")
    for name, count in outcome.tables.items():
        numbers = (count.read, count.added, count.present, count.skipped)
        click.echo(f"{name:{width}}" + "".join(f"{number:10}" for number in numbers))
    for one in outcome.skipped[:_SHOWN]:
        click.echo(f"{one.table} {printable(one.key)}: skipped, {printable(one.reason)}.", err=True)
    if len(outcome.skipped) > _SHOWN:
        click.echo(f"{len(outcome.skipped)} skipped in all: --json names them.", err=True)
    if outcome.twins:
        shown = ", ".join(f"{printable(twin.user_id)} ({twin.field})" for twin in outcome.twins[:_SHOWN])
        rest = ", ..." if outcome.twins[_SHOWN:] else ""
        click.echo(
            f"{counted(len(outcome.twins), 'twin')}: what these ids have there is the name or address of another user "
            f"too: {shown}{rest}. They log in by the exact user name."
        )
    if dry_run:
        click.echo("Nothing was written.")

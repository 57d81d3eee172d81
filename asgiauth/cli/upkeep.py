"""Commands that keep a site running: `db`, `clearsessions`, `worker`."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from typing import Any

import click

from ..auth import Auth
from ..jobs import running
from .site import Site, announce, connected, refuse_memory
from .words import counted

__all__ = ["clearsessions", "db", "worker"]


@click.group()
def db() -> None:
    """Bring the tables up to date, or see what is missing."""


@db.command()
@click.option("--for-django", is_flag=True, help="Also note the migrations of contenttypes and auth as done.")
@click.pass_obj
def upgrade(site: Site, *, for_django: bool) -> None:
    """Create and change tables until they are as this version needs them. Changes none of Django's."""
    from ..db.migrate import upgrade as bring_up_to_date

    auth = site.writable()
    with connected(auth) as run:
        announce("Bringing the database up to date")
        done = run(bring_up_to_date(auth, for_django=for_django))
    for line in [*done, "The database is up to date."]:
        click.echo(line)


@db.command("check")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of what is missing.")
@click.pass_context
def check_database(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is missing in the database. Exit code 1 if anything is."""
    from ..db.migrate import check

    auth = ctx.obj.auth()
    with connected(auth) as run:
        problems = run(check(auth))
    if as_json:
        click.echo(json.dumps(problems))
    else:
        for line in problems or ["The database is up to date."]:
            click.echo(line)
    ctx.exit(1 if problems else 0)


@click.command()
@click.pass_obj
def clearsessions(site: Site) -> None:
    """Delete what has expired and is of no use any more: sessions, unfinished logins, limits (row A18.3). On a database
    that Django uses too: also what is left of users, groups and permissions that Django has deleted."""
    auth = site.writable()
    refuse_memory(auth)
    with connected(auth) as run:
        announce("Deleting what has expired")
        count = run(auth.sessions.purge_expired())
        waiting = run(auth.middleware[0].args[0].login.pending.purge_expired())  # type: ignore[attr-defined]
        limits = run(auth._limits.purge_expired())
        orphans = run(auth._purge_orphans())
    sessions, logins = counted(count, "expired session"), counted(waiting, "unfinished login")
    click.echo(f"Deleted {sessions}, {logins} and {counted(limits, 'spent limit')}.")
    if orphans:
        click.echo(f"Deleted {counted(orphans, 'row')} of what Django has deleted.")


@click.command()
@click.pass_obj
def worker(site: Site) -> None:
    """Do the work that recurs, such as deleting what has expired, until it is told to stop (SIGINT, SIGTERM).

    For Auth(jobs="worker"), whose servers leave it to this process.
    """
    auth = site.writable()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asgiauth").setLevel(logging.INFO)
    with connected(auth) as run:
        run(_work(auth))
    click.echo("Stopped.")


async def _work(auth: Auth[Any]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    # not loop.add_signal_handler, which Windows does not have
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        async with running(auth._jobs):
            for job in auth._jobs:
                click.echo(f"{job.name}: every {job.every}")
            click.echo("Working. Press Ctrl-C to stop.")
            await stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

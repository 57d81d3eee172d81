"""Commands about stored hashes: `passwords wrap` and `calibrate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import get_args

import click

from ..passwords.calibration import calibrated
from ..passwords.hashers.wrapped import OldScheme
from ..passwords.pool import HashingPool
from ..sessions.memory import MemorySessionStore
from ..users.wrapping import OldHashes, Refused, Wrapped
from .site import Run, Site, connected, is_terminal
from .words import counted, printable

__all__ = ["calibrate", "passwords", "progress"]

_SHOWN = 10


@click.group()
def passwords() -> None:
    """Work on the stored hashes of all users."""


@passwords.command()
@click.argument("schemes", nargs=-1, required=True, type=click.Choice(get_args(OldScheme)))
@click.option("--batch", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Rows to read at once.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object of numbers.")
@click.pass_context
def wrap(ctx: click.Context, *, schemes: tuple[OldScheme, ...], batch: int, dry_run: bool, as_json: bool) -> None:
    """Hash the stored hashes of old SCHEMES once more, so that they are strong before anybody logs in.

    The passwords stay, and everybody stays logged in; the next login makes a usual hash of it. May be interrupted and
    run again, while the site is running: every server must know WrappedHasher first, which the default policy does.
    """
    auth = ctx.obj.auth() if dry_run else ctx.obj.writable()
    old = OldHashes(auth._database, auth.tables, auth.passwords, auth.sessions, schemes=frozenset(schemes), batch=batch)
    if isinstance(auth.sessions.store, MemorySessionStore):
        click.echo("Sessions are in the memory of the server, out of reach: who has one must log in again.", err=True)
    with connected(auth) as run:
        found = run(old.count())
        if dry_run:
            click.echo(json.dumps(found) if as_json else _told(found, "to wrap"))
            return
        outcome = Wrapped()
        with progress(found.total(), "Wrapping") as advance:
            for part in _parts(run, old):
                outcome.add(part)
                advance(part.total)
    if as_json:
        refused = [
            {"user": str(one.user_id), "history": one.history_id, "reason": one.reason} for one in outcome.refused
        ]
        click.echo(json.dumps({"wrapped": outcome.done, "changed": outcome.changed, "refused": refused}))
    else:
        click.echo(_told(outcome.done, "wrapped"))
        if outcome.changed:
            click.echo(f"{outcome.changed} changed meanwhile, by a login or to a new password.")
        for one in outcome.refused[:_SHOWN]:
            click.echo(_refusal(one, auth.tables.password_history.name), err=True)
        if outcome.refused:
            click.echo(f"{len(outcome.refused)} not wrapped.", err=True)
    ctx.exit(1 if outcome.refused else 0)


@click.command()
@click.option(
    "--target-ms", type=click.IntRange(1, 10_000), default=250, show_default=True, help="Milliseconds for one hash."
)
@click.option(
    "--memory", type=click.IntRange(1), default=256, show_default=True, help="MiB for all hashes that run at once."
)
@click.option("--slots", type=click.IntRange(1, 64), help="How many run at once; by default as many as your Auth lets.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object with the proposal and all that was measured.")
@click.pass_obj
def calibrate(site: Site, *, target_ms: int, memory: int, slots: int | None, as_json: bool) -> None:
    """Measure what Argon2id costs on this machine, and propose parameters. Never less than OWASP's least.

    A hash is paid by your server for each login, right or wrong. Needs no --app, and heeds its hash_slots.
    """
    slots = slots or _slots(site)
    if is_terminal(sys.stderr):
        click.echo("Measuring ...", err=True)
    found = calibrated(target_ms / 1000, memory=memory, slots=slots)
    line = (
        f"PasswordPolicy(hashers=preferring(Argon2Hasher(time_cost={found.best.time_cost}, "
        f"memory_cost={found.best.memory_cost}, parallelism=1)))"
    )
    if as_json:
        told = {"slots": slots, "target_ms": target_ms, "is_within": found.is_within, "code": line}
        rows = [asdict(row) for row in found.rows]
        click.echo(json.dumps({**told, "best": asdict(found.best), "measured": rows}))
        return
    click.echo(f"{counted(slots, 'hash slot')}, at most {target_ms} ms and {memory} MiB in all:\n")
    click.echo("    MiB  passes      ms  logins/s  MiB in all")
    for row in found.rows:
        mark = "->" if row is found.best else "  "
        size = row.memory_cost / 1024
        cells = f"{size:5.0f}  {row.time_cost:6}  {1000 * row.seconds:6.0f}  {slots / row.seconds:8.1f}"
        click.echo(f"{mark}{cells}  {size * slots:10.0f}")
    if not found.is_within:
        click.echo("\nThis machine needs longer even for OWASP's least. Go no lower: the target is too short.")
    click.echo(f"\nfrom asgiauth.passwords import Argon2Hasher, preferring\n{line}")


def _slots(site: Site) -> int:
    try:
        auth = site.auth()
    except click.ClickException:  # there is none yet: this is where one begins
        return HashingPool().slots
    return auth.passwords.slots


def _parts(run: Run, old: OldHashes) -> Iterator[Wrapped]:
    wrapping = old.wrap()

    async def following() -> Wrapped | None:
        return await anext(wrapping, None)

    while (part := run(following())) is not None:
        yield part


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if somebody sits there."""
    if not is_terminal(sys.stderr):
        yield lambda number: None
        return
    with click.progressbar(length=total, label=label, show_pos=True, file=sys.stderr) as bar:
        yield bar.update


def _refusal(one: Refused, history: str) -> str:
    user = f"User {printable(one.user_id)}"
    if one.history_id is None:
        return f"{user}: {one.reason}. Give that user another password."
    return (
        f"{user}, a former password: {one.reason}. Delete the row with the id {one.history_id} of {history}: that "
        "password is allowed again then."
    )


def _told(counts: Mapping[OldScheme, int], what: str) -> str:
    each = ", ".join(f"{scheme} {number}" for scheme, number in sorted(counts.items()))
    return f"{sum(counts.values())} {what}" + (f": {each}." if each else ".")

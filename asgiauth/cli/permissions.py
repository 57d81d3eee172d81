"""Commands about permissions: `syncpermissions`, and `explain`."""

from __future__ import annotations

import json
from typing import Any

import click

from ..auth import Auth
from ..exceptions import NotFound, UnknownPermission
from ..permissions.explanation import Explanation
from .site import Site, Unusable, announce, connected
from .words import counted, printable

__all__ = ["explain", "syncpermissions"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON object with what was added and renamed.")
@click.pass_obj
def syncpermissions(site: Site, *, as_json: bool) -> None:
    """Write the permissions that the Auth declares into the database, and rename those that have another name now
    (row A18.4). Deletes none. Exit code 1 if one is there under both names."""
    auth = site.writable()
    with connected(auth) as run:
        announce("Declaring permissions")
        added, renamed = run(auth.permissions._sync())
    if as_json:
        click.echo(json.dumps({"added": added, "renamed": dict(renamed)}))
        return
    for former, perm in renamed:
        click.echo(f"Renaming permission '{former}' to '{perm}'")
    for perm in added:
        click.echo(f"Adding permission '{perm}'")
    click.echo(f"{counted(len(auth.permissions.declared), 'permission')} declared, {len(added)} added.")


@click.command()
@click.argument("user")
@click.argument("perm")
@click.argument("obj", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON object with each source's answer.")
@click.pass_context
def explain(ctx: click.Context, *, user: str, perm: str, obj: str | None, as_json: bool) -> None:
    """Say whether USER may do PERM, and why: what each source of permissions says. OBJ is the key of one object;
    before a negative one write --.

    Exit code 0 if so, 1 if not, 2 for a user, a permission or an object that does not exist.
    """
    auth: Auth[Any] = ctx.obj.auth()
    with connected(auth) as run:
        found: Explanation = run(_explained(auth, user, perm, obj))
    click.echo(json.dumps(found.as_dict()) if as_json else str(found))
    ctx.exit(0 if found.allowed else 1)


async def _explained(auth: Auth[Any], name: str, perm: str, key: str | None) -> Explanation:
    user = await auth.users.find(name)
    if user is None:
        raise Unusable(f"user '{printable(name)}' does not exist; asgiauth users lists them")
    try:
        obj = await auth.permissions._named(perm, key)
    except (NotFound, UnknownPermission, TypeError) as error:
        raise Unusable(printable(error)) from error
    return await auth.permissions.explain(user, perm, obj)

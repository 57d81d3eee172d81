"""`asgiauth check`: is anything wrong (row A19), and with `--deploy`: is it good enough for others to use?"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .app_findings import of_application
from .findings import of_auth, of_deployment
from .routes import application
from .site import Site
from .words import counted, printable

__all__ = ["check"]

_COLOURS = {"error": "red", "warning": "yellow"}


@click.command()
@click.option("--deploy", is_flag=True, help="Also what is only wrong in production.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects with code, level, text and cure.")
@click.argument("app", metavar="[MODULE:APP]", required=False)
@click.pass_context
def check(ctx: click.Context, *, app: str | None, deploy: bool, as_json: bool) -> None:
    """Check the Auth, and with MODULE:APP the application too. Exit code 1 on errors; warnings do not count."""
    site: Site = ctx.obj
    auth = site.auth()
    found = list(of_auth(auth))
    if deploy:
        found += of_deployment(auth)
    if app is not None:
        found += of_application(application(app), auth, deploy=deploy)
    found.sort(key=lambda finding: finding.level)
    errors = sum(finding.level == "error" for finding in found)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found]))
    else:
        for finding in found:
            click.secho(f"{finding.level} {finding.code}", fg=_COLOURS[finding.level], bold=True)
            click.echo(f"    {printable(finding.text)}\n    {finding.cure}")
        if app is None:
            click.echo("Give MODULE:APP to check its middleware and routes, too.")
        count = f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}."
        click.echo(count if found else "Nothing is wrong.")
    ctx.exit(1 if errors else 0)

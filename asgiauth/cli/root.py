"""The commands, and what they have in common: the options before them, and errors told in a line."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from ..exceptions import AsgiAuthError
from .accounts import changepassword, createsuperuser, revoke, users
from .check import check
from .import_django import import_django
from .passwords import calibrate, passwords
from .permissions import explain, syncpermissions
from .routes import routes
from .site import Site, configured_app
from .starter import init
from .upkeep import clearsessions, db, worker
from .words import told

__all__ = ["root"]


class _Group(click.Group):
    """Expected errors are one line on stderr; `--traceback` shows where they come from. Besides the commands that are
    always there it has those of the features of the `Auth`, where one can be found."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        ours = super().get_command(ctx, cmd_name)
        return ours or next((command for command in _of_features(ctx) if command.name == cmd_name), None)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(command.name or "" for command in _of_features(ctx))]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AsgiAuthError, click.ClickException) as error:
            if ctx.params["traceback"]:
                click.echo("".join(traceback.format_exception(error)), err=True)
            if isinstance(error, click.ClickException):
                raise
            raise click.ClickException(told(error)) from error


def _of_features(ctx: click.Context) -> Sequence[click.Command]:
    """Blank where there is no Auth: a name that is not known is told so, and help is help."""
    try:
        return Site(ctx.params.get("app") or configured_app).auth().commands
    except click.ClickException:
        return ()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--app",
    metavar="MODULE:AUTH",
    envvar="ASGIAUTH_APP",
    is_eager=True,  # known to --help, too, which lists the commands of its features
    help="Where the Auth object is; else ASGIAUTH_APP, or app in [tool.asgiauth] of ./pyproject.toml.",
)
@click.option("--traceback", is_flag=True, help="Show where an error comes from.")
@click.version_option(version("asgiauth"), prog_name="asgiauth")
@click.pass_context
def root(ctx: click.Context, *, app: str | None, traceback: bool) -> None:
    """Authentication for Starlette and FastAPI, from the terminal.

    Exit codes: 0 done, 1 problems found or cancelled, 2 asked for in a wrong way.
    """
    ctx.obj = Site(app or configured_app)


for command in (
    init,
    db,
    createsuperuser,
    changepassword,
    clearsessions,
    users,
    revoke,
    syncpermissions,
    explain,
    passwords,
    calibrate,
    import_django,
    check,
    routes,
    worker,
):
    root.add_command(command)

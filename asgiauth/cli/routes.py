"""`asgiauth routes module:app`: who gets where?"""

from __future__ import annotations

import json
from typing import Any

import click
from starlette.applications import Starlette
from starlette.routing import Router

from ..checks import Finding
from .asked import of_permissions
from .describe import RouteInfo, describe, next_layer
from .site import Unusable, load
from .words import printable

__all__ = ["application", "routes"]


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 if a route is open unsaid, or a guard is lost or wrong.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
@click.argument("app", metavar="MODULE:APP")
@click.pass_context
def routes(ctx: click.Context, *, app: str, strict: bool, as_json: bool) -> None:
    """Every route of MODULE:APP and what guards it, in the order the server would match."""
    found = describe(application(app))
    unmarked = [info for info in found if info.state == "open"]
    lost = [info for info in found if info.problems]
    wrong = [list(of_permissions(info)) for info in found]
    if as_json:
        click.echo(json.dumps([_as_dict(info, findings) for info, findings in zip(found, wrong, strict=True)]))
    else:
        _show(found, wrong)
        if unmarked:
            click.echo(f"\n{len(unmarked)} open without a word: add a guard, @public, or protect(app).")
    mistaken = any(finding.level == "error" for findings in wrong for finding in findings)
    ctx.exit(1 if strict and (unmarked or lost or mistaken) else 0)


def application(spec: str) -> Any:
    """What serves requests there, with the middleware that was put around it by hand. Raises `Unusable`."""
    app = load(spec, "app")
    inside = app
    while not isinstance(inside, (Starlette, Router)):
        inside = next_layer(inside)
        if inside is None:
            name = spec.rpartition(":")[2]
            hint = f"; if it makes one, write app = {name}() and name that" if callable(app) else ""
            raise Unusable(f"{spec} is no Starlette or FastAPI application{hint}")
    return app


def _as_dict(info: RouteInfo, findings: list[Finding]) -> dict[str, Any]:
    return {**info.as_dict(), "problems": [*info.problems, *(finding.text for finding in findings)]}


def _show(found: list[RouteInfo], wrong: list[list[Finding]]) -> None:
    rows = [_row(info) for info in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row, info, findings in zip(rows, found, wrong, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, fg="red" if info.state == "open" or info.problems else None)
        for problem in info.problems:
            click.secho(f"    LOST: {problem}", fg="red")
        for finding in findings:
            click.secho(f"    WRONG: {printable(finding.text)}", fg="red")


def _row(info: RouteInfo) -> tuple[str, ...]:
    methods = [method for method in info.methods if method != "HEAD" or "GET" not in info.methods]
    spoken = "WS" if info.kind == "websocket" else ",".join(methods) or "ANY"
    words = {"guarded": " & ".join(info.guards), "public": "public", "closed": "closed by protect", "open": "OPEN"}
    exempt = " (csrf_exempt)" if info.csrf_exempt else ""
    return tuple(printable(cell) for cell in (spoken, info.path, words[info.state] + exempt, info.endpoint))

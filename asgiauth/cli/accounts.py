"""Commands about users: `createsuperuser` and `changepassword` as Django's (rows A18.1, A18.2), `users`, `revoke`."""

from __future__ import annotations

import getpass
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import click

from ..auth import Auth
from ..exceptions import InvalidField, PasswordRejected, UserExists
from ..passwords.policy import unstorable
from ..users import User
from ..users.store import PAGE_LIMIT
from .fields import AsksForFields, Field, fields_of, judged
from .site import Run, Site, Unusable, connected, is_terminal, refuse_memory, watched
from .words import counted, objections, printable, told

__all__ = ["changepassword", "createsuperuser", "revoke", "users"]

_TRIES = 3


@click.command(cls=AsksForFields)
@click.option(
    "--noinput",
    "--no-input",
    is_flag=True,
    help="Ask nothing: ASGIAUTH_SUPERUSER_USERNAME, _EMAIL, _PASSWORD and so on stand in.",
)
@click.pass_obj
def createsuperuser(site: Site, /, *, noinput: bool, **given: str | None) -> None:
    """Create a user who may do everything.

    What your own user model requires, or cannot do without, has an option of its own, and is asked for too.
    """
    auth = site.writable()
    fields = fields_of(auth)
    if noinput:
        given = {field.name: _unattended(field.option, given[field.name]) for field in fields}
    elif not is_terminal(sys.stdin):
        raise click.ClickException(
            "Superuser creation skipped due to not running in a TTY. Run it in one, or give --noinput and "
            "ASGIAUTH_SUPERUSER_PASSWORD"
        )
    values: dict[str, Any] = {}
    with connected(auth) as run:
        for field in fields:  # what is wrong already is told before anything is asked
            if (text := given[field.name]) is not None:
                values[field.name] = judged(run, auth, field, text, values)
        has_passwords = "password" in auth.tables.user.c
        password = None
        if noinput:
            password = os.environ.get("ASGIAUTH_SUPERUSER_PASSWORD") if has_passwords else None
            _warn(run, auth, password, SimpleNamespace(**values))
        else:
            for field in fields:
                if field.name not in values:
                    values[field.name] = _asked(run, auth, field, values)
            password = _chosen(run, auth, SimpleNamespace(**values)) if has_passwords else None
        # whoever typed a weak password has been asked, and whoever runs a script has been told
        user = run(auth.users.create_superuser(password=password, validate=False, **values))
    click.echo("Superuser created successfully.")
    if password is None and has_passwords:
        click.echo(f"It has no password yet: asgiauth changepassword {user.username}")


@click.command()
@click.argument("user", required=False)
@click.option("--expire", is_flag=True, help="Have USER choose another one at the next login.")
@click.pass_obj
def changepassword(site: Site, user: str | None, *, expire: bool) -> None:
    """Give USER another password; by default the user who is called as you are here. Ends that user's sessions."""
    auth = site.writable()
    if "password" not in auth.tables.user.c:
        raise click.ClickException("these users have no password: their UserModel is without that column")
    if not is_terminal(sys.stdin):
        raise click.ClickException("a password is typed, not piped: run this in a terminal")
    with connected(auth) as run:
        found = _found(run, auth, user or _os_user())
        click.echo(f"Changing password for user '{found.username}'")
        for _ in range(_TRIES):
            password = _typed_twice()
            if password is None:
                continue
            try:
                run(auth.users.set_password(found, password))
            except PasswordRejected as error:
                _complain(objections(error.reasons))
                continue
            if expire:
                run(auth.users.require_password_change(found))
            click.echo(f"Password changed successfully for user '{found.username}'")
            return
    raise click.ClickException(f"Aborting password change for user '{found.username}' after {_TRIES} attempts")


@click.command()
@click.option("--search", metavar="TEXT", help="A part of the user name, the e-mail address or a name.")
@click.option("--active/--inactive", default=None, help="Only those who may log in, or may not.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, with every public field.")
@click.pass_obj
def users(site: Site, *, search: str | None, active: bool | None, limit: int | None, as_json: bool) -> None:
    """List the users, by id."""
    auth = site.auth()
    with connected(auth) as run:
        found = list(watched(_pages(run, auth, search=search, active=active, limit=limit), "Reading users"))
    if as_json:
        click.echo(json.dumps([user.as_dict() for user in found]))
        return
    rows = [("ID", "USER NAME", "E-MAIL", "LAST LOGIN", ""), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@click.argument("user")
@click.pass_obj
def revoke(site: Site, user: str) -> None:
    """Log USER out everywhere, at once."""
    auth = site.writable()
    refuse_memory(auth)
    with connected(auth) as run:
        found = _found(run, auth, user)
        count = run(auth.sessions.revoke_all(found))
    click.echo(f"Ended {counted(count, 'session')} of '{found.username}'.")


def _unattended(field: str, given: str | None) -> str:
    variable = f"ASGIAUTH_SUPERUSER_{field.upper()}"
    value = os.environ.get(variable) if given is None else given
    if value is None:
        raise Unusable(f"--noinput needs --{field} or {variable}")
    return value


def _warn(run: Run, auth: Auth[Any], password: str | None, user: object) -> None:
    """Django checks no unattended password either (A18.1), and says nothing."""
    if password and (problems := _objections(run, auth, password, user)):
        click.echo(f"Warning: ASGIAUTH_SUPERUSER_PASSWORD is not a good password. {' '.join(problems)}", err=True)


def _asked(run: Run, auth: Auth[Any], field: Field, values: Mapping[str, Any]) -> Any:
    """Typed, until it is right."""
    default = None
    if field.option == "username":
        default = _free_name(run, auth)
    elif field.name == "email":
        default = values["username"] if "@" in values["username"] else ""
    while True:
        try:
            text = click.prompt(field.label, default=default, show_default=bool(default))
            return judged(run, auth, field, text, values)
        except (InvalidField, UserExists) as error:
            click.echo(f"Error: {told(error)}", err=True)


def _chosen(run: Run, auth: Auth[Any], user: object) -> str:
    while True:
        password = _typed_twice()
        if password is None:
            continue
        problems = _objections(run, auth, password, user)
        _complain(problems)
        is_possible = unstorable(password) is None
        question = "Bypass password validation and create user anyway?"
        if not problems or (is_possible and click.confirm(question, default=False)):
            return password


def _typed_twice() -> str | None:
    """None for a password that is blank, or not twice the same."""
    first, again = (
        click.prompt(label, hide_input=True, default="", show_default=False)
        for label in ("Password", "Password (again)")
    )
    if first != again:
        _complain(["Your passwords didn't match."])
    elif not first.strip():
        _complain(["Blank passwords aren't allowed."])
    else:
        return str(first)
    return None


def _objections(run: Run, auth: Auth[Any], password: str, user: object) -> list[str]:
    try:
        run(auth.passwords.validate(password, user))
    except PasswordRejected as error:
        return objections(error.reasons)
    return []


def _complain(problems: list[str]) -> None:
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)


def _found(run: Run, auth: Auth[Any], name: str) -> User:
    user: User | None = run(auth.users.find(name))
    if user is None:
        raise click.ClickException(f"user '{printable(name)}' does not exist; asgiauth users lists them")
    return user


def _free_name(run: Run, auth: Auth[Any]) -> str | None:
    name = _os_user()
    try:
        auth.users._names.checked({"username": name})
    except InvalidField:  # where names are numbers, or addresses
        return None
    return name if run(auth.users.find(name)) is None else None


def _os_user() -> str:
    """Whoever runs this, as a user name: ASCII, lower case; blank where that cannot be told."""
    try:
        name = getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().replace(" ", "").lower()


def _pages(run: Run, auth: Auth[Any], *, search: str | None, active: bool | None, limit: int | None) -> Iterator[User]:
    after, left = None, limit
    while left is None or left > 0:
        size = PAGE_LIMIT if left is None else min(PAGE_LIMIT, left)
        page = run(auth.users.page(search=search, active=active, after=after, limit=size))
        yield from page.items
        if page.next is None:
            return
        after = page.next
        left = None if left is None else left - len(page.items)


def _row(user: User) -> tuple[str, ...]:
    roles = [
        word
        for word, holds in (
            ("superuser", user.is_superuser),
            ("staff", user.is_staff and not user.is_superuser),
            ("inactive", not user.is_active),
        )
        if holds
    ]
    last = "never" if user.last_login is None else f"{user.last_login:%Y-%m-%d %H:%M}"
    return tuple(printable(cell) for cell in (user.id, user.username, user.email, last, ", ".join(roles)))

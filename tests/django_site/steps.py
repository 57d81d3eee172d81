"""Django at work, step by step, in one process: `python steps.py`, by the python of `.venv-django`.

A line of JSON on stdin asks, `{"do": "grant", "args": [...], "kwargs": {...}}`, and one on stdout answers,
`{"result": ...}` or `{"error": [class, message]}`. Each step has database connections of its own, as a request has.
"""

from __future__ import annotations

import builtins
import contextlib
import getpass
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from unittest import mock

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.db.models import Q
from django.test import Client
from django_migrate import database

User = get_user_model()
application = get_wsgi_application()


def main() -> None:
    questions = sys.stdin
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a command prints is no answer
    for line in questions:
        step = json.loads(line)
        try:
            answer = {"result": STEPS[step["do"]](*step["args"], **step["kwargs"])}
            text = json.dumps(answer, default=_text)
        except Exception as error:
            text = json.dumps({"error": [type(error).__name__, str(error)]})
        connections.close_all()
        print(text, file=answers, flush=True)


def do_use(url: str) -> None:
    """From now on works on that database."""
    connections.settings["default"] = connections.configure_settings({"default": database(url)})["default"]
    with contextlib.suppress(AttributeError):  # there is none before the first query
        del connections["default"]
    ContentType.objects.clear_cache()


# Users


def do_create_user(username: str, superuser: bool = False, **fields: Any) -> int:
    """Its id."""
    manager = User._default_manager
    return (manager.create_superuser if superuser else manager.create_user)(username, **fields).pk


def do_user(username: str) -> dict[str, Any] | None:
    """The row, and whether the password can be used; None if there is no such user."""
    row = User._default_manager.filter(username=username).values().first()
    return row and {**row, "usable": _user(username).has_usable_password()}


def do_usernames() -> list[str]:
    return sorted(User._default_manager.values_list("username", flat=True))


def do_change(username: str, /, **fields: Any) -> None:
    user = _user(username)
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()


def do_set_password(username: str, password: str | None) -> None:
    user = _user(username)
    user.set_password(password)
    user.save()


def do_check_password(username: str, password: str) -> bool:
    return _user(username).check_password(password)


def do_deactivate(username: str) -> None:
    do_change(username, is_active=False)


def do_delete(username: str) -> None:
    _user(username).delete()


def do_authenticate(username: str, password: str) -> str | None:
    """Who it is."""
    user = authenticate(username=username, password=password)
    return user and user.get_username()


def do_client_login(username: str, password: str) -> str:
    """The session key that the login of Django's test client gets; blank if it is refused."""
    client = Client()
    client.login(username=username, password=password)
    cookie = client.cookies.get("sessionid")
    return cookie.value if cookie else ""


def do_force_login(username: str) -> str:
    """The session key that Django's test client gets without a password."""
    client = Client()
    client.force_login(_user(username))
    return client.cookies["sessionid"].value


# Groups and permissions


def do_create_group(name: str, perms: Sequence[str] = (), usernames: Sequence[str] = ()) -> None:
    group = Group.objects.create(name=name)
    group.permissions.set(map(_permission, perms))
    group.user_set.set(map(_user, usernames))


def do_group(name: str) -> dict[str, list[str]] | None:
    """What it may do, and who is in it; None if there is no such group."""
    group = Group.objects.filter(name=name).first()
    return group and {
        "permissions": sorted(permission.user_perm_str for permission in group.permissions.all()),
        "members": sorted(group.user_set.values_list("username", flat=True)),
    }


def do_rename_group(name: str, new: str) -> None:
    Group.objects.filter(name=name).update(name=new)


def do_delete_group(name: str) -> None:
    Group.objects.get(name=name).delete()


def do_join(username: str, *groups: str) -> None:
    _user(username).groups.add(*Group.objects.filter(name__in=groups))


def do_leave(username: str, *groups: str) -> None:
    _user(username).groups.remove(*Group.objects.filter(name__in=groups))


def do_grant(username: str, *perms: str) -> None:
    _user(username).user_permissions.add(*map(_permission, perms))


def do_revoke(username: str, *perms: str) -> None:
    _user(username).user_permissions.remove(*map(_permission, perms))


def do_grant_group(name: str, *perms: str) -> None:
    Group.objects.get(name=name).permissions.add(*map(_permission, perms))


def do_revoke_group(name: str, *perms: str) -> None:
    Group.objects.get(name=name).permissions.remove(*map(_permission, perms))


def do_has_perm(username: str, perm: str) -> bool:
    return _user(username).has_perm(perm)


def do_permissions_of(username: str) -> list[str]:
    return sorted(_user(username).get_all_permissions())


def do_groups_of(username: str) -> list[str]:
    return sorted(_user(username).groups.values_list("name", flat=True))


def do_create_permission(perm: str, name: str) -> None:
    """On the content type of posts, or of whatever the app has."""
    app, _, codename = perm.partition(".")
    kind = Permission.objects.filter(content_type__app_label=app).first().content_type
    Permission.objects.create(content_type=kind, codename=codename, name=name)


def do_delete_permission(perm: str) -> None:
    _permission(perm).delete()


# Commands and code


def do_command(
    name: str, *args: Any, replies: Sequence[str] = (), environment: dict[str, str] | None = None, **options: Any
) -> str:
    """What the command printed. `replies`: what is typed when it asks, in order, passwords too."""
    said = io.StringIO()
    with _typed(replies), mock.patch.dict(os.environ, environment or {}):
        call_command(name, *args, stdout=said, stderr=said, no_color=True, **options)
    return said.getvalue()


def do_migrate(*args: str) -> str:
    return do_command("migrate", *args, interactive=False)


def do_flush() -> str:
    return do_command("flush", interactive=False)


def do_run(source: str, **names: Any) -> Any:
    """Runs Python code that knows `names`, and returns what it has called `result`."""
    space: dict[str, Any] = {"User": User, "Group": Group, "Permission": Permission, **names}
    exec(source, space)
    return space.get("result")


# HTTP


def do_http(method: str, path: str, query: str, headers: list[list[str]], body: str) -> dict[str, Any]:
    """One request through the WSGI application, as a server would pass it on. Text is Latin-1, byte for byte."""
    data = body.encode("latin-1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        joined = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joined}{value}" if key.startswith("HTTP_") and key in environ else value
    answer: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        answer.update(status=int(status[:3]), headers=headers)

    response = application(environ, start_response)
    answer["body"] = b"".join(response).decode("latin-1")
    response.close()
    return answer


def _text(value: object) -> str:
    """Of a date as asgiauth writes it."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _user(username: str) -> Any:
    return User._default_manager.get_by_natural_key(username)


def _permission(perm: str) -> Permission:
    app, _, codename = perm.partition(".")
    return Permission.objects.get(Q(content_type__app_label=app), codename=codename)


@contextlib.contextmanager
def _typed(replies: Sequence[str]) -> Iterator[None]:
    left = iter(replies)

    def reply(prompt: str = "") -> str:
        return next(left)

    terminal = mock.Mock(isatty=lambda: True)
    with (
        mock.patch.object(getpass, "getpass", reply),
        mock.patch.object(builtins, "input", reply),
        mock.patch.object(sys, "stdin", terminal),
    ):
        yield


STEPS: dict[str, Callable[..., Any]] = {
    name.removeprefix("do_"): step for name, step in list(globals().items()) if name.startswith("do_")
}

if __name__ == "__main__":
    main()

"""What a real Django makes of permissions, step by step: `python django_permissions.py URL`, run by the python of
`.venv-django`. Steps come as JSON on stdin, `[[what, argument, ...], ...]`; their answers are printed so, in order.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from django_migrate import database  # type: ignore[import-not-found]


def main(url: str) -> None:
    import django  # type: ignore[import-not-found]
    from django.conf import settings  # type: ignore[import-not-found]

    settings.configure(
        DATABASES={"default": database(url)},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        USE_TZ=True,
    )
    django.setup()
    steps = json.load(sys.stdin)
    json.dump([globals()[f"do_{what}"](*arguments) for what, *arguments in steps], sys.stdout)


def do_migrate() -> None:
    """Makes the tables that are missing, and the permissions of its own models."""
    from django.core.management import call_command  # type: ignore[import-not-found]

    call_command("migrate", verbosity=0, interactive=False)


def do_sets(username: str) -> list[list[str]]:
    """All that the user may do, what is the user's own, what comes through groups."""
    user = _user(username)
    return [
        sorted(found)
        for found in (user.get_all_permissions(), user.get_user_permissions(), user.get_group_permissions())
    ]


def do_has(username: str, perm: str) -> bool:
    return bool(_user(username).has_perm(perm))


def do_has_module(username: str, app: str) -> bool:
    return bool(_user(username).has_module_perms(app))


def do_with_perm(perm: str, active: bool | None, superusers: bool) -> list[str]:
    from django.contrib.auth.models import User  # type: ignore[import-not-found]

    found = User.objects.with_perm(perm, is_active=active, include_superusers=superusers)
    return sorted(user.username for user in found)


def do_user(username: str, superuser: bool) -> None:
    from django.contrib.auth.models import User  # type: ignore[import-not-found]

    User.objects.create(username=username, is_superuser=superuser)


def do_grant(username: str, perm: str) -> None:
    _user(username).user_permissions.add(_permission(perm))


def do_revoke(username: str, perm: str) -> None:
    _user(username).user_permissions.remove(_permission(perm))


def do_delete_user(username: str) -> None:
    _user(username).delete()


def do_delete_permission(perm: str) -> None:
    _permission(perm).delete()


def do_delete_group(name: str) -> None:
    from django.contrib.auth.models import Group  # type: ignore[import-not-found]

    Group.objects.get(name=name).delete()


def do_group(name: str, perms: list[str], usernames: list[str]) -> None:
    from django.contrib.auth.models import Group  # type: ignore[import-not-found]

    group = Group.objects.create(name=name)
    group.permissions.set(map(_permission, perms))
    group.user_set.set(map(_user, usernames))


def do_permissions() -> list[list[str]]:
    """Each one's app, model, codename and name."""
    from django.contrib.auth.models import Permission  # type: ignore[import-not-found]

    fields = ("content_type__app_label", "content_type__model", "codename", "name")
    return sorted(map(list, Permission.objects.values_list(*fields)))


def do_text(perm: str) -> list[str]:
    """How a permission shows itself, and what it is asked for by."""
    permission = _permission(perm)
    return [str(permission), permission.user_perm_str]


def do_verbose(model: str) -> str:
    """What a model of this name is called."""
    from django.utils.text import camel_case_to_spaces  # type: ignore[import-not-found]

    return str(camel_case_to_spaces(model))


def _user(username: str) -> Any:
    from django.contrib.auth.models import User  # type: ignore[import-not-found]

    return User.objects.get(username=username)


def _permission(perm: str) -> Any:
    from django.contrib.auth.models import Permission  # type: ignore[import-not-found]

    app, _, codename = perm.partition(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


if __name__ == "__main__":
    main(sys.argv[1])

"""Makes Django's own auth tables: `python django_migrate.py URL`, run by the python of `.venv-django`."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote, urlsplit


def database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    name = unquote(parts.path[1:])
    if scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
    if scheme not in ("postgresql", "mysql"):
        raise SystemExit(f"no Django database for {url!r}")
    if scheme == "mysql":
        import pymysql  # type: ignore[import-untyped]

        pymysql.install_as_MySQLdb()
    return {
        "ENGINE": f"django.db.backends.{scheme}",
        "NAME": name,
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
    }


def main(url: str) -> None:
    import django  # type: ignore[import-not-found]
    from django.conf import settings  # type: ignore[import-not-found]
    from django.core.management import call_command  # type: ignore[import-not-found]

    settings.configure(
        DATABASES={"default": database(url)},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: django_migrate.py URL")
    main(sys.argv[1])

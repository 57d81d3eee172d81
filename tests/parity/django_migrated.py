"""Prints what Django's `migrate` would still do and then does, as JSON: `python django_migrated.py URL`, run by the python
of `.venv-django`."""

from __future__ import annotations

import io
import json
import sys

from django_migrate import database  # type: ignore[import-not-found]


def main(url: str) -> None:
    import django  # type: ignore[import-not-found]
    from django.conf import settings  # type: ignore[import-not-found]
    from django.core.management import call_command  # type: ignore[import-not-found]

    settings.configure(
        DATABASES={"default": database(url)},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        USE_TZ=True,
    )
    django.setup()
    said = io.StringIO()
    call_command("migrate", interactive=False, stdout=said, no_color=True)
    json.dump(said.getvalue().splitlines(), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])

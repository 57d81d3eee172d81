"""django-guardian on the same tables: run by the python of `.venv-guardian`, which benchmarks/permissions.py makes.

Reads one question a line from its input, {"user": 7, "page": true}, and writes {"seconds": 0.1, "count": 20}.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from urllib.parse import urlsplit

import django
from django.conf import settings


def main() -> None:
    parts = urlsplit(sys.argv[1])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname,
        "PORT": parts.port or 5432,
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "guardian"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        ANONYMOUS_USER_NAME=None,
    )
    django.setup()

    from django.contrib.auth.models import User
    from django.db import connection, models
    from guardian.models import GroupObjectPermission, UserObjectPermission
    from guardian.shortcuts import get_objects_for_user

    class Document(models.Model):  # noqa: DJ008  nobody reads it
        class Meta:
            app_label = "bench"
            db_table = "bench_document"
            managed = False

    with connection.schema_editor() as editor:
        editor.create_model(UserObjectPermission)
        editor.create_model(GroupObjectPermission)
    print(json.dumps({"ready": True}), flush=True)

    for line in sys.stdin:
        question = json.loads(line)
        user = User.objects.get(pk=question["user"])
        began = perf_counter()
        found = get_objects_for_user(user, "bench.change_document", klass=Document).values_list("pk", flat=True)
        count = len(found.order_by("pk")[:20] if question["page"] else found)
        print(json.dumps({"seconds": perf_counter() - began, "count": count}), flush=True)


if __name__ == "__main__":
    main()

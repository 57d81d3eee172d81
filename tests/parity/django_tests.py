"""Prints the names of Django's own tests as JSON: {module: {class: [test, ...]}}.

Run by the python of `.venv-django`, which can parse what its Django is written in. The tests are only in the source
distribution, so pip fetches that; nothing of it is kept but the names.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

MODULES = (
    "async/test_async_auth.py",
    "auth_tests/test_auth_backends.py",
    "auth_tests/test_basic.py",
    "auth_tests/test_checks.py",
    "auth_tests/test_context_processors.py",
    "auth_tests/test_decorators.py",
    "auth_tests/test_handlers.py",
    "auth_tests/test_hashers.py",
    "auth_tests/test_login.py",
    "auth_tests/test_management.py",
    "auth_tests/test_middleware.py",
    "auth_tests/test_migrations.py",
    "auth_tests/test_mixins.py",
    "auth_tests/test_models.py",
    "auth_tests/test_remote_user.py",
    "auth_tests/test_templatetags.py",
    "auth_tests/test_tokens.py",
    "auth_tests/test_validators.py",
    "sessions_tests/tests.py",
)


def names(module: str, source: str) -> dict[str, list[str]]:
    found = {
        thing.name: [
            method.name
            for method in thing.body
            if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
            and method.name.startswith("test_")
            and method.name != "test_func"  # what a UserPassesTestMixin asks, and no test
        ]
        for thing in ast.parse(source).body
        if isinstance(thing, ast.ClassDef)
    }
    return {name: tests for name, tests in found.items() if tests}


def main() -> None:
    name = f"django-{django.__version__}"
    with tempfile.TemporaryDirectory() as directory:
        wanted = ["--no-deps", "--no-binary", "django", "--dest", directory, f"django=={django.__version__}"]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *wanted], check=True, stdout=sys.stderr)
        with tarfile.open(Path(directory) / f"{name}.tar.gz") as archive:
            files = {module: archive.extractfile(f"{name}/tests/{module}") for module in MODULES}
            print(json.dumps({module: names(module, file.read().decode()) for module, file in files.items() if file}))


if __name__ == "__main__":
    main()

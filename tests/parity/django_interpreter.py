"""The virtual environment with a real Django that the parity tests compare against.

`python tests/parity/django_interpreter.py` makes `.venv-django` and prints its python, or says that no interpreter
here could run Django: then the tests go on without it. `find()` only looks for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = ("django>=6.1,<6.2", "psycopg[binary]", "pymysql", "argon2-cffi", "bcrypt")

_ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-django"
_PYTHON = _ENVIRONMENT / "bin" / "python"
_STAMP = _ENVIRONMENT / "requirements.stamp"
_STAMP_TEXT = "\n".join(REQUIREMENTS) + "\n"
_PROBE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))"


def find() -> str | None:
    """The python of a finished `.venv-django`, or None."""
    try:
        ready = _STAMP.read_text() == _STAMP_TEXT
    except OSError:
        return None
    return str(_PYTHON) if ready and os.access(_PYTHON, os.X_OK) else None


def create() -> str | None:
    """The python of `.venv-django`, made first if need be; None if there is no interpreter to make it with."""
    ready = find()
    if ready is not None and _suits(ready):
        return ready
    base = next(filter(_suits, _candidates()), None)
    if base is None:
        return None
    _run(base, "-m", "venv", "--clear", str(_ENVIRONMENT))
    _run(str(_PYTHON), "-m", "pip", "install", "--quiet", *REQUIREMENTS)
    _STAMP.write_text(_STAMP_TEXT)
    return str(_PYTHON)


def _candidates() -> Iterator[str]:
    yield sys.executable
    for name in ("python3.14", "python3.13", "python3.12"):
        for directory in os.get_exec_path():
            yield str(Path(directory, name))
    versions = Path.home() / ".pyenv" / "versions"
    yield from map(str, sorted(versions.glob("*/bin/python"), key=_version, reverse=True))


def _version(python: Path) -> list[int]:
    return [int(part) if part.isdigit() else -1 for part in python.parts[-3].split(".")]


def _suits(python: str) -> bool:
    """Run it: a pyenv shim is an executable file, and may still have no interpreter behind it."""
    try:
        return subprocess.run([python, "-c", _PROBE], check=False, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> int:
    try:
        python = create()
    except subprocess.CalledProcessError as error:
        print(f"could not make {_ENVIRONMENT}: {error}; is the package index within reach?", file=sys.stderr)
        return 1
    print(python or "NOT TESTED against a live Django 6.1: it needs Python 3.12 or newer, so install one beside this")
    return 0


if __name__ == "__main__":
    sys.exit(main())

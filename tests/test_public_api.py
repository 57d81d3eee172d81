"""The surface is what DESIGN says, and importing it costs nothing optional."""

from __future__ import annotations

import subprocess
import sys

import asgiauth

OPTIONAL = {
    "aiosqlite",
    "asyncpg",
    "asyncmy",
    "bcrypt",
    "fastapi",
    "jinja2",
    "redis",
    "greenlet",
    "sqlalchemy.ext.asyncio",
}


def test_all_is_sorted_and_complete() -> None:
    modules = {"annotations"}
    public = {
        name
        for name, value in vars(asgiauth).items()
        if not name.startswith("_") and type(value).__name__ != "module" and name not in modules
    }
    assert sorted(asgiauth.__all__) == asgiauth.__all__
    assert public == set(asgiauth.__all__)


def modules_after(imports: str) -> set[str]:
    code = f"import {imports}, sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_asgiauth_loads_no_driver_and_no_optional_package() -> None:
    """SQLAlchemy 2.0 loads greenlet by itself where it is installed."""
    loaded = modules_after("asgiauth") - modules_after("sqlalchemy")
    assert OPTIONAL & loaded == set()
    assert "argon2" in loaded

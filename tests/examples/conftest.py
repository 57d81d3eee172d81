"""The examples: each freshly imported for in-process tests, or served by uvicorn as its docstring says."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from asgiauth import Auth

from ..server_process import free_port

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "correct horse battery staple"


def fresh(name: str) -> ModuleType:
    """The application of an example, anew: it reads its configuration when it is imported."""
    for loaded in [module for module in sys.modules if module.startswith(f"examples.{name}.")]:
        del sys.modules[loaded]
    module = importlib.import_module(f"examples.{name}.app")
    for auth in [value for value in vars(module).values() if isinstance(value, Auth)]:
        auth.passwords._pool.patience = 60  # a busy machine is not what is tested
    return module


@contextmanager
def serving(name: str, **environment: str) -> Iterator[tuple[str, str]]:
    """Runs the command of the example's docstring, on a free port; gives the URL, and what was printed before."""
    source = (ROOT / "examples" / name / "app.py").read_text()
    command = re.search(r"uvicorn (examples\.\S+:app)", source)
    assert command is not None
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", command[1], "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "running on" in line:
                break
        else:
            raise AssertionError(output)
        yield f"http://127.0.0.1:{port}", output
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`examples/fastapi_api`, on an empty SQLite database."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'notes.db'}")
    return fresh("fastapi_api")

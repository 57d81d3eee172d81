"""`examples/starlette_site` as `make demo` starts it, and a browser at it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..server_process import free_port

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = shutil.which("chromium")


@dataclass
class Board:
    """Where it is, and the passwords that it has printed."""

    url: str
    passwords: dict[str, str]


@contextmanager
def serving(**environment: str) -> Iterator[Board]:
    """The example in a process of its own, on a free port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "examples/starlette_site/app.py"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PORT": str(port), **environment},
    )
    try:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "http://" in line:
                break
        else:
            raise AssertionError(output)
        _wait_for(port)
        yield Board(f"http://127.0.0.1:{port}", dict(re.findall(r"user name: (\w+) +password: (\S+)", output)))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _wait_for(port: int) -> None:
    """It prints before it listens."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")

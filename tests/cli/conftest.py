"""A project in a directory of its own, and three ways to run a command in it: here, as a process, in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asgiauth import Auth
from asgiauth.cli.root import root

from ..conftest import make_auth

COMMAND = str(Path(sys.executable).with_name("asgiauth"))
NAMES = ("ASGIAUTH_APP", "ASGIAUTH_SUPERUSER_USERNAME", "ASGIAUTH_SUPERUSER_EMAIL", "ASGIAUTH_SUPERUSER_PASSWORD")
GOOD = "correct horse battery"

OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""getpass asks /dev/tty, which is the terminal that a process controls. A shell starts what runs in the background with
its ctrl-C ignored, and that is inherited."""

SITE = """
from asgiauth import Auth
from tests.conftest import make_auth
auth = make_auth({url!r})
"""


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments: str, cwd: Path, env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""
        self._read = 0

    def answer(self, prompt: str, line: str) -> None:
        """Waits for the prompt, then types the line."""
        self._until(prompt)
        while prompt.startswith("Password") and termios.tcgetattr(self._master)[3] & termios.ECHO:
            time.sleep(0.01)  # getpass drops what was typed before it had switched the echo off
        os.write(self._master, line.encode())

    def end(self, *, by: str = "") -> int:
        """The exit code; a key that ends it is struck again and again. Python may take note of a signal and then go on to
        read, if it comes in between."""
        self._until(None, struck=by)
        os.close(self._master)
        return self.process.wait(timeout=60)

    def _until(self, prompt: str | None, struck: str = "") -> None:
        deadline, strike = time.monotonic() + 90, time.monotonic()
        while prompt is None or prompt not in self.seen[self._read :]:
            assert time.monotonic() < deadline, self.seen
            if struck and time.monotonic() >= strike:
                os.write(self._master, struck.encode())
                strike += 10
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    chunk = os.read(self._master, 4096)
                except OSError:  # the other end is closed
                    chunk = b""
                if not chunk:
                    assert prompt is None, self.seen
                    return
                self.seen += chunk.decode()
        self._read += self.seen[self._read :].index(prompt) + len(prompt)


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = {name: value for name, value in os.environ.items() if name not in NAMES}
        self.env["PYTHONPATH"] = str(Path(__file__).parents[2])

    def write(self, code: str, name: str = "project_under_test") -> None:
        (self.directory / f"{name}.py").write_text(code)
        sys.modules.pop(name, None)

    def use(self, url: str) -> None:
        """`project_under_test:auth` on that database, named in pyproject.toml."""
        self.write(SITE.format(url=url))
        (self.directory / "pyproject.toml").write_text('[tool.asgiauth]\napp = "project_under_test:auth"\n')

    def run(self, *arguments: str, typed: str | None = None, **env: str) -> Result:
        """In this process."""
        return CliRunner().invoke(root, arguments, input=typed, env=env)

    def process(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.directory,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def terminal(self, *arguments: str, **env: str) -> Terminal:
        return Terminal(*arguments, cwd=self.directory, env={**self.env, **env})

    def auth(self, url: str) -> Auth:
        return make_auth(url)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    yield Project(tmp_path)
    for name in set(sys.modules) - before:
        if re.match(r"project_under_test|other_project", name):
            del sys.modules[name]

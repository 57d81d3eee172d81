"""A database server of our own: its process, its directory, and what is left of both when we are killed."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["PrivateServer", "family_of", "free_port"]

TIMEOUT = 60.0

Process = subprocess.Popen[bytes]

# Outlives this process if it is killed: at the end of its input it ends the last process group that it was told
# of, with a signal that lets PostgreSQL free its shared memory, and removes the directory.
_GUARD = """
while read -r line; do last=$line; done
set -- "$1" $last
if [ $# -eq 3 ]; then
    kill -s "$2" -- "-$3"
    n=0
    while kill -s 0 -- "-$3" && [ "$n" -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
    kill -s KILL -- "-$3"
fi
n=0
until rm -rf -- "$1" || [ "$n" -ge 50 ]; do sleep 0.1; n=$((n + 1)); done
"""

# Becomes the command after it told the guard, so that an interrupt here cannot leave a process nobody knows of.
_LAUNCH = 'echo "$0 $$"; exec "$@" >&2'


class PrivateServer(ABC):
    """A database server of our own, on a loopback port that stays the same across restarts."""

    url: str

    _name: str
    _accounts: tuple[str, ...]
    _stop_signal: signal.Signals

    def __init__(self) -> None:
        self._user = _account(self._accounts)
        self.port = free_port()
        self.directory = _temporary_root(self._user) / f"asgiauth-{self._name}-{secrets.token_hex(8)}"
        self._data = self.directory / "data"
        self._log = self.directory / "server.log"
        self._process: Process | None = None
        self._closed = False
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        atexit.register(self.close)
        try:
            self.directory.mkdir(mode=0o700)
            if self._user is not None:
                os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
            self._install()
            self.start()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The server's main process, or None while it is down."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and return when it accepts connections; nothing to do if it runs."""
        if self._closed:
            raise RuntimeError(f"this {self._name} server is closed")
        if self.pid is not None:
            return
        self._process = None
        process = self._process = self._launch(self._command())
        if not _wait_until(lambda: process.poll() is not None or self._ready()):
            self.kill()
            raise self._failure(f"is not ready after {TIMEOUT:.0f} s")
        if process.poll() is not None:
            raise self._failure(f"ended with code {process.returncode} instead of starting")

    def stop(self) -> None:
        """Shut down cleanly, disconnecting the clients; nothing to do if the server is down."""
        process = self._process
        if process is None:
            return
        if process.poll() is not None:
            self._nothing_to_guard()
            return
        process.send_signal(self._stop_signal)
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self._failure(f"did not stop within {TIMEOUT:.0f} s") from None
        self._nothing_to_guard()
        if code != 0:
            raise self._failure(f"ended with code {code} when stopped")

    def kill(self) -> None:
        """Crash: SIGKILL to the server and all its children; nothing to do if the server is down."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGSTOP)  # no new children while we look for them
        family = family_of(process.pid)
        self._before_kill()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        if not _wait_until(lambda: family.isdisjoint(_processes())):
            raise self._failure("has children that survive SIGKILL")
        self._nothing_to_guard()

    def close(self) -> None:
        """Stop the server for good and remove its directory."""
        if self._closed:
            return
        self._closed = True
        try:
            self.stop()
        finally:
            assert self._guard.stdin is not None
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
            self._guard.wait()
            shutil.rmtree(self.directory, ignore_errors=True)
            atexit.unregister(self.close)

    @abstractmethod
    def _install(self) -> None:
        """Create the data directory, with the database `test`."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line of the server."""

    @abstractmethod
    def _ready(self) -> bool:
        """Whether the server that we launched accepts connections."""

    @abstractmethod
    def _before_kill(self) -> None:
        """Have that freed which the server will leave outside of its directory."""

    def _launch(self, command: Sequence[str], stdin: Path | None = None, last_signal: str = "QUIT") -> Process:
        names = ("PG", "MYSQL", "MARIADB", "LC_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        with self._log.open("ab") as log, Path(stdin or os.devnull).open("rb") as source:
            return subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, last_signal, *command],
                stdin=source,
                stdout=self._guard.stdin,
                stderr=log,
                cwd=self.directory,
                env={**environment, "LC_ALL": "C", "TMPDIR": str(self.directory)},
                start_new_session=True,
                user=None if self._user is None else self._user.pw_uid,
                group=None if self._user is None else self._user.pw_gid,
                extra_groups=None if self._user is None else [],
            )

    def _run(self, command: Sequence[str], stdin: Path | None = None) -> None:
        process = self._launch(command, stdin, last_signal="0")
        try:
            code = process.wait(2 * TIMEOUT)
        except BaseException:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)  # any signal makes initdb leave shared memory behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        self._nothing_to_guard()
        if code != 0:
            raise self._failure(f"installation: {command[0]} ended with code {code}")

    def _write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def _nothing_to_guard(self) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.write(b"\n")
            self._guard.stdin.flush()

    def _failure(self, what: str) -> RuntimeError:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return RuntimeError("\n".join([f"private {self._name} server {what}; the end of its log:", *lines[-25:]]))


def _account(names: Sequence[str]) -> pwd.struct_passwd | None:
    """Whom to run the server as: neither server wants to be run by root."""
    if os.geteuid() != 0:
        return None
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError(f"root needs one of the accounts {', '.join(names)} to run the server")


def _temporary_root(user: pwd.struct_passwd | None) -> Path:
    """A directory for temporary files that is within the user's reach, and short enough for unix sockets."""
    for root in map(Path, (tempfile.gettempdir(), "/tmp")):
        reachable = user is None or all(path.stat().st_mode & 0o001 for path in (root, *root.parents))
        if reachable and len(os.fsencode(root)) < 50:
            return root
    raise RuntimeError("no directory for temporary files is good for a database server")


_GIVEN: set[int] = set()


def free_port() -> int:
    """A free port below the range of outgoing connections, which could take it while nobody listens on it. Never the same
    twice, and each worker of pytest-xdist has ports of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    for _ in range(100):
        port = 11_000 + 2500 * worker + secrets.randbelow(2500)  # browsers refuse 10080
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
    raise RuntimeError("no free port was found")


def _processes() -> dict[int, int]:
    """The parent of each process that is not a zombie."""
    parents = {}
    if sys.platform == "linux":
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(path.parent.name)] = int(parent)
    else:
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        for pid, parent, state in map(str.split, table.stdout.splitlines()):
            if not state.startswith("Z"):
                parents[int(pid)] = int(parent)
    return parents


def family_of(pid: int) -> set[int]:
    """The process and its descendants."""
    parents = _processes()
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

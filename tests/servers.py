"""Private PostgreSQL and MariaDB servers, for tests that stop, crash and restart the database."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .server_process import PrivateServer

__all__ = ["PrivateServer", "mariadb", "mariadb_available", "postgresql", "postgresql_available"]


class _PostgreSQL(PrivateServer):
    _name = "postgresql"
    _accounts = ("postgres", "nobody")
    _stop_signal = signal.SIGINT

    def __init__(self) -> None:
        binaries = _postgresql_binaries()
        if binaries is None:
            raise RuntimeError("no PostgreSQL server is installed")
        self._binaries = binaries
        super().__init__()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/test"

    def _install(self) -> None:
        initdb = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres", "--auth=trust"]
        self._run([*initdb, "--encoding=UTF8", "--no-locale", "--no-sync"])
        single = [str(self._binaries / "postgres"), "--single", "-D", str(self._data), "-c", "exit_on_error=on"]
        self._run([*single, "postgres"], self._write("setup.sql", "CREATE DATABASE test\n"))

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "shared_buffers": "16MB",
            "dynamic_shared_memory_type": "mmap",
            "fsync": "on",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._binaries / "postgres"), "-D", str(self._data), *options]

    def _ready(self) -> bool:
        return [line.strip() for line in self._postmaster()[7:8]] == ["ready"]

    def _before_kill(self) -> None:
        segment = self._postmaster()[6:7]
        if segment and segment[0].strip():
            ctypes.CDLL(None).shmctl(int(segment[0].split()[1]), 0, None)  # removed when its last process ends

    def _postmaster(self) -> list[str]:
        """Of the running server, the lines of postmaster.pid: line 7 has its shared memory, line 8 its status."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        return lines if lines[:1] == [str(self.pid)] else []


class _MariaDB(PrivateServer):
    _name = "mariadb"
    _accounts = ("mysql", "nobody")
    _stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        binaries = _mariadb_binaries()
        if binaries is None:
            raise RuntimeError("no MariaDB server is installed")
        self._daemon, self._installer = binaries
        self._setup: Path | None = None
        super().__init__()
        self.url = f"mysql://root@127.0.0.1:{self.port}/test"

    def start(self) -> None:
        super().start()
        self._setup = None

    def _install(self) -> None:
        installer = [self._installer, "--no-defaults", "--auth-root-authentication-method=normal"]
        self._run([*installer, "--skip-name-resolve", *self._storage()])
        self._setup = self._write(
            "setup.sql",
            "CREATE DATABASE IF NOT EXISTS test;\n"
            "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n",
        )

    def _command(self) -> list[str]:
        settings = {
            "bind-address": "127.0.0.1",
            "port": self.port,
            "socket": self.directory / "socket",
            "pid-file": self.directory / "pid",
            "key-buffer-size": "1M",
            "aria-pagecache-buffer-size": "8M",
            "character-set-server": "utf8mb4",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        if self._setup is not None:
            options.append(f"--init-file={self._setup}")
        return [self._daemon, "--no-defaults", "--skip-name-resolve", *self._storage(), *options]

    def _before_kill(self) -> None:
        """All that it has is in its directory."""

    def _storage(self) -> list[str]:
        sizes = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"]
        return [f"--datadir={self._data}", "--innodb-use-native-aio=0", *sizes]

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(5)[4:] == b"\x0a"  # the version of the protocol in the greeting
        except OSError:
            return False


def postgresql() -> PrivateServer:
    """Install and start a private PostgreSQL server; the caller closes it."""
    return _PostgreSQL()


def mariadb() -> PrivateServer:
    """Install and start a private MariaDB server; the caller closes it."""
    return _MariaDB()


def postgresql_available() -> bool:
    """Whether this machine has what `postgresql()` needs."""
    return _postgresql_binaries() is not None


def mariadb_available() -> bool:
    """Whether this machine has what `mariadb()` needs."""
    return _mariadb_binaries() is not None


@functools.cache
def _postgresql_binaries() -> Path | None:
    candidates = []
    if pg_config := shutil.which("pg_config"):
        result = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        candidates += [Path(result.stdout.strip())]
    if initdb := shutil.which("initdb"):
        candidates += [Path(initdb).resolve().parent]
    installed = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    candidates += sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


@functools.cache
def _mariadb_binaries() -> tuple[str, str] | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/usr/libexec"])
    daemons = [shutil.which(name, path=path) for name in ("mariadbd", "mysqld")]
    installers = [shutil.which(name, path=path) for name in ("mariadb-install-db", "mysql_install_db")]
    installer = next(filter(None, installers), None)
    for daemon in filter(None, daemons):
        version = subprocess.run([daemon, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
        if installer is not None and "MariaDB" in version.stdout:
            return daemon, installer
    return None

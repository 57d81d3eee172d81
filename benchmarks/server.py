"""One server process: started on a free port, measured through /proc, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """`with Server(app, url) as server`: listening at once, for the socket is opened here and inherited."""

    def __init__(self, app: str, url: str, *, cpu: int | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port: int = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.apps",
                    app,
                    url,
                    str(listener.fileno()),
                    "" if cpu is None else str(cpu),
                ],
                cwd=Path(__file__).parent.parent,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=10)  # closes its standard input: it stops
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """Used so far, by all its threads."""
        return _cpu_seconds(Path(f"/proc/{self._process.pid}"))

    def memory(self, field: str) -> float:
        """`VmRSS` or `VmHWM`, its peak, in MiB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
        raise LookupError(field)


def busy_seconds() -> float:
    """Of all processors, used so far by processes: interrupts, which the load itself causes, are not anybody's."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICK


def own_seconds(server: Server) -> float:
    """Used so far by the server, by this process and by the database servers."""
    names = {"postgres", "mariadbd", "mysqld"}
    databases = (path for path in Path("/proc").glob("[0-9]*") if _name(path) in names)
    return server.cpu_seconds() + sum(os.times()[:2]) + sum(map(_cpu_seconds, databases))


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def _cpu_seconds(process: Path) -> float:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK

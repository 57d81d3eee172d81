"""What waits until a transaction is durable, where the application and not asgiauth ends it.

Neither `databases` nor SQLAlchemy tells after the fact (SQLAlchemy's `commit` event comes before the COMMIT), so that
one open connection or transaction is watched, never a class.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Work", "watch_connection", "when_committed"]

Work = Callable[[], Awaitable[None]]


def when_committed(connection: Any, work: Work, *, below: int) -> bool:
    """Runs `work` once the transaction of `databases` that is open on the connection is committed, with the ones
    around it; False where there is none. The outermost `below` are not meant to be committed: the one that
    `Database(force_rollback=True)` keeps open for its tests."""
    open_ones = connection._transaction_stack[below:]
    if not open_ones:
        return False
    transaction = open_ones[-1]
    commit = transaction.commit

    async def commit_and_tell() -> None:
        await commit()
        if not when_committed(connection, work, below=below):
            await work()

    transaction.commit = commit_and_tell
    return True


def watch_connection(connection: Any, works: list[Work], tell: Callable[[], Awaitable[None]]) -> None:
    """Calls `tell` right after SQLAlchemy has committed on this connection. What is in `works` is dropped by a
    rollback, and by one to a savepoint what was added since."""
    from sqlalchemy.util import await_only

    names = ("_commit_impl", "_rollback_impl", "_savepoint_impl", "_rollback_to_savepoint_impl")
    commit, rollback, savepoint, rollback_to = (getattr(connection, name) for name in names)
    marks: dict[str, int] = {}

    def commit_and_tell() -> None:
        commit()
        await_only(tell())

    def drop() -> None:
        works.clear()
        rollback()

    def mark(name: str | None = None) -> str:
        made: str = savepoint(name)
        marks[made] = len(works)
        return made

    def drop_since(name: str) -> None:
        del works[marks.get(name, 0) :]
        rollback_to(name)

    for name, watched in zip(names, (commit_and_tell, drop, mark, drop_since), strict=True):
        setattr(connection, name, watched)

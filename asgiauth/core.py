"""What exists before any feature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .accounts import Accounts
from .db import Database
from .db.tables import Tables
from .events import EventBus
from .limits import Limits
from .passwords import Passwords
from .permissions import Groups, Permissions
from .sessions import Sessions
from .signing import Signing
from .users import Users

__all__ = ["Core"]


@dataclass(frozen=True, kw_only=True)
class Core:
    """The services that a feature builds on. `clock` is the only source of the time; `tables` are those of Django and
    of asgiauth; `db` runs statements on whatever the application has connected; `limits` count tries."""

    users: Users[Any]
    sessions: Sessions
    groups: Groups
    permissions: Permissions
    passwords: Passwords
    accounts: Accounts[Any]
    events: EventBus
    signing: Signing
    limits: Limits
    db: Database
    tables: Tables
    clock: Callable[[], datetime]

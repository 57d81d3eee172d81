"""Who is logged in."""

from .django import DjangoSessionStore as DjangoSessionStore
from .memory import MemorySessionStore as MemorySessionStore
from .policy import SessionCookie as SessionCookie
from .policy import SessionPolicy as SessionPolicy
from .record import SessionInfo as SessionInfo
from .record import SessionRecord as SessionRecord
from .scheme import SessionScheme as SessionScheme
from .service import Sessions as Sessions
from .sql import SqlSessionStore as SqlSessionStore
from .store import SessionStore as SessionStore

"""The tables that are missing, as `Auth(...)` describes them now: names, key types, columns, features.

A later revision finds either a database that an older asgiauth made, or the newest tables, which this one has just
made. So it adds what is missing, and only that.
"""

from __future__ import annotations

from alembic import op as current
from alembic.operations import Operations

from asgiauth.db.migrate import create_missing

revision = "asgiauth_0001"
down_revision = None
branch_labels = ("asgiauth",)
depends_on = None


def upgrade(op: Operations = current) -> None:  # type: ignore[assignment]  # Alembic's stand-in for the one in use
    create_missing(op)


def downgrade() -> None:
    """Drops nothing: which of the tables Django has made, and who else reads them, is not known here."""

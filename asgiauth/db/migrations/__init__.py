"""Alembic revisions, on branch label `asgiauth`. Alembic reads every file here: nothing else belongs here."""

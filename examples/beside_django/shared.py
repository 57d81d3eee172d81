"""What both sides must agree on: the database, and Django's SECRET_KEY. Production takes both from the environment."""

import os
import secrets
from pathlib import Path

DATABASE = Path(os.environ.get("BESIDE_DATABASE", Path(__file__).with_name("db.sqlite3"))).absolute()


def key(name: str) -> str:
    """Of a file beside the database, which is made at the first start."""
    path = DATABASE.with_name(name)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


SECRET_KEY = key("django.key")

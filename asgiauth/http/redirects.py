"""Where may a visitor be sent? Along this site's own paths, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["relative_path", "safe_next"]

MAX_NEXT = 2048
"""Characters, percent-encoded: what every browser, proxy and server takes."""
_PATH = "/:@!$&'()*+,;=~-._"
_URL = _PATH + "?#[]%"
"""What RFC 3986 lets stand as it is; "%" too, so that what is encoded already stays so."""
_LEAVES_THE_SITE = ("//", "/%2f", "/%5c")
"""A browser reads `//host` as another site, a proxy that decodes makes the other two into it."""


def safe_next(value: object, default: str) -> str:
    """The path that a `next` parameter asks for, ASCII and fit for a Location header; `default` where it asks for
    anything but a path of this site (D-19).

    A path starts with exactly one slash and holds no backslash, whitespace or control character: a grammar of what is
    allowed, and no comparison of hosts, which Django had to mend seven times.
    """
    if not isinstance(value, str) or not value.startswith("/") or value[:4].lower().startswith(_LEAVES_THE_SITE):
        return default
    if not value.isprintable() or " " in value or "\\" in value:
        return default
    url = quote(value, safe=_URL)
    return url if len(url) <= MAX_NEXT else default


def relative_path(scope: Mapping[str, Any]) -> str:
    """This request's own path and query, with the prefix that the application has, as a `next` value; "" where a
    browser sent there would leave the site, or it is too long. Never from `Host` (V-077)."""
    root = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")  # root_path grows with each Mount
    path, query = scope["path"], scope.get("query_string", b"")
    if not path.startswith("/"):
        return ""
    if path != root and not path.startswith(root + "/"):  # a proxy has stripped the prefix
        path = root + path
    url = quote(path, safe=_PATH, errors="surrogatepass")
    return safe_next(url + "?" + quote(query, safe=_URL) if query else url, "")

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

__all__ = ["network_of"]


def network_of(address: str) -> str:
    """Whom to count for one client: an IPv4 address, or the /64 of an IPv6 address, which is one household's (D-16).
    "" for an address that is not known: all of those are counted together (D-17)."""
    if not address:
        return ""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or IPv6Network((found, 64), strict=False).network_address
    return str(found)

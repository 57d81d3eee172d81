"""Whose request is it, when it comes through a proxy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["TrustedProxies"]

IPAddress = IPv4Address | IPv6Address


class TrustedProxies:
    """The addresses of the proxies in front of the site, as networks: `["10.0.0.0/8", "::1"]`. What anybody else says
    in `X-Forwarded-For` is not believed (ASVS 4.1.3). Raises `ConfigurationError` for what is no network and, where
    they are `believed` about who the user is (D-34), for none and for everybody."""

    def __init__(self, networks: Sequence[str], *, believed: bool = False) -> None:
        if isinstance(networks, str):
            raise ConfigurationError(f"trusted_proxies is a list: trusted_proxies=[{networks!r}]")
        try:
            self._networks = [ip_network(str(network)) for network in networks]
        except ValueError as error:
            raise ConfigurationError(f"trusted_proxies: {error}; give networks, such as 10.0.0.0/8") from None
        if believed and (not self._networks or any(network.prefixlen == 0 for network in self._networks)):
            raise ConfigurationError(
                "RemoteUserBackend believes a proxy about who the user is: name it, trusted_proxies=[...], by its "
                "address or network, which cannot be that of everybody"
            )

    def address(self, scope: Mapping[str, Any]) -> str:
        """The IP address that a request comes from, at most 45 characters; "" where it cannot be told.

        That of the peer or, where the peer is trusted, the right-most one in `X-Forwarded-For` that is not: each proxy
        appends whom it was called by, so what stands further left is the client's own story (V-042). Where an entry
        is no address, the proxy that reported it is the last thing known. `Forwarded` (RFC 7239) is not read: a proxy
        that writes only one of the two passes on the client's own spelling of the other.
        """
        client = scope.get("client")
        address = _parsed(str(client[0])) if client else None
        hops = [hop for name, value in scope["headers"] if name == b"x-forwarded-for" for hop in value.split(b",")]
        while hops and self._is_trusted(address):
            hop = _parsed(hops.pop().decode("latin-1").strip())
            if hop is None:
                break
            address = hop
        return str(address) if address is not None else ""

    def believes(self, scope: Mapping[str, Any]) -> bool:
        """Whether a trusted proxy has opened this connection. Without a port the peer is not known: a server that
        reads `X-Forwarded-For` has put its own reading in its place."""
        client = scope.get("client")
        return client is not None and bool(client[1]) and self._is_trusted(_parsed(str(client[0])))

    def _is_trusted(self, address: IPAddress | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _parsed(text: str) -> IPAddress | None:
    """Without port, brackets and zone; an IPv4 address that is dressed up as IPv6 is itself."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

"""Guard against server-side request forgery: rules on the URLs and addresses of campaigns.

Names are resolved and connected in client.py. The ranges are listed here because Python's
`is_global` treats several internal ranges as global, and ignores addresses that embed another (IPv4
in IPv6, 6to4, NAT64).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from yarl import URL

from drip_pipeline.errors import AddressForbidden, SettingsError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS: Final = frozenset({80, 443, 8080, 8443})
ALLOW_SETTING: Final = "DRIP_WEBHOOK_ALLOW"
_HINT: Final = f"To allow it, add the host to {ALLOW_SETTING}, as in hooks.internal:8080."

# IANA's special-purpose registry, RFC 6890 and its successors.
_FORBIDDEN_V4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_V6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
    )
)
# IPv6 networks that embed an IPv4 address: network, and offset of the address in bits from the end.
_EMBEDDING: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)
_ENDS_IN_A_NUMBER: Final = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
_ENTRY: Final = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>\d+))?")


class AddressGuard:
    """The rules with the operator's exceptions. Immutable."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed`: host names, addresses and networks, with or without a port
        (`hooks.internal:8080`, `10.1.0.0/16`, `[fd00::5]:9000`). Raises SettingsError.
        """
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[IpNetwork, int | None]] = []
        for entry in allowed:
            self._allow(entry.strip())

    def check_url(self, url: str) -> URL:
        """Return the parsed URL. Raises AddressForbidden for another scheme, credentials, an
        unusual port, and a literal address that is internal or in an unusual form. Host names are
        checked when they are resolved.
        """
        try:
            parsed = URL(url)
            host, port = parsed.raw_host, parsed.port
        except ValueError:
            raise AddressForbidden("the URL is malformed") from None
        if parsed.scheme not in ("http", "https") or not host or port is None:
            raise AddressForbidden("the URL must be http:// or https:// with a host")
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise AddressForbidden("the URL contains credentials", hint="Use a header.")
        if "%" in host:
            raise AddressForbidden(f"{host} names a network interface")
        literal = _literal(host)
        if self.allows_host(host, port):
            return parsed
        if literal is None:
            if _ENDS_IN_A_NUMBER.search(host):
                raise AddressForbidden(f"{host} is an address in an unusual form")
            if port not in DEFAULT_PORTS:
                raise AddressForbidden(f"port {port} of {host} is not allowed", hint=_HINT)
        elif not self.allows_address(literal, port):
            if port not in DEFAULT_PORTS:
                raise AddressForbidden(f"port {port} of {host} is not allowed", hint=_HINT)
            if is_forbidden(literal):
                raise AddressForbidden(f"{host} is an internal address", hint=_HINT)
        return parsed

    def check_addresses(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Check all addresses of a name. One internal address refuses them all, because the other
        side chooses which one is used. Raises AddressForbidden.
        """
        if self.allows_host(host, port):
            return
        for text in addresses:
            address = _literal(text)
            if address is None:
                raise AddressForbidden(f"{host} has a malformed address")
            if is_forbidden(address) and not self.allows_address(address, port):
                raise AddressForbidden(f"{host} resolves to an internal address", hint=_HINT)

    def allows_host(self, host: str, port: int) -> bool:
        """Whether the operator allowed this host."""
        name = host.rstrip(".").lower()
        return (name, port) in self._hosts or (name, None) in self._hosts

    def allows_address(self, address: IpAddress, port: int) -> bool:
        """Whether the operator allowed this address or its network."""
        return any(
            address.version == network.version and address in network and only in (None, port)
            for network, only in self._networks
        )

    def _allow(self, entry: str) -> None:
        if not entry:
            return
        network = _network(entry)
        port: int | None = None
        if network is None:
            match = _ENTRY.fullmatch(entry)
            if match is None:
                raise SettingsError(ALLOW_SETTING, f"has an entry that is not a host: {entry!r}")
            host = (match["bracketed"] or match["plain"]).rstrip(".").lower()
            port = int(match["port"]) if match["port"] else None
            network = _network(host)
            if network is None:
                self._hosts.add((host, port))
                return
        self._networks.append((network, port))


def is_forbidden(address: IpAddress) -> bool:
    """Whether an address is internal or reserved, or embeds one that is."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _FORBIDDEN_V4)
    for network, bits in _EMBEDDING:
        if address in network:
            return is_forbidden(ipaddress.IPv4Address(int(address) >> bits & 0xFFFF_FFFF))
    return address not in _GLOBAL_V6 or any(address in network for network in _FORBIDDEN_V6)


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _network(text: str) -> IpNetwork | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None

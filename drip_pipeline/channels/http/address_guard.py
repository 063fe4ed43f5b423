"""Which addresses the engine may call on behalf of campaigns: the guard against server-side request
forgery. Pure rules on URLs and IP addresses; resolving and connecting stand in http_client.py.

Own list of ranges: Python's `is_global` calls several internal ones global, and knows nothing of
addresses that wrap another (IPv4 in IPv6, 6to4, NAT64).
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
_HINT: Final = f"If this is meant, name the host in {ALLOW_SETTING}, as in hooks.internal:8080."

# IANA's special-purpose registry, RFC 6890 and its successors.
_FORBIDDEN_V4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, clouds' metadata
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
# Where an IPv6 address carries an IPv4 one: network, and by how many bits it stands from the end.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)
_ENDS_IN_A_NUMBER: Final = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
_ENTRY: Final = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>\d+))?")


class AddressGuard:
    """The rules, with the operator's exceptions. Immutable."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed`: host names, addresses and networks, each with a port or for any
        (`hooks.internal:8080`, `10.1.0.0/16`, `[fd00::5]:9000`). Raises SettingsError.
        """
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[IpNetwork, int | None]] = []
        for entry in allowed:
            self._allow(entry.strip())

    def check_url(self, url: str) -> URL:
        """The URL as it is to be called. Raises AddressForbidden for another scheme, credentials,
        a port that is not usual, and a literal address that is internal or oddly written. A name is
        judged when it is resolved.
        """
        try:
            parsed = URL(url)
            host, port = parsed.raw_host, parsed.port
        except ValueError:
            raise AddressForbidden("the URL cannot be read") from None
        if parsed.scheme not in ("http", "https") or not host or port is None:
            raise AddressForbidden("only http:// and https:// URLs with a host are called")
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise AddressForbidden("the URL carries credentials", hint="Use a header.")
        if "%" in host:
            raise AddressForbidden(f"{host} names a network interface")
        literal = _literal(host)
        if self.allows_host(host, port):
            return parsed
        if literal is None:
            if _ENDS_IN_A_NUMBER.search(host):
                raise AddressForbidden(f"{host} is an address in an unusual form")
            if port not in DEFAULT_PORTS:
                raise AddressForbidden(f"port {port} of {host} is not called", hint=_HINT)
        elif not self.allows_address(literal, port):
            if port not in DEFAULT_PORTS:
                raise AddressForbidden(f"port {port} of {host} is not called", hint=_HINT)
            if is_forbidden(literal):
                raise AddressForbidden(f"{host} is an internal address", hint=_HINT)
        return parsed

    def check_addresses(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Judge every answer of a name: one internal address among them is enough to refuse all,
        since the other end chooses which one is taken. Raises AddressForbidden.
        """
        if self.allows_host(host, port):
            return
        for text in addresses:
            address = _literal(text)
            if address is None:
                raise AddressForbidden(f"{host} has an address that cannot be read")
            if is_forbidden(address) and not self.allows_address(address, port):
                raise AddressForbidden(f"{host} leads to an internal address", hint=_HINT)

    def allows_host(self, host: str, port: int) -> bool:
        """Whether the operator named this host."""
        name = host.rstrip(".").lower()
        return (name, port) in self._hosts or (name, None) in self._hosts

    def allows_address(self, address: IpAddress, port: int) -> bool:
        """Whether the operator named this address or its network."""
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
                raise SettingsError(ALLOW_SETTING, f"has an entry that is no host: {entry!r}")
            host = (match["bracketed"] or match["plain"]).rstrip(".").lower()
            port = int(match["port"]) if match["port"] else None
            network = _network(host)
            if network is None:
                self._hosts.add((host, port))
                return
        self._networks.append((network, port))


def is_forbidden(address: IpAddress) -> bool:
    """Whether an address is internal, reserved, or carries one that is."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _FORBIDDEN_V4)
    for network, bits in _CARRIERS:
        if address in network:
            carried = ipaddress.IPv4Address(int(address) >> bits & 0xFFFF_FFFF)
            return is_forbidden(carried)
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

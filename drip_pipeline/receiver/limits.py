"""How much one client may ask of one endpoint, and what was seen before. Kept in memory and
bounded: it protects this process, and nothing depends on it being remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

MOST_CLIENTS: Final = 50_000
MOST_SEEN: Final = 200_000
_V6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second in the long run, and how many may come at once."""

    per_second: float
    burst: int


class RateLimiter:
    """A bucket of permits for each endpoint and client; the longest unused ones are forgotten."""

    def __init__(self, most_clients: int = MOST_CLIENTS) -> None:
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._most_clients = most_clients

    def wait_seconds(self, endpoint: str, client: str, rate: Rate, now: float) -> float:
        """0 if the client may go on (which takes a permit), else how long until it may. `now` is a
        reading of a clock that only goes forward.
        """
        key = (endpoint, network_of(client))
        permits, filled_at = self._buckets.get(key, (float(rate.burst), now))
        permits = min(rate.burst, permits + (now - filled_at) * rate.per_second)
        allowed = permits >= 1
        self._buckets[key] = (permits - 1 if allowed else permits, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most_clients:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - permits) / rate.per_second


class Seen:
    """The latest things that must not come twice."""

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Remember it."""
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)


def network_of(client: str) -> str:
    """The address that counts as one client: of IPv6 the network, in which everybody has many."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _V6_PREFIX), strict=False))
    return client

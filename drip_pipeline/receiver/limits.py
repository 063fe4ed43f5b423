"""Rate limits per endpoint and client, and replay protection. In memory and bounded: losing the
state at a restart is harmless.
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
    """The sustained number of requests per second, and the maximum burst."""

    per_second: float
    burst: int


class RateLimiter:
    """A token bucket per endpoint and client; the least recently used buckets are dropped."""

    def __init__(self, most_clients: int = MOST_CLIENTS) -> None:
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._most_clients = most_clients

    def wait_seconds(self, endpoint: str, client: str, rate: Rate, now: float) -> float:
        """Take a permit and return 0, or return the seconds until one is available.

        `now` is a reading of a monotonic clock.
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


class RecentKeys:
    """The most recent keys of requests that must not be repeated."""

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Add a key."""
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)


def network_of(client: str) -> str:
    """Return the address that identifies a client: for IPv6 the /64 network."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _V6_PREFIX), strict=False))
    return client

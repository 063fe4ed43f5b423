"""The dependencies of the endpoints, created once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from drip_pipeline.channels.signatures.sns import Fetch
from drip_pipeline.db.connection import Database
from drip_pipeline.receiver.appender import Appender
from drip_pipeline.receiver.limits import RateLimiter, RecentKeys
from drip_pipeline.receiver.request_counts import RequestCounts
from drip_pipeline.settings import Settings


def current_time() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """Shared objects of all endpoints. `fetch` requests URLs of Amazon SNS; `now` is the clock."""

    settings: Settings
    database: Database
    appender: Appender
    fetch: Fetch
    counts: RequestCounts = field(default_factory=RequestCounts)
    limiter: RateLimiter = field(default_factory=RateLimiter)
    seen: RecentKeys = field(default_factory=RecentKeys)
    now: Callable[[], datetime] = current_time

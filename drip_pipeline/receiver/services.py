"""What the endpoints work with, put together once for a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from drip_pipeline.channels.signatures.sns import Fetch
from drip_pipeline.db.connection import Database
from drip_pipeline.receiver.appender import Appender
from drip_pipeline.receiver.limits import RateLimiter, Seen
from drip_pipeline.receiver.request_counts import RequestCounts
from drip_pipeline.settings import Settings


def real_time() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """`fetch` asks Amazon SNS for what its messages point to. `now` is the clock."""

    settings: Settings
    database: Database
    appender: Appender
    fetch: Fetch
    counts: RequestCounts = field(default_factory=RequestCounts)
    limiter: RateLimiter = field(default_factory=RateLimiter)
    seen: Seen = field(default_factory=Seen)
    now: Callable[[], datetime] = real_time

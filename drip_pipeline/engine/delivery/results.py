"""Values that delivery functions pass to each other: counts of a batch, context of a settlement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.channels.protocol import DeliveryResult


class SettleContext(NamedTuple):
    """What all deliveries of one settlement have in common. `now` is the engine's logical time."""

    channel: str
    batch_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """How many deliveries ended in which way.

    `skipped` counts by reason. `held` are deliveries of paused enrollments, postponed; `held_by`
    those that wait for an opening, by rule. `posts` are
    shared posts that were sent; the enrollments that pass them count as sent. `faults` are the
    errors of failing transports, by transport.
    """

    sent: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    retried: int = 0
    unknown: int = 0
    held: int = 0
    posts: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)
    held_by: Mapping[str, int] = field(default_factory=dict)

    def total(self) -> int:
        """Return the number of all deliveries that were leased."""
        settled = self.sent + self.failed + self.retried + self.unknown + self.held
        return settled + sum(self.skipped.values()) + sum(self.held_by.values())

    def __add__(self, other: DeliveryCounts) -> DeliveryCounts:
        return DeliveryCounts(
            self.sent + other.sent,
            _sum(self.skipped, other.skipped),
            self.failed + other.failed,
            self.retried + other.retried,
            self.unknown + other.unknown,
            self.held + other.held,
            self.posts + other.posts,
            {**self.faults, **other.faults},
            _sum(self.held_by, other.held_by),
        )

    def sizes(self) -> dict[str, int]:
        """Return the counts above zero, by name, for the batch log."""
        counts = {
            "sent": self.sent,
            "failed": self.failed,
            "retried": self.retried,
            "unknown": self.unknown,
            "held": self.held,
            "posts": self.posts,
        }
        counts |= {f"held_{rule}": count for rule, count in self.held_by.items()}
        counts |= {f"skipped_{reason}": count for reason, count in self.skipped.items()}
        return {name: count for name, count in counts.items() if count}


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}


def storable(result: DeliveryResult) -> DeliveryResult:
    """Return the result without characters that PostgreSQL cannot store: NUL and halves of
    characters. An answer whose details are no JSON loses them."""
    return result._replace(
        provider_message_id=_storable_text(result.provider_message_id),
        error_code=_storable_text(result.error_code),
        error=_storable_text(result.error),
        details={
            str(name): _storable_text(value) if isinstance(value, str) else value
            for name, value in result.details.items()
            if isinstance(value, str | int | float | bool | None)
        },
    )


def _storable_text(text: str | None) -> str | None:
    return text and text.replace("\x00", "").encode("utf-8", "replace").decode()

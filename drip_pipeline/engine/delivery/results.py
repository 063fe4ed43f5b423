"""What a round of deliveries came to, and how often one is tried: the values that settling,
delivering and their faces hand to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What a round of deliveries came to. `skipped` counts by reason. `posts` are those for
    everybody that went out; the people who passed them count as sent. `faults` are the words of
    providers that fail, or what is wrong with a way out, by its name.
    """

    sent: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    retried: int = 0
    unknown: int = 0
    held: int = 0
    posts: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)

    def total(self) -> int:
        """All deliveries that were looked at."""
        return (
            self.sent
            + sum(self.skipped.values())
            + self.failed
            + self.retried
            + self.unknown
            + self.held
        )

    def __add__(self, other: DeliveryCounts) -> DeliveryCounts:
        reasons = {**self.skipped}
        for reason, count in other.skipped.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return DeliveryCounts(
            self.sent + other.sent,
            reasons,
            self.failed + other.failed,
            self.retried + other.retried,
            self.unknown + other.unknown,
            self.held + other.held,
            self.posts + other.posts,
            {**self.faults, **other.faults},
        )

    def sizes(self) -> dict[str, int]:
        """The figures that are not zero, for the ledger."""
        figures = {
            "sent": self.sent,
            "failed": self.failed,
            "retried": self.retried,
            "unknown": self.unknown,
            "held": self.held,
            "posts": self.posts,
        } | {f"skipped_{reason}": count for reason, count in self.skipped.items()}
        return {name: count for name, count in figures.items() if count}

"""How many soft bounces suppress an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drip_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class SoftBounceLimit:
    """After `bounces` soft bounces within `days`, without a delivery between, an address is
    suppressed; 0 bounces: never.
    """

    bounces: int = 5
    days: int = 14

    @classmethod
    def of(cls, settings: Settings) -> SoftBounceLimit:
        """Return the limit of the settings."""
        return cls(settings.soft_bounces, settings.soft_bounce_days)


DEFAULT_SOFT_BOUNCES: Final = SoftBounceLimit()

"""Lines of `drip campaign show` about the guards of volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drip_pipeline.db.enrollment.guards import GuardState

_LIMITS = {"per_day": "enrollments a day", "max_people": "contacts"}


def guard_lines(settings: Mapping[str, Any], guard: GuardState | None) -> list[str]:
    """Return a campaign's limits, and what its guard has stopped."""
    limits = [f"{settings[key]:,} {unit}" for key, unit in _LIMITS.items() if settings.get(key)]
    lines = [f"Limits: at most {' and '.join(limits)}"] if limits else []
    pause_when = settings.get("pause_when")
    if pause_when is False:
        lines.append("No rate pauses the campaign (pause_when: false)")
    elif isinstance(pause_when, Mapping):
        rates = ", ".join(f"{key} {value}" for key, value in pause_when.items())
        lines.append(f"Pauses when: {rates}")
    if guard is None:
        return lines
    if guard.entries_confirmed is not None:
        lines.append(f"Confirmed: {guard.entries_confirmed:,} enrollments a day by its trigger")
    if guard.waits_until is not None:
        why = {"per_day": "the limit of the day is reached"}.get(
            guard.waits_for or "",
            f"{guard.waiting or 0:,} contacts wait; `drip campaign confirm-entry` continues it",
        )
        lines.append(f"Entry trigger waits until {guard.waits_until:%Y-%m-%d %H:%M %Z}: {why}")
    if guard.paused_at is not None and guard.paused_by is not None:
        numbers = guard.paused_by
        lines.append(
            f"Paused by its guard: {numbers['rate']} {numbers['percent']:.2g} % of"
            f" {numbers['messages']:,} messages, more than {numbers['limit']:g} %"
        )
    return lines

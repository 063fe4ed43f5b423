"""Lines of `drip campaign show` about what ends runs: the goal and the exit rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def exit_lines(settings: Mapping[str, Any]) -> list[str]:
    """Return a line for the goal and for each exit rule of a campaign."""
    lines = []
    goal = settings.get("goal_event")
    if isinstance(goal, Mapping):
        effect = "counts only" if settings.get("exit_on_goal") is False else "ends runs"
        lines.append(f"Goal: {goal.get('event_type')}, {effect}")
    for rule in settings.get("exits") or ():
        if isinstance(rule, Mapping):
            reason = f" ({rule['reason']})" if rule.get("reason") else ""
            lines.append(f"Exit rule {rule.get('id')}{reason}: {_when(rule.get('when'))}")
    return lines


def _when(when: object) -> str:
    if not isinstance(when, Mapping):
        return "unreadable"
    if "type" not in when:
        keys = [key for key in when if key != "event_type"]
        return f"event {when.get('event_type')}" + (f" with {', '.join(keys)}" if keys else "")
    subject = when.get("field") or when.get("event_type") or when.get("value")
    what = f" {subject}" if isinstance(subject, str) else ""
    return f"condition on {when['type']}{what}"

"""The generic format: lines of an events file as JSON: one, a list, or `{"events": […]}`."""

from __future__ import annotations

from datetime import datetime

from drip_pipeline.domain.events.providers.common import ParsedPayload, PayloadInvalid, json_of


def read(payload: bytes, received_at: datetime, call_id: str = "") -> ParsedPayload:
    """Parse the events of a request. Raises PayloadInvalid.

    Events without an id get one from `call_id` and their position, if there is a `call_id`.
    """
    events = json_of(payload)
    if isinstance(events, dict):
        events = events["events"] if isinstance(events.get("events"), list) else [events]
    if not isinstance(events, list):
        raise PayloadInvalid("the payload is neither an event nor a list of events")
    parsed = ParsedPayload()
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            parsed.problems.append("an event is not a JSON object")
            continue
        line = {"occurred_at": received_at.isoformat(), **event}
        if call_id:
            line.setdefault("event_id", f"{call_id}:{number}")
        parsed.lines.append(line)
    return parsed

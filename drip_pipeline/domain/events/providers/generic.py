"""Events in our own words: lines of an events file as JSON, one, a list, or `{"events": […]}`."""

from __future__ import annotations

from datetime import datetime

from drip_pipeline.domain.events.providers.common import PayloadInvalid, Reading, json_of


def read(payload: bytes, received_at: datetime, call_id: str = "") -> Reading:
    """The events of a call. `call_id` names those that name themselves not. Raises
    PayloadInvalid.
    """
    found = json_of(payload)
    if isinstance(found, dict):
        found = found["events"] if isinstance(found.get("events"), list) else [found]
    if not isinstance(found, list):
        raise PayloadInvalid("the payload is neither an event nor a list of events")
    reading = Reading()
    for number, event in enumerate(found):
        if not isinstance(event, dict):
            reading.problems.append("an event is not a JSON object")
            continue
        line = {"occurred_at": received_at.isoformat(), **event}
        if call_id:
            line.setdefault("event_id", f"{call_id}:{number}")
        reading.lines.append(line)
    return reading

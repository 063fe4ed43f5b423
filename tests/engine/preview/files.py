"""Campaign files for previews."""

from __future__ import annotations

from typing import Any

GOOD_MAIL: dict[str, Any] = {
    "subject": "Hello {{ first_name | default: 'you' }}",
    "preheader": "One line",
    "body_html": (
        "<p>Hello {{ first_name | default: 'you' }}</p>"
        '<img src="https://cdn.acme.io/a.png" alt="A cup" width="300">'
        '<p><a href="https://acme.io/tea">Tea</a> <a href="{{ unsubscribe_url }}">Leave</a></p>'
    ),
}


def campaign(mail: dict[str, Any] | None = None, *, sms: str | None = None) -> dict[str, Any]:
    """A campaign that sends a mail and, if given, an SMS."""
    steps: list[dict[str, Any]] = [
        {"node_id": "start", "node_type": "trigger", "trigger_config": {"trigger": "manual"}}
    ]
    if mail is not None:
        steps.append({"node_id": "mail", "node_type": "email", "channel_config": {"email": mail}})
    if sms is not None:
        steps.append(
            {
                "node_id": "sms",
                "node_type": "action",
                "action_config": {"type": "sms", "config": {"body": sms}},
            }
        )
    steps.append({"node_id": "end", "node_type": "exit"})
    return {"name": "Tea", "steps": steps}

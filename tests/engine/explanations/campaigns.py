"""The campaigns of the situations, as campaign files."""

from __future__ import annotations

from typing import Any, Final


def email(name: str, **keys: Any) -> dict[str, Any]:
    text = {"subject": f"{name} {{{{ first_name | default: 'friend' }}}}"}
    text["body"] = "Good to have you. {{ unsubscribe_url }}"
    return {"node_type": "email", "step_name": name, "channel_config": {"email": text}} | keys


def wait(name: str, **config: Any) -> dict[str, Any]:
    return {"node_type": "wait", "step_name": name, "wait_config": config}


THREE_DAYS: Final = wait("Three days", type="duration", value=3, unit="days")


def _node(node_id: str, kind: str) -> dict[str, Any]:
    return {"id": node_id, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": node_id}}


def _edge(source: str, target: str, handle: str | None = None) -> dict[str, Any]:
    edge = {"id": f"{source}-{handle}-{target}", "source": source, "target": target}
    return edge | ({"sourceHandle": handle} if handle else {})


CAMPAIGNS: Final[list[dict[str, Any]]] = [
    {"name": "Welcome", "steps": [email("Hello"), THREE_DAYS, email("How is it going?")]},
    {"name": "Short", "steps": [email("Hello")]},
    {
        "name": "Office hours",
        "send_window": {"days": ["mon", "tue"], "from": "09:00", "to": "17:00"},
        "steps": [email("Offer")],
    },
    {
        "name": "Again",
        "re_entry": "after_exit",
        "steps": [
            {"node_type": "trigger", "trigger_config": {"trigger": "manual"}},
            email("Hello"),
            wait("A day", type="duration", value=1, unit="days"),
        ],
    },
    {
        "name": "Goal",
        "goal_event": {"event_type": "purchase", "within": {"value": 30, "unit": "days"}},
        "steps": [email("Hello"), THREE_DAYS],
    },
    {
        "name": "Opened",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [
                _node("start", "trigger"),
                _node("hello", "email"),
                _node("opened", "wait"),
                _node("thanks", "email"),
                _node("reminder", "email"),
            ],
            "edges": [
                _edge("start", "hello"),
                _edge("hello", "opened"),
                _edge("opened", "thanks", "event"),
                _edge("opened", "reminder", "timeout"),
            ],
        },
        "steps": [
            {"node_id": "start", "node_type": "trigger"},
            email("Hello", node_id="hello"),
            wait(
                "Opened?",
                type="until_event",
                event_type="email_opened",
                max_wait={"value": 2, "unit": "days"},
            )
            | {"node_id": "opened"},
            email("Thanks", node_id="thanks"),
            email("Reminder", node_id="reminder"),
        ],
    },
    {
        "name": "Arms",
        "campaign_type": "branching",
        "canvas_data": {
            "nodes": [
                _node("start", "trigger"),
                _node("score", "condition"),
                _node("arm", "split"),
                _node("hello", "email"),
            ],
            "edges": [
                _edge("start", "score"),
                _edge("score", "arm", "high"),
                _edge("score", "hello", "else"),
                _edge("arm", "hello", "mail"),
            ],
        },
        "steps": [
            {"node_id": "start", "node_type": "trigger"},
            {
                "node_id": "score",
                "node_type": "condition",
                "step_name": "Good score?",
                "conditional_branches": [
                    {
                        "id": "high",
                        "condition": {"type": "score", "operator": ">=", "value": 50},
                        "target_node_id": "arm",
                    },
                    {"id": "else", "target_node_id": "hello"},
                ],
            },
            {
                "node_id": "arm",
                "node_type": "split",
                "step_name": "Arm",
                "assignment": {"from_field": "arm"},
                "variants": [
                    {"id": "mail", "percentage": 50},
                    {"id": "none", "percentage": 50, "holdout": True},
                ],
            },
            email("Hello", node_id="hello"),
        ],
    },
    {
        "name": "Win back",
        "exits": [
            {
                "id": "bought",
                "when": {"event_type": "purchase", "within": {"value": 30, "unit": "days"}},
                "reason": "has bought",
            }
        ],
        "steps": [email("Hello"), THREE_DAYS],
    },
    {
        "name": "Renewal",
        "steps": [
            wait(
                "Before the end",
                type="until_date",
                field="ends_on",
                offset={"value": -3, "unit": "days"},
                time="09:00",
            ),
            email("Renew now"),
        ],
    },
    {
        "name": "Activation",
        "steps": [
            wait(
                "Active?",
                type="until_condition",
                condition={"type": "field", "field": "projects", "operator": ">=", "value": 1},
                max_wait={"value": 7, "unit": "days"},
            ),
            email("Next steps"),
        ],
    },
    {
        "name": "Orders",
        "re_entry": {"per_key": "order_id"},
        "steps": [email("Your order {{ entry.order_id }}")],
    },
    {
        "name": "Tagged",
        "steps": [
            {"node_type": "trigger", "trigger_config": {"trigger": "tag", "tag": "vip"}},
            email("For you"),
        ],
    },
    {
        "name": "Fridays",
        "steps": [
            {
                "node_type": "trigger",
                "trigger_config": {
                    "trigger": "schedule",
                    "cron": "0 9 * * fri",
                    "timezone": "Europe/Berlin",
                    "where": {"type": "score", "operator": ">=", "value": 50},
                },
            },
            email("For you"),
        ],
    },
]

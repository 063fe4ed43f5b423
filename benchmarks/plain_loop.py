"""The plain loop of the specification's pseudo-code: one contact at a time, one transaction per
step; in its fastest form (one connection, prepared statements, no ORM)."""

from __future__ import annotations

from time import perf_counter
from typing import Any
from uuid import uuid4

from benchmarks.five_nodes import NOW, Ready, everybody_is_through

_NEXT = {"start": "mail", "mail": "pause", "pause": "score", "score": "end", "end": "end"}
_EVENT = {
    "mail": "email_sent",
    "pause": "wait_completed",
    "score": "condition_evaluated",
    "end": "enrollment_completed",
}


def loop_rate(ready: Ready, people: int) -> float:
    """People per second through the whole drip, one process; `people` of them are enough to
    tell."""
    began = perf_counter()
    with ready.database.autocommit() as connection:
        ids = [
            row[0]
            for row in connection.execute(
                "SELECT id FROM campaign_workflow_states WHERE campaign_id = %s LIMIT %s",
                [ready.campaign_id, people],
            ).fetchall()
        ]
        for state_id in ids:
            node = "start"
            while True:
                with connection.transaction():
                    is_done = _step(connection, ready, state_id, node)
                if is_done:
                    break
                node = _NEXT[node]
    seconds = perf_counter() - began
    if people >= ready.people:
        everybody_is_through(ready)
    return people / seconds


def _step(connection: Any, ready: Ready, state_id: Any, node: str) -> bool:
    state = connection.execute(
        "SELECT s.contact_id, s.workspace_id, k.name, k.email, k.company, k.ai_score"
        " FROM campaign_workflow_states s JOIN contacts k ON k.id = s.contact_id"
        " JOIN campaign_enrollments e ON e.id = s.id"
        " WHERE s.id = %s AND e.status = 'active' FOR UPDATE OF s",
        [state_id],
    ).fetchone()
    contact, workspace, name, email, company, _score = state
    message = uuid4() if node == "mail" else None
    if node == "mail":
        _send(connection, ready, state_id, message, contact, workspace, name, email, company)
    if node in _EVENT:
        connection.execute(
            "INSERT INTO campaign_events (campaign_id, enrollment_id, contact_id, event_type,"
            " node_id, created_at, workspace_id, campaign_version, message_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, 1, %s)",
            [ready.campaign_id, state_id, contact, _EVENT[node], node, NOW, workspace, message],
        )
    is_done = node == "end"
    connection.execute(
        "UPDATE campaign_workflow_states SET current_node_id = %s, workflow_status = %s,"
        " execution_path = execution_path || to_jsonb(%s::text), steps_taken = steps_taken + 1,"
        " next_execution_at = %s, completed_at = %s, last_executed_at = %s WHERE id = %s",
        [
            _NEXT[node],
            "completed" if is_done else "running",
            node,
            None if is_done else NOW,
            NOW if is_done else None,
            NOW,
            state_id,
        ],
    )
    if is_done:
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'completed', completed_at = %s WHERE id = %s",
            [NOW, state_id],
        )
    return is_done


def _send(
    connection: Any,
    ready: Ready,
    state_id: Any,
    message: Any,
    contact: Any,
    workspace: Any,
    name: str,
    email: str,
    company: str,
) -> None:
    blocked = connection.execute(
        "SELECT 1 FROM campaign_suppressions WHERE workspace_id = %s AND lower(address) = %s",
        [workspace, email],
    ).fetchone()
    assert blocked is None
    connection.execute(
        "INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version,"
        " enrollment_id, contact_id, node_id, channel, status, settled_at, created_at)"
        " VALUES (%s, %s, %s, 1, %s, %s, 'mail', 'email', 'sent', %s, %s)",
        [message, workspace, ready.campaign_id, state_id, contact, NOW, NOW],
    )
    connection.execute(
        "INSERT INTO recorded_messages (delivery_id, workspace_id, campaign_id, enrollment_id,"
        " node_id, channel, recipient, subject, body, recorded_at)"
        " VALUES (%s, %s, %s, %s, 'mail', 'email', %s, %s, %s, %s)",
        [
            message,
            workspace,
            ready.campaign_id,
            state_id,
            email,
            f"Hello {name.split()[0]}",
            f"Dear {name}, how is {company}?",
            NOW,
        ],
    )
    connection.execute(
        "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id,"
        " campaign_version, enrollment_id, contact_id, node_id, channel, sent_at)"
        " VALUES (%s, %s, %s, 1, %s, %s, 'mail', 'email', %s)",
        [message, workspace, ready.campaign_id, state_id, contact, NOW],
    )
    connection.execute(
        "UPDATE campaign_enrollments SET last_email_sent_at = %s WHERE id = %s", [NOW, state_id]
    )

"""The five-node campaign in set-based SQL on the same schema, in one session: the limit of the
database without Python.

`one_step_a_write` advances one node per statement, as the specification's loop; `collapsed` does
the same as the engine. Both change the same rows as the engine: states, events, outbox, recorded
messages, outcomes, enrollments, with the same claim, locks and eligibility check.
"""

from __future__ import annotations

from time import perf_counter

from benchmarks.five_nodes import NOW, Ready, everybody_is_through

BATCH = 10_000

_DUE = """
WITH due AS MATERIALIZED (
    SELECT s.id FROM campaign_workflow_states s
    WHERE s.campaign_id = %(campaign)s AND s.workflow_status IN ('running', 'waiting')
      AND s.next_execution_at <= %(now)s AND s.current_node_id = %(node)s
    ORDER BY s.next_execution_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), active AS MATERIALIZED (
    SELECT d.id FROM due d JOIN campaign_enrollments e ON e.id = d.id WHERE e.status = 'active'
)"""

_LEASE = """
WITH leased AS MATERIALIZED (
    SELECT d.* FROM campaign_deliveries d
    WHERE d.campaign_id = %(campaign)s AND d.status = 'pending' AND d.due_at <= %(now)s
    ORDER BY d.due_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), sendable AS MATERIALIZED (
    SELECT l.*, k.name, k.email, k.company, k.ai_score FROM leased l
    JOIN contacts k ON k.id = l.contact_id
    JOIN campaign_enrollments e ON e.id = l.enrollment_id
    WHERE e.status = 'active' AND NOT EXISTS (
        SELECT FROM campaign_suppressions x
        WHERE x.workspace_id = l.workspace_id AND lower(x.address) = lower(k.email))
), recorded AS (
    INSERT INTO recorded_messages (delivery_id, workspace_id, campaign_id, enrollment_id, node_id,
        channel, recipient, subject, body, recorded_at)
    SELECT id, workspace_id, campaign_id, enrollment_id, node_id, channel, email,
        'Hello ' || split_part(name, ' ', 1), 'Dear ' || name || ', how is ' || company
        || '? https://mail.example.com/u/' || md5(id::text) || md5(id::text || 'x'), %(now)s
    FROM sendable
), settled AS (
    UPDATE campaign_deliveries d SET status = 'sent', due_at = NULL, settled_at = %(now)s,
        attempts = d.attempts + 1
    FROM sendable t WHERE d.id = t.id
), counted AS (
    INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, campaign_version,
        enrollment_id, contact_id, node_id, step_id, channel, sent_at)
    SELECT id, workspace_id, campaign_id, campaign_version, enrollment_id, contact_id, node_id,
        step_id, channel, %(now)s FROM sendable
)"""

_EVENT_COLUMNS = (
    "campaign_events (id, campaign_id, enrollment_id, contact_id, event_type, node_id, event_data,"
    " created_at, workspace_id, campaign_version, message_id)"
)


def _move(
    node: str, then: str, event: str | None, *, status: str = "running", end: bool = False
) -> str:
    due = "NULL" if end else "%(now)s"
    completed = ", completed_at = %(now)s" if end else ""
    logged = (
        f""", logged AS (
    INSERT INTO {_EVENT_COLUMNS}
    SELECT gen_random_uuid(), campaign_id, id, contact_id, '{event}', '{node}', '{{"port":
    "default"}}',
        %(now)s, workspace_id, campaign_version, NULL FROM moved
)"""
        if event
        else ""
    )
    followed = (
        """, followed AS (
    UPDATE campaign_enrollments e SET status = 'completed', completed_at = %(now)s,
        updated_at = %(now)s FROM moved m WHERE e.id = m.id
)"""
        if end
        else ""
    )
    return f"""{_DUE}, moved AS (
    UPDATE campaign_workflow_states s SET current_node_id = '{then}', workflow_status = '{status}',
        execution_path = s.execution_path || '["{node}"]', steps_taken = s.steps_taken + 1,
        node_entered_at = %(now)s, next_execution_at = {due}, last_executed_at = %(now)s{completed}
    FROM active a WHERE s.id = a.id
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version
){logged}{followed}
SELECT count(*) FROM moved"""


def _queue(path: str, passed: int) -> str:
    return f"""{_DUE}, moved AS (
    UPDATE campaign_workflow_states s SET current_node_id = 'mail', workflow_status = 'waiting',
        execution_path = s.execution_path || '{path}', steps_taken = s.steps_taken + {passed},
        node_entered_at = %(now)s, next_execution_at = NULL, resume_port = 'default',
        pending_delivery_id = md5(s.id::text || 'mail')::uuid, last_executed_at = %(now)s
    FROM active a WHERE s.id = a.id
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version,
        s.pending_delivery_id
), queued AS (
    INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version, enrollment_id,
        contact_id, node_id, channel, due_at, created_at)
    SELECT pending_delivery_id, workspace_id, campaign_id, campaign_version, id, contact_id, 'mail',
        'email', %(now)s, %(now)s FROM moved
)
SELECT count(*) FROM moved"""


_DELIVER = f"""{_LEASE}, logged AS (
    INSERT INTO {_EVENT_COLUMNS}
    SELECT id, campaign_id, enrollment_id, contact_id, 'email_sent', node_id, '{{}}', %(now)s,
        workspace_id, campaign_version, id FROM sendable
), shown AS (
    UPDATE campaign_enrollments e SET last_email_sent_at = %(now)s,
        current_step = coalesce(e.current_step, 0) + 1, updated_at = %(now)s
    FROM sendable t WHERE e.id = t.enrollment_id
), moved AS (
    UPDATE campaign_workflow_states s SET current_node_id = 'pause', workflow_status = 'running',
        next_execution_at = %(now)s, resume_port = NULL, pending_delivery_id = NULL,
        last_message_at = %(now)s, last_executed_at = %(now)s
    FROM sendable t WHERE s.id = t.enrollment_id AND s.pending_delivery_id = t.id
    RETURNING s.id
)
SELECT count(*) FROM moved"""

_DELIVER_COLLAPSED = f"""{_LEASE}, moved AS (
    UPDATE campaign_workflow_states s SET current_node_id = 'end', workflow_status = 'completed',
        execution_path = s.execution_path || '["pause", "score", "end"]',
        steps_taken = s.steps_taken + 3, next_execution_at = NULL, resume_port = NULL,
        pending_delivery_id = NULL, completed_at = %(now)s, last_message_at = %(now)s,
        node_entered_at = %(now)s, last_executed_at = %(now)s
    FROM sendable t WHERE s.id = t.enrollment_id AND s.pending_delivery_id = t.id
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, t.id AS message
), logged AS (
    INSERT INTO {_EVENT_COLUMNS}
    SELECT CASE v.kind WHEN 'email_sent' THEN m.message ELSE gen_random_uuid() END, m.campaign_id,
        m.id, m.contact_id, v.kind, v.node, v.data::jsonb, %(now)s, m.workspace_id,
        m.campaign_version, CASE v.kind WHEN 'email_sent' THEN m.message END
    FROM moved m CROSS JOIN (VALUES ('email_sent', 'mail', '{{}}'),
        ('wait_completed', 'pause', '{{"port": "default"}}'),
        ('condition_evaluated', 'score', '{{"branch": "high"}}'),
        ('enrollment_completed', 'end', '{{}}')) AS v (kind, node, data)
), shown AS (
    UPDATE campaign_enrollments e SET last_email_sent_at = %(now)s, status = 'completed',
        completed_at = %(now)s, current_step = coalesce(e.current_step, 0) + 1, updated_at = %(now)s
    FROM moved m WHERE e.id = m.id
)
SELECT count(*) FROM moved"""

_CONDITION = _move("score", "end", "condition_evaluated").replace(
    "FROM active a WHERE s.id = a.id",
    "FROM active a, contacts k WHERE s.id = a.id AND k.id = s.contact_id AND"
    " coalesce(k.ai_score, 0) >= 0",
)

ONE_STEP_A_WRITE = (
    ("start", _move("start", "mail", None)),
    ("mail", _queue('["mail"]', 1)),
    ("", _DELIVER),
    ("pause", _move("pause", "score", "wait_completed")),
    ("score", _CONDITION),
    ("end", _move("end", "end", "enrollment_completed", status="completed", end=True)),
)
COLLAPSED = (("start", _queue('["start", "mail"]', 2)), ("", _DELIVER_COLLAPSED))


def sql_rate(ready: Ready, steps: tuple[tuple[str, str], ...]) -> float:
    """People per second through the whole drip by one SQL session, a transaction per batch and
    step."""
    began = perf_counter()
    with ready.database.autocommit() as connection:
        for node, statement in steps:
            while True:
                named = {
                    "campaign": ready.campaign_id,
                    "now": NOW,
                    "node": node,
                    "batch": BATCH,
                }
                row = connection.execute(statement, named).fetchone()
                assert row is not None
                if row[0] < BATCH:
                    break
    seconds = perf_counter() - began
    everybody_is_through(ready)
    return ready.people / seconds

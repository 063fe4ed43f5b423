-- name: run_positions
-- Returns what matchers read of each run: its beginning, the time from which events of the contact end a wait, and
-- the message that was sent last in each channel, if asked for.
SELECT
    s.id, s.started_at, coalesce(s.last_message_at, s.node_entered_at, s.started_at) AS since,
    m.message_id AS email_id, m.sent_at AS emailed_at, x.message_id AS sms_id, x.sent_at AS texted_at
FROM campaign_workflow_states s
LEFT JOIN LATERAL latest_message(s.id, 'email') m ON CAST(%(with_messages)s AS boolean)
LEFT JOIN LATERAL latest_message(s.id, 'sms') x ON CAST(%(with_messages)s AS boolean)
WHERE s.id = ANY(CAST(%(state_ids)s AS uuid []));

-- name: occurrences
-- Returns the events of these types with their properties: those of each run, and those of its contact since it began.
-- Of the types in `any_types` also those from before, and those of the contact's other runs.
SELECT
    e.enrollment_id, e.id AS event_id, e.event_type, e.created_at AS occurred_at, e.event_data, e.message_id, e.node_id,
    'run' AS belongs_to
FROM campaign_events e
WHERE e.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []))
  AND e.event_type = ANY(CAST(%(event_types)s AS text []))
UNION ALL
SELECT p.enrollment_id, x.id, x.event_type, x.occurred_at, x.event_data, NULL, NULL, 'contact'
FROM unnest(CAST(%(enrollment_ids)s AS uuid []), CAST(%(contact_ids)s AS uuid [])) AS p (enrollment_id, contact_id)
JOIN campaign_workflow_states s ON s.id = p.enrollment_id
JOIN contact_events x
    ON x.contact_id = p.contact_id AND x.event_type = ANY(CAST(%(event_types)s AS text []))
WHERE x.occurred_at >= s.started_at - CAST(%(tolerance)s AS interval)
   OR x.event_type = ANY(CAST(%(any_types)s AS text []))
UNION ALL
SELECT p.enrollment_id, e.id, e.event_type, e.created_at, e.event_data, e.message_id, e.node_id, 'other run'
FROM unnest(CAST(%(enrollment_ids)s AS uuid []), CAST(%(contact_ids)s AS uuid [])) AS p (enrollment_id, contact_id)
JOIN campaign_enrollments n ON n.contact_id = p.contact_id AND n.id <> p.enrollment_id
JOIN campaign_events e ON e.enrollment_id = n.id AND e.event_type = ANY(CAST(%(any_types)s AS text []))
WHERE CAST(%(any_types)s AS text []) <> '{}';

-- name: resume_matched_waits
-- Lets waiting states leave their waits by these ports.
UPDATE campaign_workflow_states s
SET resume_port = n.port,
    wait_for_event = NULL,
    wait_until = NULL,
    next_execution_at = CAST(%(now)s AS timestamptz),
    workflow_status = CASE s.workflow_status WHEN 'paused' THEN 'paused' ELSE 'running' END
FROM unnest(CAST(%(state_ids)s AS uuid []), CAST(%(ports)s AS text [])) AS n (state_id, port)
WHERE s.id = n.state_id AND s.workflow_status IN ('waiting', 'paused');

-- name: matched_waits_of_version
-- Returns the waiting states of a version whose wait judges events one by one.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
    s.max_retries, s.steps_taken, 'active' AS enrollment_status
FROM campaign_workflow_states s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.campaign_version = CAST(%(version)s AS integer)
  AND s.wait_for_event LIKE 'match:%%' AND s.workflow_status IN ('waiting', 'paused')
ORDER BY s.id
FOR UPDATE OF s;

-- name: unadopted_campaigns
-- Campaigns with steps and without a published version: an application made them before the engine was installed. A draft
-- is included only while one of its steps has no node.
SELECT c.id, c.name, c.status
FROM drip_campaigns c
WHERE c.published_version IS NULL
  AND c.status <> 'archived'
  AND EXISTS (SELECT FROM campaign_steps s WHERE s.campaign_id = c.id)
  AND (
      c.status IN ('active', 'paused')
      OR EXISTS (
          SELECT FROM campaign_steps s
          WHERE s.campaign_id = c.id AND (s.node_id IS NULL OR s.node_type IS NULL)
      )
  )
ORDER BY c.created_at, c.id;

-- name: lock_unadopted
-- Locks a campaign that has no published version.
SELECT
    c.id, c.workspace_id, c.status, c.name, c.description, c.campaign_type, c.sequence_type, c.goal, c.goal_metric,
    c.goal_target, c.tags, c.ab_test_config, c.canvas_data, c.drip_settings
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND c.published_version IS NULL
FOR UPDATE;

-- name: assign_node_ids
-- Writes node ids to steps that have none: the id of the canvas node that shows the step, or one built from the step's id.
UPDATE campaign_steps s
SET node_id = coalesce(
        (
            SELECT n.node ->> 'id'
            FROM drip_campaigns c
            CROSS JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(c.canvas_data -> 'nodes') WHEN 'array' THEN c.canvas_data -> 'nodes' ELSE '[]' END
            ) AS n (node)
            WHERE c.id = s.campaign_id AND n.node -> 'data' ->> 'stepId' = s.id::text
            LIMIT 1
        ),
        'node_' || s.id::text
    ),
    node_type = coalesce(s.node_type, 'email')
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND (s.node_id IS NULL OR s.node_type IS NULL);

-- name: pin_states
-- Pins states without a version to the version that was made of their campaign, and logs the start of each enrollment.
WITH pinned AS (
    UPDATE campaign_workflow_states s
    SET campaign_version = CAST(%(version)s AS integer)
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.campaign_version IS NULL
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, s.current_node_id, s.started_at
),

logged_before AS (
    UPDATE campaign_events e
    SET campaign_version = p.campaign_version
    FROM pinned p
    WHERE e.enrollment_id = p.id AND e.campaign_version IS NULL
    RETURNING e.enrollment_id, e.event_type
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, node_id, event_data, created_at,
        workspace_id, campaign_version
    )
    SELECT
        p.campaign_id, p.id, p.contact_id, 'enrollment_started', 'system', p.current_node_id, '{"adopted": true}',
        p.started_at, p.workspace_id, p.campaign_version
    FROM pinned p
    WHERE NOT EXISTS (
        SELECT FROM logged_before k WHERE k.enrollment_id = p.id AND k.event_type = 'enrollment_started'
    )
)

SELECT count(*) FROM pinned;

-- name: create_states_in_progress
-- Creates states for enrollments that are inside a linear sequence. The number of messages sent is read from
-- `current_step`. Applications store there either the number of messages sent or the number of the next step; it is the
-- latter if any enrollment without a message has a value of 1 or more. The next message is due at the planned time, or
-- else after the delay since the last message, or else now.
WITH convention AS (
    SELECT coalesce(bool_or(e.current_step >= 1), FALSE) AS counts_next
    FROM campaign_enrollments e
    WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid) AND e.last_email_sent_at IS NULL
),

progress AS (
    SELECT
        e.id, e.campaign_id, e.contact_id, e.status, e.started_at, e.last_email_sent_at, e.next_email_scheduled_at,
        CASE
            WHEN e.last_email_sent_at IS NULL THEN 0
            ELSE greatest(1, coalesce(e.current_step, 1) - CASE WHEN v.counts_next THEN 1 ELSE 0 END)
        END AS messages_sent
    FROM campaign_enrollments e
    CROSS JOIN convention v
    WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid)
      AND e.status IN ('active', 'paused')
      -- An enrollment without a past or planned message enters at the trigger.
      AND (e.last_email_sent_at IS NOT NULL OR e.next_email_scheduled_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM campaign_workflow_states s WHERE s.id = e.id)
),

resume_points AS (
    SELECT o.messages_sent, p.node_id, p.resume_port, p.delay_seconds
    FROM unnest(
        CAST(%(node_ids)s AS text []), CAST(%(resume_ports)s AS text []), CAST(%(delay_seconds)s AS integer [])
    ) WITH ORDINALITY AS p (node_id, resume_port, delay_seconds, ordinal)
    CROSS JOIN LATERAL (SELECT p.ordinal - 1 AS messages_sent) AS o
),

created AS (
    INSERT INTO campaign_workflow_states (
        id, enrollment_id, campaign_id, contact_id, workspace_id, campaign_version, current_node_id, current_step_id,
        workflow_status, resume_port, wait_until, started_at, next_execution_at, node_entered_at, last_message_at,
        steps_taken
    )
    SELECT
        g.id, g.id, g.campaign_id, g.contact_id, c.workspace_id, CAST(%(version)s AS integer), p.node_id, s.id,
        CASE g.status WHEN 'paused' THEN 'paused' ELSE 'waiting' END, p.resume_port, t.due_at, g.started_at, t.due_at,
        coalesce(g.last_email_sent_at, g.started_at), g.last_email_sent_at, g.messages_sent
    FROM progress g
    JOIN drip_campaigns c ON c.id = g.campaign_id
    JOIN resume_points p ON p.messages_sent = least(g.messages_sent, (SELECT max(x.messages_sent) FROM resume_points x))
    LEFT JOIN campaign_steps s ON s.campaign_id = g.campaign_id AND s.node_id = p.node_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            g.next_email_scheduled_at, g.last_email_sent_at + p.delay_seconds * interval '1 second',
            CAST(%(now)s AS timestamptz)
        ) AS due_at
    ) AS t
    RETURNING id, campaign_id, contact_id, workspace_id, campaign_version, current_node_id, started_at
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, node_id, event_data, created_at,
        workspace_id, campaign_version
    )
    SELECT
        n.campaign_id, n.id, n.contact_id, 'enrollment_started', 'system', n.current_node_id, '{"adopted": true}',
        n.started_at, n.workspace_id, n.campaign_version
    FROM created n
)

SELECT count(*) FROM created;

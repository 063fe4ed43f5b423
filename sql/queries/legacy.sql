-- name: unadopted_campaigns
-- Campaigns with steps that have no version to run yet: made by an application before this engine came. A draft is among
-- them only as long as its steps have no nodes.
SELECT c.id, c.name
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
-- One of them, locked, if it is still one.
SELECT c.*
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND c.published_version IS NULL
FOR UPDATE;

-- name: name_nodes
-- Node ids for steps that have none: the one under which the canvas shows the step, else one made of the step's id.
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
-- States of an earlier design run in the version that their campaign became, and the log says of each that it entered.
WITH pinned AS (
    UPDATE campaign_workflow_states s
    SET campaign_version = CAST(%(version)s AS integer)
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.campaign_version IS NULL
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, s.current_node_id, s.started_at
),

known AS (
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
        SELECT FROM known k WHERE k.enrollment_id = p.id AND k.event_type = 'enrollment_started'
    )
)

SELECT count(*) FROM pinned;

-- name: place_enrollments
-- States for enrollments that are in the middle of a plain sequence. How many messages somebody was sent is read from
-- `current_step`: applications count it either as messages sent or as the number of the next step; where anybody who was
-- never written to stands at 1 or higher, it is the latter. The time of the next message is the one that was planned, else
-- the delay after the last message, else now.
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
      -- Somebody for whom nothing has happened and nothing is planned simply enters.
      AND (e.last_email_sent_at IS NOT NULL OR e.next_email_scheduled_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM campaign_workflow_states s WHERE s.id = e.id)
),

places AS (
    SELECT o.messages_sent, p.node_id, p.resume_port, p.delay_seconds
    FROM unnest(
        CAST(%(node_ids)s AS text []), CAST(%(resume_ports)s AS text []), CAST(%(delay_seconds)s AS integer [])
    ) WITH ORDINALITY AS p (node_id, resume_port, delay_seconds, ordinal)
    CROSS JOIN LATERAL (SELECT p.ordinal - 1 AS messages_sent) AS o
),

placed AS (
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
    JOIN places p ON p.messages_sent = least(g.messages_sent, (SELECT max(x.messages_sent) FROM places x))
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
    FROM placed n
)

SELECT count(*) FROM placed;

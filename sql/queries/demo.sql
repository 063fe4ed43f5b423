-- name: messages_recorded_since
-- Recorded messages after an id, in order. The simulated recipients react to them.
SELECT m.id, m.delivery_id, c.name AS campaign, m.node_id, m.recorded_at
FROM recorded_messages m
JOIN drip_campaigns c ON c.id = m.campaign_id
WHERE m.id > CAST(%(after_id)s AS bigint) AND m.workspace_id = CAST(%(workspace_id)s AS uuid)
ORDER BY m.id;

-- name: rules_at_work
-- What rules did in a workspace: messages that quiet hours held, those that a frequency cap held, runs that ended at their
-- goal, and messages of these runs that were recorded afterwards.
SELECT
    (
        SELECT count(DISTINCT (e.enrollment_id, e.node_id))
        FROM campaign_events e
        WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.event_type = 'message_held'
          AND e.event_data ->> 'rule' = 'quiet_hours'
    ) AS held_by_quiet_hours,
    (
        SELECT count(DISTINCT (e.enrollment_id, e.node_id))
        FROM campaign_events e
        WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.event_type = 'message_held'
          AND e.event_data ->> 'rule' <> 'quiet_hours'
    ) AS held_by_cap,
    g.runs AS ended_at_goal, g.messages AS sent_after_goal
FROM (
    SELECT count(DISTINCT e.enrollment_id) AS runs, count(m.id) AS messages
    FROM campaign_events e
    LEFT JOIN recorded_messages m ON m.enrollment_id = e.enrollment_id AND m.recorded_at > e.created_at
    WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.event_type = 'goal_reached'
) g;

-- name: latest_recorded_message
-- Id of the newest recorded message, 0 if there is none.
SELECT coalesce(max(m.id), 0) AS id FROM recorded_messages m;

-- name: delete_workspace
-- Delete a workspace and all its rows, in one transaction. Rows without a foreign key are deleted by workspace id.
WITH deleted_events AS (
    DELETE FROM campaign_events x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
    RETURNING x.id
),

deleted_keys AS (
    DELETE FROM ingested_event_keys x USING deleted_events e WHERE x.event_key = e.id
),

deleted_contact_events AS (
    DELETE FROM contact_events x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_deliveries AS (
    DELETE FROM campaign_deliveries x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_outcomes AS (
    DELETE FROM campaign_message_outcomes x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_messages AS (
    DELETE FROM recorded_messages x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_suppressions AS (
    DELETE FROM campaign_suppressions x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_metrics AS (
    DELETE FROM campaign_daily_metrics x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_days AS (
    DELETE FROM stale_metric_days x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_actions AS (
    DELETE FROM operator_actions x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_rejects AS (
    DELETE FROM rejected_contacts x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
),

deleted_cells AS (
    DELETE FROM rejected_cells x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
)

DELETE FROM workspaces w WHERE w.id = CAST(%(workspace_id)s AS uuid);

-- name: demo_workspaces
-- The workspaces that the demo created, and whether they still contain only what it made: its campaigns in their first
-- version, its contacts, no channel.
SELECT
    w.id, w.name,
    NOT (
        EXISTS (
            SELECT FROM drip_campaigns c
            WHERE c.workspace_id = w.id
              AND (c.name <> ALL(CAST(%(campaigns)s AS text [])) OR c.published_version IS DISTINCT FROM 1)
        )
        OR EXISTS (
            SELECT FROM contacts k
            WHERE k.workspace_id = w.id AND (k.email ~ CAST(%(addresses)s AS text)) IS NOT TRUE
        )
        OR EXISTS (SELECT FROM campaign_channels h WHERE h.workspace_id = w.id)
    ) AS is_unchanged
FROM demo_workspaces d
JOIN workspaces w ON w.id = d.workspace_id
ORDER BY w.name, w.id;

-- name: mark_demo_workspace
-- Records that the demo created this workspace.
INSERT INTO demo_workspaces (workspace_id) VALUES (CAST(%(workspace_id)s AS uuid));

-- name: keep_demo_workspace
-- From now on the workspace is the user's own.
DELETE FROM demo_workspaces d WHERE d.workspace_id = CAST(%(workspace_id)s AS uuid);

-- name: campaigns_beside_demo
-- The published campaigns of other workspaces, which a simulated clock would move.
SELECT c.name
FROM drip_campaigns c
WHERE c.published_version IS NOT NULL
  AND c.status <> 'archived'
  AND NOT EXISTS (SELECT FROM demo_workspaces d WHERE d.workspace_id = c.workspace_id)
ORDER BY c.name
LIMIT 4;

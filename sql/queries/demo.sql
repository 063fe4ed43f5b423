-- name: messages_recorded_since
-- Recorded messages after an id, in order. The simulated recipients react to them.
SELECT m.id, m.delivery_id, c.name AS campaign, m.node_id, m.recorded_at
FROM recorded_messages m
JOIN drip_campaigns c ON c.id = m.campaign_id
WHERE m.id > CAST(%(after_id)s AS bigint) AND m.workspace_id = CAST(%(workspace_id)s AS uuid)
ORDER BY m.id;

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

deleted_rejects AS (
    DELETE FROM rejected_contacts x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
)

DELETE FROM workspaces w WHERE w.id = CAST(%(workspace_id)s AS uuid);

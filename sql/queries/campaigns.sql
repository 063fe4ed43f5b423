-- name: find_campaigns
-- Returns campaigns with this id or exact name, archived ones last.
SELECT
    c.id, c.workspace_id, w.name AS workspace, c.name, c.status, c.campaign_type, c.version, c.published_version,
    c.drip_settings AS settings,
    EXISTS (SELECT FROM demo_workspaces d WHERE d.workspace_id = c.workspace_id) AS is_demo
FROM drip_campaigns c
JOIN workspaces w ON w.id = c.workspace_id
WHERE c.id = CAST(%(id)s AS uuid) OR c.name = CAST(%(name)s AS text)
ORDER BY c.status = 'archived', c.created_at, c.id;

-- name: lock_campaign_for_entry
-- Locks a campaign so that it can neither be archived nor published while contacts are enrolled.
SELECT c.status, c.published_version
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid)
FOR SHARE;

-- name: list_campaigns
-- Returns all campaigns with their enrollments by status.
SELECT
    c.id, c.name, w.name AS workspace, c.status, c.campaign_type, c.published_version AS version,
    coalesce(p.active, 0) AS active, coalesce(p.completed, 0) AS completed, coalesce(p.exited, 0) AS exited,
    coalesce(p.failed, 0) AS failed, c.updated_at, parent.name AS cloned_from
FROM drip_campaigns c
JOIN workspaces w ON w.id = c.workspace_id
LEFT JOIN drip_campaigns parent ON parent.id = c.parent_campaign_id
LEFT JOIN (
    SELECT
        s.campaign_id,
        count(*) FILTER (WHERE s.workflow_status IN ('running', 'waiting', 'paused')) AS active,
        count(*) FILTER (WHERE s.workflow_status = 'completed') AS completed,
        count(*) FILTER (WHERE s.workflow_status = 'exited') AS exited,
        count(*) FILTER (WHERE s.workflow_status = 'failed') AS failed
    FROM campaign_workflow_states s
    GROUP BY s.campaign_id
) p ON p.campaign_id = c.id
WHERE CAST(%(workspace)s AS text) IS NULL OR w.name = CAST(%(workspace)s AS text)
ORDER BY c.status = 'archived', c.name, c.created_at, c.id;

-- name: states_by_node
-- Counts the states of a campaign per node and status, all versions together.
SELECT s.current_node_id AS node_id, s.workflow_status AS status, count(*) AS states
FROM campaign_workflow_states s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
GROUP BY s.current_node_id, s.workflow_status;

-- name: states_passed_by_node
-- Counts the states that have passed each node: it is in their path, and they are no longer there.
SELECT p.node_id, count(*) AS states
FROM campaign_workflow_states s
CROSS JOIN LATERAL (SELECT DISTINCT jsonb_array_elements_text(s.execution_path) AS node_id) p
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND NOT (
      p.node_id = s.current_node_id AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
  )
GROUP BY p.node_id;

-- name: set_campaign_status
-- Changes the status of a campaign if it is one of from_statuses.
UPDATE drip_campaigns c
SET status = CAST(%(status)s AS text), updated_at = CAST(%(now)s AS timestamptz)
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND c.status = ANY(CAST(%(from_statuses)s AS text []))
RETURNING c.id;

-- name: snapshot_archived_campaign
-- Adds the last version to a campaign's history.
SELECT create_campaign_version_snapshot(
    CAST(%(campaign_id)s AS uuid), 'Archived', 'archived', CAST(%(now)s AS timestamptz)
) AS version_id;

-- name: find_batch
-- Returns one batch of the batch log.
SELECT b.id, b.kind, b.outcome, b.size
FROM campaign_batches b
WHERE b.id = CAST(%(batch_id)s AS uuid);

-- name: lock_campaign_row
-- Locks a campaign against publishing, archiving and migration until the transaction ends.
SELECT c.id FROM drip_campaigns c WHERE c.id = CAST(%(campaign_id)s AS uuid) FOR UPDATE;

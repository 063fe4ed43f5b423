-- name: version_history
-- The versions of a campaign, newest first: what made them, who, and how many people are inside each.
SELECT
    v.version, v.change_type, v.change_description, v.created_at, v.created_by,
    v.compiled_graph IS NOT NULL AS is_published, v.version IS NOT DISTINCT FROM c.published_version AS is_current,
    coalesce(p.people, 0) AS people
FROM campaign_versions v
JOIN drip_campaigns c ON c.id = v.campaign_id
LEFT JOIN (
    SELECT s.campaign_version, count(*) AS people
    FROM campaign_workflow_states s
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.workflow_status IN ('running', 'waiting', 'paused')
    GROUP BY s.campaign_version
) p ON p.campaign_version = v.version
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid)
ORDER BY v.version DESC;

-- name: version_as_written
-- One version as it was kept: the definition that was published, or the rows as they stood.
SELECT v.version, v.change_type, v.definition, v.campaign_snapshot, v.steps_snapshot
FROM campaign_versions v
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer);

-- name: version_number
-- The number of a version.
SELECT v.version FROM campaign_versions v WHERE v.id = CAST(%(version_id)s AS uuid);

-- name: mark_test_start
-- The snapshot of the version that starts a test says so, unless it has more to say.
UPDATE campaign_versions v
SET change_type = 'ab_test_started',
    change_description = coalesce(v.change_description, CAST(%(description)s AS text))
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer)
  AND v.change_type = 'published';

-- name: campaigns_of_name
-- Campaigns in use that carry a name in a workspace.
SELECT c.id, c.status, c.published_version
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND c.name = CAST(%(name)s AS text) AND c.status <> 'archived'
ORDER BY c.created_at, c.id;

-- name: campaigns_in_use
-- Published campaigns of some workspaces, for telling which of them a folder of files lacks.
SELECT c.id, c.name, w.name AS workspace, c.status, c.published_version AS version
FROM drip_campaigns c
JOIN workspaces w ON w.id = c.workspace_id
WHERE c.workspace_id = ANY(CAST(%(workspace_ids)s AS uuid [])) AND c.status <> 'archived'
  AND c.published_version IS NOT NULL
ORDER BY w.name, c.name, c.created_at;

-- name: set_parent_campaign
-- Where a campaign was cloned from.
UPDATE drip_campaigns c
SET parent_campaign_id = CAST(%(parent_campaign_id)s AS uuid)
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: campaign_lineage
-- The campaign that one was cloned from, and those cloned from it.
SELECT CASE r.id WHEN c.parent_campaign_id THEN 'parent' ELSE 'clone' END AS relation, r.id, r.name, r.status
FROM drip_campaigns c
JOIN drip_campaigns r ON r.id = c.parent_campaign_id OR r.parent_campaign_id = c.id
WHERE c.id = CAST(%(campaign_id)s AS uuid)
ORDER BY relation DESC, r.created_at, r.name, r.id;

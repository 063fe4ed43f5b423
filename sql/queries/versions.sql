-- name: version_history
-- The versions of a campaign, newest first, with their origin, author and number of states in flight.
SELECT
    v.version, v.change_type, v.change_description, v.created_at, v.created_by,
    v.compiled_graph IS NOT NULL AS is_published, v.version IS NOT DISTINCT FROM c.published_version AS is_current,
    coalesce(f.in_flight, 0) AS in_flight, a.actor
FROM campaign_versions v
JOIN drip_campaigns c ON c.id = v.campaign_id
LEFT JOIN (
    SELECT s.campaign_version, count(*) AS in_flight
    FROM campaign_workflow_states s
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.workflow_status IN ('running', 'waiting', 'paused')
    GROUP BY s.campaign_version
) f ON f.campaign_version = v.version
LEFT JOIN (
    SELECT DISTINCT ON (o.details ->> 'version') o.details ->> 'version' AS version, o.actor
    FROM operator_actions o
    WHERE o.object_id = CAST(%(campaign_id)s AS uuid) AND o.details ? 'version'
    ORDER BY o.details ->> 'version', o.occurred_at
) a ON a.version = CAST(v.version AS text)
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid)
ORDER BY v.version DESC;

-- name: stored_version
-- The published definition of a version, and its snapshot of the campaign's row and steps.
SELECT v.definition, v.campaign_snapshot, v.steps_snapshot
FROM campaign_versions v
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer);

-- name: version_number
-- The number of a version, by its id.
SELECT v.version FROM campaign_versions v WHERE v.id = CAST(%(version_id)s AS uuid);

-- name: mark_test_start
-- Sets the change type of a published version that starts an A/B test; an existing description stays.
UPDATE campaign_versions v
SET change_type = 'ab_test_started',
    change_description = coalesce(v.change_description, CAST(%(description)s AS text))
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer)
  AND v.change_type = 'published';

-- name: campaigns_of_name
-- The campaigns of a name in a workspace that are not archived.
SELECT c.id, c.status, c.published_version
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND c.name = CAST(%(name)s AS text) AND c.status <> 'archived'
ORDER BY c.created_at, c.id;

-- name: published_campaigns
-- The published campaigns of some workspaces, to report which of them a folder of files does not contain.
SELECT c.id, c.name, w.name AS workspace, c.status, c.published_version AS version
FROM drip_campaigns c
JOIN workspaces w ON w.id = c.workspace_id
WHERE c.workspace_id = ANY(CAST(%(workspace_ids)s AS uuid [])) AND c.status <> 'archived'
  AND c.published_version IS NOT NULL
ORDER BY w.name, c.name, c.created_at;

-- name: set_parent_campaign
-- Stores which campaign another one was cloned from.
UPDATE drip_campaigns c
SET parent_campaign_id = CAST(%(parent_campaign_id)s AS uuid)
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: campaign_lineage
-- The campaign that a campaign was cloned from, and its clones.
SELECT CASE r.id WHEN c.parent_campaign_id THEN 'parent' ELSE 'clone' END AS relation, r.id, r.name, r.status
FROM drip_campaigns c
JOIN drip_campaigns r ON r.id = c.parent_campaign_id OR r.parent_campaign_id = c.id
WHERE c.id = CAST(%(campaign_id)s AS uuid)
ORDER BY relation DESC, r.created_at, r.name, r.id;

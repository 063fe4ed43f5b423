-- name: edited_campaigns
-- The published campaigns (all, or one) whose tables differ from the published version or that have a recorded draft.
SELECT
    c.id AS campaign_id, c.name, c.workspace_id, v.version, n.content_hash,
    n.content_hash IS DISTINCT FROM v.content_hash AS is_edited,
    e.content_hash IS NOT DISTINCT FROM n.content_hash AS is_known,
    e.kind, e.problems, e.changes, e.noticed_at
FROM drip_campaigns c
JOIN campaign_versions v ON v.campaign_id = c.id AND v.version = c.published_version
LEFT JOIN campaign_edits e ON e.campaign_id = c.id
CROSS JOIN LATERAL (SELECT campaign_content_hash(c.id) AS content_hash) n
WHERE c.status <> 'archived'
  AND v.definition_hash IS NOT NULL
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR c.id = CAST(%(campaign_id)s AS uuid))
  AND (n.content_hash IS DISTINCT FROM v.content_hash OR e.campaign_id IS NOT NULL)
ORDER BY c.name, c.id;

-- name: published_definition
-- The definition of the published version, with its hashes.
SELECT v.version, v.definition, v.definition_hash, v.graph_hash
FROM drip_campaigns c
JOIN campaign_versions v ON v.campaign_id = c.id AND v.version = c.published_version
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND v.definition_hash IS NOT NULL;

-- name: save_layout
-- Copies the present canvas into the published version; its graph does not change.
UPDATE campaign_versions v
SET definition = CAST(%(definition)s AS jsonb), definition_hash = CAST(%(definition_hash)s AS text),
    canvas_snapshot = c.canvas_data, content_hash = campaign_content_hash(c.id)
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND v.campaign_id = c.id AND v.version = c.published_version;

-- name: record_draft
-- Inserts or replaces the recorded draft of a campaign.
INSERT INTO campaign_edits (
    campaign_id, workspace_id, content_hash, base_version, kind, problems, changes, noticed_at
)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(content_hash)s AS text),
    CAST(%(base_version)s AS integer), CAST(%(kind)s AS text), CAST(%(problems)s AS jsonb),
    CAST(%(changes)s AS text), CAST(%(now)s AS timestamptz)
)
ON CONFLICT (campaign_id) DO UPDATE
SET content_hash = excluded.content_hash, base_version = excluded.base_version, kind = excluded.kind,
    problems = excluded.problems, changes = excluded.changes, noticed_at = excluded.noticed_at;

-- name: delete_draft
-- Deletes a recorded draft after it was published, overwritten or undone.
DELETE FROM campaign_edits e WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid);

-- name: recorded_draft
-- The recorded draft of a campaign, if its content is the present one.
SELECT e.kind, e.base_version, e.problems, e.changes, e.noticed_at
FROM campaign_edits e
WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid) AND e.content_hash = campaign_content_hash(e.campaign_id);

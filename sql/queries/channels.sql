-- name: channel_rows
-- Channel rows of these categories, in these workspaces or in all.
SELECT
    c.id AS channel_id, c.workspace_id, c.channel_slug AS slug, c.channel_name, c.channel_category AS category,
    lower(trim(c.platform)) AS platform, coalesce(c.is_active, true) AS is_active,
    CASE jsonb_typeof(c.specs) WHEN 'object' THEN c.specs ELSE '{}' END AS specs
FROM campaign_channels c
WHERE c.channel_category = ANY(CAST(%(categories)s AS text []))
  AND (CAST(%(workspace_ids)s AS uuid []) IS NULL OR c.workspace_id = ANY(CAST(%(workspace_ids)s AS uuid [])))
ORDER BY c.workspace_id, c.channel_category, c.channel_slug;

-- name: upsert_channel
-- Creates a channel row, or changes the row of this workspace and slug.
INSERT INTO campaign_channels (
    workspace_id, channel_slug, channel_name, channel_category, platform, is_active, specs, updated_at
)
VALUES (
    CAST(%(workspace_id)s AS uuid), CAST(%(slug)s AS text), CAST(%(name)s AS text), CAST(%(category)s AS text),
    CAST(%(platform)s AS text), CAST(%(is_active)s AS boolean), CAST(%(specs)s AS jsonb),
    CAST(%(now)s AS timestamptz)
)
ON CONFLICT (workspace_id, channel_slug) DO UPDATE
SET channel_name = excluded.channel_name, channel_category = excluded.channel_category, platform = excluded.platform,
    is_active = excluded.is_active, specs = excluded.specs, updated_at = excluded.updated_at
RETURNING id;

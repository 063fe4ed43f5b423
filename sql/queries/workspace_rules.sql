-- name: rules_of_workspaces
-- The rules of these workspaces. The fingerprints tell whether the caps that `lease_deliveries` sees are these.
SELECT
    r.workspace_id, r.kind, r.name, r.config, r.updated_at,
    hashtext(r.name || CAST(r.config AS text)) AS fingerprint
FROM workspace_rules r
WHERE r.workspace_id = ANY(CAST(%(workspace_ids)s AS uuid []))
ORDER BY r.workspace_id, r.kind, r.name;

-- name: store_workspace_rule
-- Stores a rule unless it is stored with this configuration already.
INSERT INTO workspace_rules (workspace_id, kind, name, config, updated_at)
VALUES (
    CAST(%(workspace_id)s AS uuid), CAST(%(kind)s AS text), CAST(%(name)s AS text), CAST(%(config)s AS jsonb),
    CAST(%(now)s AS timestamptz)
)
ON CONFLICT (workspace_id, kind, name) DO UPDATE
SET config = excluded.config, updated_at = excluded.updated_at
WHERE workspace_rules.config <> excluded.config;

-- name: delete_workspace_rule
-- Deletes a rule.
DELETE FROM workspace_rules r
WHERE r.workspace_id = CAST(%(workspace_id)s AS uuid) AND r.kind = CAST(%(kind)s AS text)
  AND r.name = CAST(%(name)s AS text);

-- name: recheck_held_messages
-- Makes the messages due that this rule holds, so that they are checked against the rules as they are now.
UPDATE campaign_deliveries d
SET due_at = CAST(%(now)s AS timestamptz)
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND d.campaign_id = c.id AND d.status = 'pending'
  AND d.held_by = CAST(%(rule)s AS text) AND d.due_at = d.held_until AND d.due_at > CAST(%(now)s AS timestamptz);

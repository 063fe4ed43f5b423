-- name: queued_messages
-- When these messages were queued, and the time zones of their contacts as written.
SELECT d.id, d.created_at AS queued_at, k.custom_fields ->> 'timezone' AS of_contact, w.time_zone AS of_workspace
FROM campaign_deliveries d
LEFT JOIN contacts k ON k.id = d.contact_id
LEFT JOIN workspaces w ON w.id = d.workspace_id
WHERE d.id = ANY(CAST(%(ids)s AS uuid []));

-- name: hold_messages
-- Holds pending messages until an instant, with an event that names the rule.
WITH held AS (
    UPDATE campaign_deliveries d
    SET due_at = r.until, held_by = r.rule, held_until = r.until
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(rules)s AS text []), CAST(%(untils)s AS timestamptz [])
    ) AS r (id, rule, until)
    WHERE d.id = r.id AND d.status || '' = 'pending'
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.channel, d.variant_group, r.rule, r.until
)

INSERT INTO campaign_events (
    campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
    workspace_id, campaign_version, variant_group, message_id
)
SELECT
    h.campaign_id, h.enrollment_id, h.contact_id, 'message_held', 'system', h.step_id, h.node_id,
    jsonb_build_object('rule', h.rule, 'until', h.until, 'channel', h.channel), CAST(%(now)s AS timestamptz),
    h.workspace_id, h.campaign_version, h.variant_group, h.id
FROM held h;

-- name: held_messages
-- Counts the messages of a campaign that rules hold, by version, node and rule; those whose hold has ended by `now` are
-- left out.
SELECT
    d.campaign_version, d.node_id, d.held_by AS rule, count(*) AS messages, min(d.due_at) AS first_until,
    max(d.due_at) AS last_until
FROM campaign_deliveries d
WHERE d.campaign_id = CAST(%(campaign_id)s AS uuid) AND d.status = 'pending' AND d.held_by IS NOT NULL
  AND d.due_at = d.held_until
  AND (CAST(%(now)s AS timestamptz) IS NULL OR d.due_at > CAST(%(now)s AS timestamptz))
GROUP BY d.campaign_version, d.node_id, d.held_by
ORDER BY d.campaign_version, d.node_id, d.held_by;

-- name: held_by_reason
-- Counts the messages that rules hold at a time, by rule.
SELECT d.held_by AS reason, count(*) AS messages
FROM campaign_deliveries d
WHERE d.status = 'pending' AND d.held_by IS NOT NULL AND d.held_until > CAST(%(now)s AS timestamptz)
  AND d.due_at = d.held_until
GROUP BY d.held_by
ORDER BY d.held_by;

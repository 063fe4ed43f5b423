-- name: insert_suppressions
-- Inserts a chunk of a suppression list. Existing entries for the same channel and campaign stay unchanged.
WITH listed AS MATERIALIZED (
    SELECT DISTINCT ON (lower(l.address), l.channel, l.campaign_id) l.address, l.reason, l.channel, l.campaign_id
    FROM (
        SELECT
            CASE WHEN g.address LIKE '%%@%%' THEN g.address ELSE coalesce(suppressed_phone(g.address), g.address) END
            AS address,
            g.reason, g.channel, g.campaign_id, g.position
        FROM unnest(
            CAST(%(addresses)s AS text []), CAST(%(reasons)s AS text []), CAST(%(channels)s AS text []),
            CAST(%(campaign_ids)s AS uuid [])
        ) WITH ORDINALITY AS g (address, reason, channel, campaign_id, position)
    ) l
    ORDER BY lower(l.address), l.channel, l.campaign_id, l.position
),

existing AS (
    SELECT DISTINCT ON (k.address) k.address, k.id
    FROM (
        SELECT lower(c.email) AS address, c.id, c.created_at
        FROM contacts c
        JOIN listed l ON lower(l.address) = lower(c.email)
        WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
        UNION ALL
        SELECT suppressed_phone(c.phone) AS address, c.id, c.created_at
        FROM contacts c
        JOIN listed l ON l.address = suppressed_phone(c.phone)
        WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND c.phone IS NOT NULL
    ) k
    ORDER BY k.address, k.created_at, k.id
)

INSERT INTO campaign_suppressions (
    workspace_id, contact_id, address, channel, campaign_id, reason, source, created_at
)
SELECT
    CAST(%(workspace_id)s AS uuid), k.id, l.address, l.channel, l.campaign_id, l.reason, 'import',
    CAST(%(now)s AS timestamptz)
FROM listed l
LEFT JOIN existing k ON k.address = lower(l.address)
ON CONFLICT DO NOTHING;

-- name: campaigns_of_workspace
-- The ids and names of campaigns that a suppression list may refer to.
SELECT c.id, c.name
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid);

-- name: latest_sms_to
-- The latest SMS to this phone number, one row per workspace.
SELECT DISTINCT ON (k.workspace_id) k.workspace_id, o.message_id
FROM contacts k
JOIN campaign_enrollments e ON e.contact_id = k.id
JOIN campaign_message_outcomes o ON o.enrollment_id = e.id AND o.channel = 'sms'
WHERE suppressed_phone(k.phone) = CAST(%(phone)s AS text) AND k.phone IS NOT NULL
ORDER BY k.workspace_id, o.sent_at DESC;

-- name: suppress_phone
-- Suppresses a number for SMS in all workspaces that have it.
INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason, source, created_at)
SELECT
    k.workspace_id, k.id, CAST(%(phone)s AS text), 'sms', 'unsubscribed', CAST(%(source)s AS text),
    CAST(%(now)s AS timestamptz)
FROM contacts k
WHERE suppressed_phone(k.phone) = CAST(%(phone)s AS text) AND k.phone IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: readmit_phone
-- Deletes the suppressions that the owner of a number requested; those for bounces or added manually stay.
DELETE FROM campaign_suppressions s
WHERE s.address = CAST(%(phone)s AS text) AND s.channel = 'sms' AND s.reason = 'unsubscribed';

-- name: insert_suppressions
-- Inserts a chunk of a suppression list. Existing entries for the same channel and campaign stay unchanged.
WITH listed AS MATERIALIZED (
    SELECT DISTINCT ON (l.canonical, l.channel, l.campaign_id)
        l.canonical, l.address, l.reason, l.note, l.channel, l.campaign_id
    FROM (
        SELECT
            canonical_address(g.address) AS canonical, g.address, g.reason, g.note, g.channel, g.campaign_id,
            g.position
        FROM unnest(
            CAST(%(addresses)s AS text []), CAST(%(reasons)s AS text []), CAST(%(notes)s AS text []),
            CAST(%(channels)s AS text []), CAST(%(campaign_ids)s AS uuid [])
        ) WITH ORDINALITY AS g (address, reason, note, channel, campaign_id, position)
    ) l
    ORDER BY l.canonical, l.channel, l.campaign_id, l.position
),

existing AS (
    SELECT DISTINCT ON (k.address) k.address, k.id
    FROM (
        SELECT canonical_email(c.email) AS address, c.id, c.created_at
        FROM contacts c
        JOIN listed l ON l.canonical = canonical_email(c.email)
        WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
        UNION ALL
        SELECT canonical_phone(c.phone) AS address, c.id, c.created_at
        FROM contacts c
        JOIN listed l ON l.canonical = canonical_phone(c.phone)
        WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND c.phone IS NOT NULL
    ) k
    ORDER BY k.address, k.created_at, k.id
)

INSERT INTO campaign_suppressions (
    workspace_id, contact_id, address, channel, campaign_id, reason, note, source, created_at
)
SELECT
    CAST(%(workspace_id)s AS uuid), k.id, l.address, l.channel, l.campaign_id, l.reason, l.note, 'import',
    CAST(%(now)s AS timestamptz)
FROM listed l
LEFT JOIN existing k ON k.address = l.canonical
ON CONFLICT DO NOTHING;

-- name: campaigns_of_workspace
-- The ids and names of campaigns that a suppression list may refer to.
SELECT c.id, c.name
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid);

-- name: latest_sms_to
-- The latest SMS to this phone number, one row per workspace, or of this workspace only. `national` are its spellings
-- without a country code, which count in workspaces whose country is the number's.
SELECT DISTINCT ON (k.workspace_id) k.workspace_id, o.message_id
FROM contacts k
JOIN workspaces w ON w.id = k.workspace_id
JOIN campaign_enrollments e ON e.contact_id = k.id
JOIN campaign_message_outcomes o ON o.enrollment_id = e.id AND o.channel = 'sms'
WHERE canonical_phone(k.phone) = ANY(canonical_phone(CAST(%(phone)s AS text)) || CAST(%(national)s AS text []))
  AND k.phone IS NOT NULL
  AND (canonical_phone(k.phone) LIKE '+%%' OR w.default_region = ANY(CAST(%(regions)s AS text [])))
  AND (CAST(%(workspace_id)s AS uuid) IS NULL OR k.workspace_id = CAST(%(workspace_id)s AS uuid))
ORDER BY k.workspace_id, o.sent_at DESC;

-- name: suppress_phone
-- Suppresses a number for SMS in this workspace or, without one, in all, also if no contact has it yet.
INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason, source, created_at)
SELECT
    w.id, k.id, CAST(%(phone)s AS text), 'sms', 'unsubscribed', CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
FROM workspaces w
LEFT JOIN (
    SELECT c.workspace_id, c.id, canonical_phone(c.phone) AS number
    FROM contacts c
    WHERE canonical_phone(c.phone) = ANY(canonical_phone(CAST(%(phone)s AS text)) || CAST(%(national)s AS text []))
      AND c.phone IS NOT NULL
) k
    ON k.workspace_id = w.id AND (k.number LIKE '+%%' OR w.default_region = ANY(CAST(%(regions)s AS text [])))
WHERE CAST(%(workspace_id)s AS uuid) IS NULL OR w.id = CAST(%(workspace_id)s AS uuid)
ON CONFLICT DO NOTHING;

-- name: readmit_phone
-- Deletes the suppressions that the owner of a number requested; those for bounces or added manually stay.
DELETE FROM campaign_suppressions s
WHERE canonical_address(s.address) = canonical_phone(CAST(%(phone)s AS text))
  AND s.workspace_id IN (  -- the first column of the index
      SELECT w.id FROM workspaces w
      WHERE CAST(%(workspace_id)s AS uuid) IS NULL OR w.id = CAST(%(workspace_id)s AS uuid)
  )
  AND s.channel = 'sms' AND s.reason = 'unsubscribed';

-- name: contact_to_resubscribe
-- The contacts of a workspace with this id or address.
SELECT k.id, k.email, k.phone
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND (k.id = CAST(%(contact_id)s AS uuid) OR canonical_email(k.email) = canonical_email(CAST(%(email)s AS text)));

-- name: lift_suppressions
-- Deletes the suppressions of these contacts and addresses, whatever their reason, for a channel or for all. One for all
-- channels then stays for the other channel.
WITH removed AS (
    DELETE FROM campaign_suppressions s
    WHERE s.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND (
          s.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
          OR canonical_address(s.address) = ANY(
              ARRAY(SELECT canonical_address(a.address) FROM unnest(CAST(%(addresses)s AS text [])) AS a (address))
          )
      )
      AND (CAST(%(channel)s AS text) IS NULL OR s.channel IS NULL OR s.channel = CAST(%(channel)s AS text))
    RETURNING s.*
),

kept AS (
    INSERT INTO campaign_suppressions (
        workspace_id, contact_id, address, channel, campaign_id, reason, note, source, created_at
    )
    SELECT
        r.workspace_id, r.contact_id, r.address, CASE CAST(%(channel)s AS text) WHEN 'sms' THEN 'email' ELSE 'sms' END,
        r.campaign_id, r.reason, r.note, r.source, r.created_at
    FROM removed r
    WHERE r.channel IS NULL AND CAST(%(channel)s AS text) IS NOT NULL
    ON CONFLICT DO NOTHING
)

SELECT count(*) AS lifted FROM removed;

-- name: suppress_addresses
-- Suppresses addresses as an operator decided, for a channel or for all, with the reason as a note; an existing entry
-- stays.
INSERT INTO campaign_suppressions (
    workspace_id, contact_id, address, channel, reason, note, source, created_at
)
SELECT
    CAST(%(workspace_id)s AS uuid), p.contact_id, p.address, CAST(%(channel)s AS text), 'manual',
    CAST(%(note)s AS text), 'operator', CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(addresses)s AS text [])) AS p (contact_id, address)
ON CONFLICT DO NOTHING;

-- name: reopen_enrollments
-- Ended runs of contacts that are resubscribed no longer keep them from entering again.
UPDATE campaign_enrollments e
SET status = 'completed'
WHERE e.contact_id = ANY(CAST(%(contact_ids)s AS uuid [])) AND e.status IN ('unsubscribed', 'bounced')
  AND EXISTS (SELECT FROM campaign_workflow_states w WHERE w.id = e.id AND w.completed_at IS NOT NULL);

-- name: log_resubscription
-- Logs that an operator resubscribed contacts.
INSERT INTO contact_events (workspace_id, contact_id, event_type, event_data, occurred_at, recorded_at)
SELECT
    CAST(%(workspace_id)s AS uuid), c.id, t.event_type, jsonb_build_object('reason', CAST(%(reason)s AS text)),
    CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid [])) AS c (id)
CROSS JOIN unnest(CAST(%(event_types)s AS text [])) AS t (event_type);

-- name: suppressed_numbers
-- The reasons why these phone numbers get no SMS, for deliveries whose contact has the number in another spelling than
-- E.164. The reasons are those of lease_deliveries.
SELECT
    d.id,
    substr(
        min(
            CASE
                WHEN s.channel IS NOT NULL THEN CASE s.reason
                    WHEN 'bounced' THEN 'c:unreachable' WHEN 'manual' THEN 'c:suppressed' ELSE 'c:opted_out'
                END
                WHEN s.reason = 'unsubscribed' THEN 'a:unsubscribed'
                ELSE 'b:' || s.reason
            END
        ), 3
    ) AS reason
FROM unnest(
    CAST(%(ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []), CAST(%(campaign_ids)s AS uuid []),
    CAST(%(numbers)s AS text [])
) AS d (id, workspace_id, campaign_id, number)
JOIN campaign_suppressions s
    ON s.workspace_id = d.workspace_id AND canonical_address(s.address) = canonical_phone(d.number)
WHERE (s.channel IS NULL OR s.channel = 'sms') AND (s.campaign_id IS NULL OR s.campaign_id = d.campaign_id)
GROUP BY d.id;

-- name: unreachable_contacts
-- Of these contacts whose mailbox has refused a message now: those whose address has bounced that often within the time
-- span.
SELECT r.contact_id
FROM repeatedly_soft_bounced(
    CAST(%(contact_ids)s AS uuid []),
    array_fill(
        CAST(%(now)s AS timestamptz) - CAST(%(time_span)s AS interval),
        ARRAY[cardinality(CAST(%(contact_ids)s AS uuid []))]
    ),
    CAST(%(time_span)s AS interval), CAST(%(threshold)s AS integer)
) AS r (contact_id);

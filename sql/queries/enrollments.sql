-- name: contacts_after
-- The next chunk of a workspace's contacts, optionally with a tag, in the order of their ids.
SELECT k.id
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND (CAST(%(after)s AS uuid) IS NULL OR k.id > CAST(%(after)s AS uuid))
  AND (CAST(%(tag)s AS text) IS NULL OR k.tags @> ARRAY[CAST(%(tag)s AS text)])
ORDER BY k.id
LIMIT CAST(%(chunk_size)s AS integer);

-- name: contacts_by_address
-- The contacts of this workspace with these canonical addresses; otherwise, whether another workspace has the address.
SELECT a.address, k.id AS contact_id, k.id IS NULL AND o.address IS NOT NULL AS is_elsewhere
FROM unnest(CAST(%(addresses)s AS text [])) AS a (address)
LEFT JOIN (
    SELECT DISTINCT ON (canonical_email(c.email)) canonical_email(c.email) AS address, c.id
    FROM contacts c
    WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND canonical_email(c.email) = ANY(CAST(%(addresses)s AS text []))
    ORDER BY canonical_email(c.email), c.created_at, c.id
) k ON k.address = a.address
LEFT JOIN (
    SELECT DISTINCT canonical_email(c.email) AS address
    FROM contacts c
    WHERE c.workspace_id <> CAST(%(workspace_id)s AS uuid)
      AND canonical_email(c.email) = ANY(CAST(%(addresses)s AS text []))
) o ON o.address = a.address;

-- name: latest_events_of_contacts
-- When each event type last happened to these contacts, in any campaign or at contact level. Opens and clicks by machines
-- do not count.
SELECT x.contact_id, x.event_type, max(x.happened_at) AS latest_at
FROM (
    SELECT c.contact_id, c.event_type, c.occurred_at AS happened_at
    FROM contact_events c
    WHERE c.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
      AND c.event_type = ANY(CAST(%(event_types)s AS text []))
      AND c.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    UNION ALL
    SELECT n.contact_id, e.event_type, e.created_at AS happened_at
    FROM campaign_enrollments n
    JOIN campaign_events e ON e.enrollment_id = n.id
    WHERE n.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
      AND e.event_type = ANY(CAST(%(event_types)s AS text []))
      AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
) x
GROUP BY x.contact_id, x.event_type;

-- name: enroll_contacts
-- Enrolls a chunk of contacts and counts them by result: enrolled, already_in, or the reason of the refusal.
SELECT r.result, r.contacts, r.locked_ids, r.new_contacts
FROM enroll_contacts(
    CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(contact_ids)s AS uuid []),
    CAST(%(entry_keys)s AS text []), CAST(%(entry_data)s AS text []), CAST(%(re_entry)s AS text),
    CAST(%(ended_before)s AS timestamptz), CAST(%(by_email)s AS boolean), CAST(%(by_sms)s AS boolean),
    CAST(%(contacts_left)s AS bigint), CAST(%(runs_left)s AS bigint), CAST(%(is_dry_run)s AS boolean),
    CAST(%(now)s AS timestamptz)
) r;

-- name: enroll_contacts_of_call
-- Enrolls the contacts of a call in a campaign with a webhook trigger, and counts them by result.
SELECT r.result, r.contacts, r.locked_ids, r.new_contacts
FROM trigger_enroll_contacts(
    CAST(%(campaign_id)s AS uuid), CAST(%(contact_ids)s AS uuid []), CAST(%(entry_keys)s AS text []),
    CAST(%(entry_data)s AS text []), CAST(%(re_entry)s AS text), CAST(%(ended_before)s AS timestamptz),
    CAST(%(by_email)s AS boolean), CAST(%(by_sms)s AS boolean), CAST(%(contacts_left)s AS bigint),
    CAST(%(runs_left)s AS bigint), CAST(%(now)s AS timestamptz)
) r;

-- name: contacts_of_call
-- The contacts with these canonical addresses in the workspace of a campaign with a webhook trigger. They are locked;
-- transactions that have locked them are awaited.
SELECT k.address, k.contact_id
FROM trigger_contacts(CAST(%(campaign_id)s AS uuid), CAST(%(addresses)s AS text [])) k;

-- name: merge_contacts_of_call
-- Merges the contacts of a call into those of the campaign's workspace, or enters only what they refuse.
SELECT m.inserted, m.refused
FROM trigger_merge_contacts(
    CAST(%(campaign_id)s AS uuid), CAST(%(rows)s AS jsonb), CAST(%(refusals_only)s AS boolean),
    CAST(%(now)s AS timestamptz)
) m;

-- name: spread_new_states
-- Spreads the due times of states that were enrolled at `now` evenly over a time range, by a hash of the id.
UPDATE campaign_workflow_states s
SET next_execution_at = CAST(%(now)s AS timestamptz)
    + ((hashtext(s.id::text) & 2147483647) %% 10000) / 10000.0 * make_interval(secs => CAST(%(spread_seconds)s AS double precision))
FROM campaign_enrollments e
WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND e.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.id = e.id
  AND s.steps_taken = 0
  AND s.workflow_status = 'running'
  AND s.next_execution_at = CAST(%(now)s AS timestamptz);

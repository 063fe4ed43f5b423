-- name: entry_triggers
-- The entry triggers of active campaigns, and whether contacts are queued for them. Reads one row of the queue per
-- trigger, however long the queue is.
SELECT
    t.id, t.campaign_id, c.name AS campaign, t.kind, t.listens_to ->> 'cron' AS cron,
    t.listens_to ->> 'timezone' AS timezone, t.since, t.completed_through, t.pass_for, t.is_backfill_due,
    EXISTS (SELECT FROM campaign_entry_queue n WHERE n.trigger_id = t.id) AS has_queue,
    CASE WHEN g.waits_version = c.published_version THEN g.waits_until END AS waits_until
FROM campaign_entry_triggers t
JOIN drip_campaigns c ON c.id = t.campaign_id
LEFT JOIN campaign_guards g ON g.campaign_id = c.id
WHERE c.status = 'active' AND c.published_version IS NOT NULL
ORDER BY t.id;

-- name: take_queued_contacts
-- Deletes a chunk from the queue in the transaction that enrolls its contacts. Two concurrent ticks take different
-- entries.
WITH taken AS MATERIALIZED (
    SELECT n.id
    FROM campaign_entry_queue n
    WHERE n.trigger_id = CAST(%(trigger_id)s AS bigint)
    ORDER BY n.id
    LIMIT CAST(%(chunk_size)s AS integer)
    FOR UPDATE SKIP LOCKED
)

DELETE FROM campaign_entry_queue n
USING taken t
WHERE n.trigger_id = CAST(%(trigger_id)s AS bigint) AND n.id = t.id
RETURNING n.id, n.contact_id, n.event_id;

-- name: queue_contacts_again
-- Returns entries whose contact is locked to the end of the queue, where they delay no others.
INSERT INTO campaign_entry_queue (workspace_id, trigger_id, contact_id, event_id)
SELECT CAST(%(workspace_id)s AS uuid), CAST(%(trigger_id)s AS bigint), q.contact_id, q.event_id
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(event_ids)s AS uuid [])) AS q (contact_id, event_id);

-- name: contacts_with_tag_or_score
-- The contacts among these that have the tag, or at least the score, now.
SELECT k.id
FROM contacts k
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND (CAST(%(tag)s AS text) IS NULL OR CAST(%(tag)s AS text) = ANY(k.tags))
  AND (CAST(%(at_least)s AS numeric) IS NULL OR k.ai_score >= CAST(%(at_least)s AS numeric));

-- name: enrolled_contacts
-- The contacts among these that are or were enrolled in the campaign.
SELECT DISTINCT e.contact_id
FROM campaign_enrollments e
WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid) AND e.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: lock_entry_trigger
-- Locks a campaign's trigger for the process that scans its next chunk; other processes skip it.
SELECT
    t.since, t.completed_through, t.pass_for, t.pass_reached, t.is_backfill_due, t.opens_after IS NOT NULL AS is_opening,
    -- A transaction that runs for longer than an hour is not awaited.
    t.since < CAST(%(now)s AS timestamptz) - interval '1 hour'
    OR coalesce(pg_snapshot_xmin(pg_current_snapshot()) >= CAST(t.opens_after AS xid8), false) AS is_open
FROM campaign_entry_triggers t
WHERE t.id = CAST(%(trigger_id)s AS bigint)
FOR UPDATE SKIP LOCKED;

-- name: begin_to_open_entry_trigger
-- Records which transactions may have changed contacts before the trigger was visible to them.
UPDATE campaign_entry_triggers t
SET opens_after = pg_snapshot_xmax(pg_current_snapshot())::text
WHERE t.id = CAST(%(trigger_id)s AS bigint);

-- name: save_scan_position
-- Stores the position of a scan; at its end, that it is done.
UPDATE campaign_entry_triggers t
SET pass_for = CASE WHEN CAST(%(is_done)s AS boolean) THEN NULL ELSE CAST(%(pass_for)s AS timestamptz) END,
    pass_reached = CASE WHEN CAST(%(is_done)s AS boolean) THEN NULL ELSE CAST(%(pass_reached)s AS uuid) END,
    is_backfill_due = t.is_backfill_due AND NOT (CAST(%(is_done)s AS boolean) AND CAST(%(pass_for)s AS timestamptz) = t.since),
    completed_through = CASE
        WHEN t.kind = 'schedule' AND CAST(%(is_done)s AS boolean)
            THEN greatest(t.completed_through, CAST(%(pass_for)s AS timestamptz))
        ELSE t.completed_through
    END
WHERE t.id = CAST(%(trigger_id)s AS bigint);

-- name: delete_orphaned_queue_entries
-- Queue entries of a deleted trigger, written by transactions that still saw it.
DELETE FROM campaign_entry_queue n
WHERE NOT EXISTS (SELECT FROM campaign_entry_triggers t WHERE t.id = n.trigger_id);

-- name: events_by_id
-- The properties of these contact-level events.
SELECT e.id, e.contact_id, e.occurred_at, e.event_data
FROM contact_events e
WHERE e.id = ANY(CAST(%(event_ids)s AS uuid []));

-- name: campaign_events_by_id
-- The properties of these events of campaigns. Looks into every partition of the log: an event does not carry its time.
SELECT e.id, e.contact_id, e.created_at AS occurred_at, e.event_data
FROM campaign_events e
WHERE e.id = ANY(CAST(%(event_ids)s AS uuid []));

-- name: events_of_contacts
-- The events of this type that these contacts have had, at contact level and in any campaign but this one; none caused
-- by machines, unless they are accepted.
SELECT c.id, c.contact_id, c.occurred_at, c.event_data
FROM contact_events c
WHERE c.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND c.event_type = CAST(%(event_type)s AS text)
  AND (CAST(%(accepts_machines)s AS boolean) OR c.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb)
UNION ALL
SELECT e.id, n.contact_id, e.created_at, e.event_data
FROM campaign_enrollments n
JOIN campaign_events e ON e.enrollment_id = n.id
WHERE n.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND n.campaign_id <> CAST(%(campaign_id)s AS uuid)
  AND e.event_type = CAST(%(event_type)s AS text)
  AND (CAST(%(accepts_machines)s AS boolean) OR e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb);

-- name: events_needed_from
-- From when on events are still needed: by open runs (what their conditions and waits look back to), by running tests,
-- and by days that are to be counted. Days before the log begins need nothing of it any more.
SELECT least(
    (
        SELECT min(s.started_at)
        FROM campaign_workflow_states s
        WHERE s.workflow_status IN ('running', 'waiting', 'paused')
    ),
    (SELECT min(t.started_at) FROM campaign_ab_tests t WHERE t.status = 'running'),
    (
        SELECT min(d.metric_date - 1)::timestamp AT TIME ZONE 'UTC'
        FROM stale_metric_days d
        WHERE d.metric_date > coalesce(
            (SELECT CAST(h.kept_from AT TIME ZONE 'UTC' AS date) FROM campaign_retention_watermarks h WHERE h.kind = 'log'),
            '-infinity'
        )
    ),
    (
        SELECT (max(m.metric_date) - 2)::timestamp AT TIME ZONE 'UTC'
        FROM campaign_daily_metrics m
        HAVING max(m.metric_date) IS NOT NULL
    )
) AS needed_from;

-- name: event_months
-- The months of the log that end by then, oldest first, with roughly how many events and bytes they hold.
SELECT
    to_date(right(c.relname, 7), 'YYYY_MM') AS month, greatest(c.reltuples, 0)::bigint AS about_rows,
    pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'campaign_events'::regclass
  AND c.relname ~ '^campaign_events_\d{4}_\d{2}$'
  AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month')::timestamp AT TIME ZONE 'UTC'
  <= CAST(%(before)s AS timestamptz)
ORDER BY 1;

-- name: set_lock_timeout
-- Taking a partition off waits for everybody who uses the log, and everybody after that waits for it: not for long.
SELECT set_config('lock_timeout', CAST(%(milliseconds)s AS text), true);

-- name: detach_event_month
-- Takes a month off the log, to be archived; its table's name, null when it is not there.
SELECT detach_event_month(CAST(%(month)s AS date), CAST(%(now)s AS timestamptz)) AS table_name;

-- name: unfinished_archives
-- Months that were taken off the log and are not written yet.
SELECT a.id, a.month, a.table_name
FROM campaign_archives a
WHERE a.archived_at IS NULL AND a.table_name IS NOT NULL
ORDER BY a.id;

-- name: lock_archive
-- One writer per month; another run passes it over.
SELECT a.id
FROM campaign_archives a
WHERE a.id = CAST(%(archive_id)s AS bigint) AND a.archived_at IS NULL
FOR UPDATE SKIP LOCKED;

-- name: finish_archive
-- The month is written and was read back: its table goes.
SELECT drop_archived_month(
    CAST(%(archive_id)s AS bigint), CAST(%(file)s AS text), CAST(%(rows_archived)s AS bigint),
    CAST(%(now)s AS timestamptz)
);

-- name: begin_contact_archive
-- A file of contact events is about to be written; its number.
INSERT INTO campaign_archives (kind, month, begun_at, file, rows_archived, archived_at)
VALUES (
    'contact_events', CAST(%(month)s AS date), CAST(%(now)s AS timestamptz), '', 0, CAST(%(now)s AS timestamptz)
)
RETURNING id;

-- name: note_contact_archive
-- Where the file is, and how many events it holds.
UPDATE campaign_archives a
SET file = CAST(%(file)s AS text), rows_archived = CAST(%(rows_archived)s AS bigint)
WHERE a.id = CAST(%(archive_id)s AS bigint);

-- name: take_contact_events
-- A slice of old contact events, taken out in the transaction that writes their file.
DELETE FROM contact_events e
WHERE e.id = ANY(ARRAY(
    SELECT x.id
    FROM contact_events x
    WHERE x.occurred_at < CAST(%(before)s AS timestamptz)
    ORDER BY x.occurred_at, x.id
    LIMIT CAST(%(slice_size)s AS integer)
))
RETURNING
    e.id, e.workspace_id, e.contact_id, e.event_type, e.value, e.currency, e.event_data, e.occurred_at, e.recorded_at;

-- name: raise_retention_watermark
-- From now on this kind of data is whole only from there.
INSERT INTO campaign_retention_watermarks (kind, kept_from)
VALUES (CAST(%(kind)s AS text), CAST(%(kept_from)s AS timestamptz))
ON CONFLICT (kind) DO UPDATE SET kept_from = greatest(campaign_retention_watermarks.kept_from, excluded.kept_from);

-- name: retention_watermarks
-- From when on each kind of data is whole.
SELECT h.kind, h.kept_from FROM campaign_retention_watermarks h;

-- name: drop_old_deliveries
-- One slice of the outbox in the order of its ids: what is settled and old goes, but for people who are still inside.
WITH slice AS MATERIALIZED (
    SELECT d.id, d.enrollment_id, d.status, d.settled_at
    FROM campaign_deliveries d
    WHERE CAST(%(after)s AS uuid) IS NULL OR d.id > CAST(%(after)s AS uuid)
    ORDER BY d.id
    LIMIT CAST(%(slice_size)s AS integer)
),

old AS (
    SELECT s.id
    FROM slice s
    WHERE s.status IN ('sent', 'skipped', 'failed') AND s.settled_at < CAST(%(before)s AS timestamptz)
      AND NOT EXISTS (
          SELECT FROM campaign_workflow_states w
          WHERE w.id = s.enrollment_id AND w.workflow_status IN ('running', 'waiting', 'paused')
      )
),

dropped AS (
    DELETE FROM campaign_deliveries d USING old o
    WHERE CAST(%(is_dry)s AS boolean) IS FALSE AND d.id = o.id
)

SELECT (SELECT s.id FROM slice s ORDER BY s.id DESC LIMIT 1) AS last_id, (SELECT count(*) FROM old) AS rows_old;

-- name: drop_old_recorded_messages
-- A slice of messages that were recorded instead of sent.
DELETE FROM recorded_messages r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM recorded_messages x
    WHERE x.recorded_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(slice_size)s AS integer)
));

-- name: drop_old_event_keys
-- A slice of keys by which repeated events are known.
DELETE FROM ingested_event_keys k
WHERE k.event_key = ANY(ARRAY(
    SELECT x.event_key FROM ingested_event_keys x
    WHERE x.recorded_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(slice_size)s AS integer)
));

-- name: drop_old_rejected_events
-- A slice of lines that could not be taken in.
DELETE FROM rejected_events r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM rejected_events x
    WHERE x.rejected_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(slice_size)s AS integer)
));

-- name: drop_old_rejected_contacts
-- A slice of lines of people that could not be imported.
DELETE FROM rejected_contacts r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM rejected_contacts x
    WHERE x.rejected_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(slice_size)s AS integer)
));

-- name: drop_old_batches
-- A slice of the ledger.
DELETE FROM campaign_batches b
WHERE b.id = ANY(ARRAY(
    SELECT x.id FROM campaign_batches x
    WHERE x.started_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(slice_size)s AS integer)
));

-- name: old_rows
-- What is old enough to go, table by table.
SELECT
    (SELECT count(*) FROM contact_events x WHERE x.occurred_at < CAST(%(log_before)s AS timestamptz)) AS contact_events,
    (
        SELECT count(*) FROM recorded_messages x WHERE x.recorded_at < CAST(%(deliveries_before)s AS timestamptz)
    ) AS recorded_messages,
    (
        SELECT count(*) FROM ingested_event_keys x WHERE x.recorded_at < CAST(%(deliveries_before)s AS timestamptz)
    ) AS ingested_event_keys,
    (
        SELECT count(*) FROM rejected_events x WHERE x.rejected_at < CAST(%(traces_before)s AS timestamptz)
    ) AS rejected_events,
    (
        SELECT count(*) FROM rejected_contacts x WHERE x.rejected_at < CAST(%(traces_before)s AS timestamptz)
    ) AS rejected_contacts,
    (
        SELECT count(*) FROM campaign_batches x WHERE x.started_at < CAST(%(traces_before)s AS timestamptz)
    ) AS campaign_batches;

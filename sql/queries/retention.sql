-- name: events_needed_from
-- Time since which events are still needed: by open workflow states (their conditions and waits read earlier events), by
-- running tests, and by days that are to be recomputed. Days before the start of the log need no events.
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
-- Months of the event log that end by a time, oldest first, with estimated rows and bytes.
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
-- Set the lock timeout of the transaction. Detaching a partition waits for all transactions that use the log, and later
-- ones wait for it.
SELECT set_config('lock_timeout', CAST(%(milliseconds)s AS text), true);

-- name: detach_event_month
-- Detach a month from the event log for archiving. Returns its table name, or null if the month does not exist.
SELECT detach_event_month(CAST(%(month)s AS date), CAST(%(now)s AS timestamptz)) AS table_name;

-- name: unfinished_archives
-- Months that are detached from the log and not yet archived.
SELECT a.id, a.month, a.table_name
FROM campaign_archives a
WHERE a.archived_at IS NULL AND a.table_name IS NOT NULL
ORDER BY a.id;

-- name: lock_archive
-- Lock an unfinished archive: one writer per month. Other runs skip it.
SELECT a.id
FROM campaign_archives a
WHERE a.id = CAST(%(archive_id)s AS bigint) AND a.archived_at IS NULL
FOR UPDATE SKIP LOCKED;

-- name: finish_archive
-- Drop the table of a month whose file is written and was read back.
SELECT drop_archived_month(
    CAST(%(archive_id)s AS bigint), CAST(%(file)s AS text), CAST(%(rows_archived)s AS bigint),
    CAST(%(now)s AS timestamptz)
);

-- name: store_contact_archive
-- Record a file of archived contact events and its number of rows.
INSERT INTO campaign_archives (kind, month, begun_at, file, rows_archived, archived_at)
VALUES (
    'contact_events', CAST(%(month)s AS date), CAST(%(now)s AS timestamptz), CAST(%(file)s AS text),
    CAST(%(rows_archived)s AS bigint), CAST(%(now)s AS timestamptz)
);

-- name: take_contact_events
-- Delete and return a chunk of old contact events, in the transaction that writes their file.
DELETE FROM contact_events e
WHERE e.id = ANY(ARRAY(
    SELECT x.id
    FROM contact_events x
    WHERE x.occurred_at < CAST(%(before)s AS timestamptz)
    ORDER BY x.occurred_at, x.id
    LIMIT CAST(%(chunk_size)s AS integer)
))
RETURNING
    e.id, e.workspace_id, e.contact_id, e.event_type, e.value, e.currency, e.event_data, e.occurred_at, e.recorded_at;

-- name: raise_retention_watermark
-- Record that a kind of data is complete only since a time. The watermark never moves back.
INSERT INTO campaign_retention_watermarks (kind, kept_from)
VALUES (CAST(%(kind)s AS text), CAST(%(kept_from)s AS timestamptz))
ON CONFLICT (kind) DO UPDATE SET kept_from = greatest(campaign_retention_watermarks.kept_from, excluded.kept_from);

-- name: retention_watermarks
-- Time since which each kind of data is complete.
SELECT h.kind, h.kept_from FROM campaign_retention_watermarks h;

-- name: drop_old_deliveries
-- Delete the old settled deliveries of one chunk of the outbox, in the order of ids. Deliveries of open workflow states
-- stay.
WITH chunk AS MATERIALIZED (
    SELECT d.id, d.enrollment_id, d.status, d.settled_at
    FROM campaign_deliveries d
    WHERE CAST(%(after)s AS uuid) IS NULL OR d.id > CAST(%(after)s AS uuid)
    ORDER BY d.id
    LIMIT CAST(%(chunk_size)s AS integer)
),

old AS (
    SELECT c.id
    FROM chunk c
    WHERE c.status IN ('sent', 'skipped', 'failed') AND c.settled_at < CAST(%(before)s AS timestamptz)
      AND NOT EXISTS (
          SELECT FROM campaign_workflow_states s
          WHERE s.id = c.enrollment_id AND s.workflow_status IN ('running', 'waiting', 'paused')
      )
),

dropped AS (
    DELETE FROM campaign_deliveries d USING old o
    WHERE CAST(%(is_dry)s AS boolean) IS FALSE AND d.id = o.id
)

SELECT (SELECT c.id FROM chunk c ORDER BY c.id DESC LIMIT 1) AS last_id, (SELECT count(*) FROM old) AS rows_old;

-- name: drop_old_recorded_messages
-- Delete a chunk of messages that were recorded instead of sent.
DELETE FROM recorded_messages r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM recorded_messages x
    WHERE x.recorded_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: drop_old_event_keys
-- Delete a chunk of the keys that detect repeated events.
DELETE FROM ingested_event_keys k
WHERE k.event_key = ANY(ARRAY(
    SELECT x.event_key FROM ingested_event_keys x
    WHERE x.recorded_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: drop_old_rejected_events
-- Delete a chunk of rejected event lines.
DELETE FROM rejected_events r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM rejected_events x
    WHERE x.rejected_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: drop_old_rejected_contacts
-- Delete a chunk of rejected contact lines.
DELETE FROM rejected_contacts r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM rejected_contacts x
    WHERE x.rejected_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: drop_old_rejected_cells
-- Delete a chunk of rejected cells.
DELETE FROM rejected_cells r
WHERE r.id = ANY(ARRAY(
    SELECT x.id FROM rejected_cells x
    WHERE x.rejected_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: drop_old_batches
-- Delete a chunk of the batch log.
DELETE FROM campaign_batches b
WHERE b.id = ANY(ARRAY(
    SELECT x.id FROM campaign_batches x
    WHERE x.started_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: old_rows
-- Number of rows that are old enough to delete, by table.
SELECT
    (SELECT count(*) FROM contact_events x WHERE x.occurred_at < CAST(%(log_before)s AS timestamptz)) AS contact_events,
    (
        SELECT count(*) FROM recorded_messages x WHERE x.recorded_at < CAST(%(deliveries_before)s AS timestamptz)
    ) AS recorded_messages,
    (
        SELECT count(*) FROM ingested_event_keys x WHERE x.recorded_at < CAST(%(deliveries_before)s AS timestamptz)
    ) AS ingested_event_keys,
    (
        SELECT count(*) FROM rejected_events x WHERE x.rejected_at < CAST(%(diagnostics_before)s AS timestamptz)
    ) AS rejected_events,
    (
        SELECT count(*) FROM rejected_contacts x WHERE x.rejected_at < CAST(%(diagnostics_before)s AS timestamptz)
    ) AS rejected_contacts,
    (
        SELECT count(*) FROM rejected_cells x WHERE x.rejected_at < CAST(%(diagnostics_before)s AS timestamptz)
    ) AS rejected_cells,
    (
        SELECT count(*) FROM campaign_batches x WHERE x.started_at < CAST(%(diagnostics_before)s AS timestamptz)
    ) AS campaign_batches,
    (
        SELECT count(*) FROM operator_actions x WHERE x.occurred_at < CAST(%(audit_before)s AS timestamptz)
    ) AS operator_actions;

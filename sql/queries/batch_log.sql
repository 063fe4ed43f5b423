-- name: record_batch
-- A row of the ledger: what one batch did, or why it failed.
INSERT INTO campaign_batches (
    id, kind, outcome, engine_now, duration_ms, size, sizes, campaigns, error, run_id, step_key
)
VALUES (
    CAST(%(id)s AS uuid), CAST(%(kind)s AS text), CAST(%(outcome)s AS text), CAST(%(engine_now)s AS timestamptz),
    CAST(%(duration_ms)s AS integer), CAST(%(size)s AS integer), CAST(%(sizes)s AS jsonb),
    CAST(%(campaigns)s AS jsonb), CAST(%(error)s AS text), CAST(%(run_id)s AS text), CAST(%(step_key)s AS text)
);

-- name: recent_batches
-- The latest batches, newest first.
SELECT
    b.id, b.kind, b.outcome, b.engine_now, b.started_at, b.duration_ms, b.size, b.sizes, b.campaigns, b.error, b.run_id,
    b.step_key
FROM campaign_batches b
WHERE CAST(%(since)s AS timestamptz) IS NULL OR b.started_at >= CAST(%(since)s AS timestamptz)
ORDER BY b.started_at DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: ensure_partitions
-- Partitions of the event log for this month and the next.
SELECT ensure_event_partitions(CAST(%(now)s AS timestamptz)) AS made;

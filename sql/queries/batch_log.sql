-- name: record_batch
-- Inserts one row into the batch log.
INSERT INTO campaign_batches (
    id, kind, outcome, engine_now, duration_ms, size, sizes, campaigns, error, run_id, step_key
)
VALUES (
    CAST(%(id)s AS uuid), CAST(%(kind)s AS text), CAST(%(outcome)s AS text), CAST(%(engine_now)s AS timestamptz),
    CAST(%(duration_ms)s AS integer), CAST(%(size)s AS integer), CAST(%(sizes)s AS jsonb),
    CAST(%(campaigns)s AS jsonb), CAST(%(error)s AS text), CAST(%(run_id)s AS text), CAST(%(step_key)s AS text)
);

-- name: ensure_partitions
-- Creates the missing partitions of the event log for this month and the next, and returns their number.
SELECT ensure_event_partitions(CAST(%(now)s AS timestamptz)) AS created;

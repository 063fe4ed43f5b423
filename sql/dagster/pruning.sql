-- name: has_dagster_storage
-- Whether this database has Dagster's run storage.
SELECT to_regclass('runs') IS NOT NULL AND to_regclass('event_logs') IS NOT NULL
    AND to_regclass('job_ticks') IS NOT NULL AS has_storage;

-- name: runs_with_latest_events
-- Runs that the catalog shows: for each asset and partition the latest materialization, observation and attempt, for each
-- check the latest result. Without them a partition would become missing, and an asset never materialized.
SELECT DISTINCT x.run_id
FROM (
    SELECT DISTINCT ON (e.asset_key, e.partition, e.dagster_event_type) e.run_id
    FROM event_logs e
    WHERE e.asset_key IS NOT NULL
      AND e.dagster_event_type = ANY(ARRAY[
          'ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED', 'ASSET_OBSERVATION', 'ASSET_FAILED_TO_MATERIALIZE'
      ])
    ORDER BY e.asset_key, e.partition, e.dagster_event_type, e.id DESC
) x
UNION
SELECT k.last_run_id FROM asset_keys k WHERE k.last_run_id IS NOT NULL
UNION
SELECT c.run_id
FROM (
    SELECT DISTINCT ON (a.asset_key, a.check_name, a.partition) a.run_id
    FROM asset_check_executions a
    ORDER BY a.asset_key, a.check_name, a.partition, a.id DESC
) c;

-- name: prune_runs
-- Delete a chunk of old finished runs with their events, tags and check results. Runs of unfinished backfills and runs that
-- the catalog shows stay. The age of a run counts from its end, or from its creation (in UTC, as Dagster stores it) if it
-- never started.
WITH old AS MATERIALIZED (
    SELECT r.run_id
    FROM runs r
    WHERE (
        r.status = 'SUCCESS'
        AND coalesce(to_timestamp(r.end_time), r.create_timestamp AT TIME ZONE 'UTC')
        < CAST(%(succeeded_before)s AS timestamptz)
        OR r.status IN ('FAILURE', 'CANCELED')
        AND coalesce(to_timestamp(r.end_time), r.create_timestamp AT TIME ZONE 'UTC')
        < CAST(%(failed_before)s AS timestamptz)
    )
      AND r.run_id <> ALL(CAST(%(kept)s AS text []))
      AND NOT EXISTS (
          SELECT FROM bulk_actions b
          WHERE b.key = r.backfill_id AND b.status IN ('REQUESTED', 'CANCELING', 'FAILING')
      )
    ORDER BY r.id
    LIMIT CAST(%(chunk_size)s AS integer)
    FOR UPDATE SKIP LOCKED
),

events AS (
    DELETE FROM event_logs e USING old o WHERE e.run_id = o.run_id RETURNING e.id
),

results AS (
    DELETE FROM asset_check_executions c USING old o WHERE c.run_id = o.run_id
),

pruned AS (
    DELETE FROM runs r USING old o WHERE r.run_id = o.run_id RETURNING r.id
)

SELECT (SELECT count(*) FROM pruned) AS runs, (SELECT count(*) FROM events) AS events;

-- name: prune_ticks
-- Delete a chunk of old ticks. The latest tick of each sensor and schedule stays, because a schedule continues from it.
WITH old AS MATERIALIZED (
    SELECT t.id
    FROM job_ticks t
    WHERE t.timestamp < CAST(%(before)s AS timestamptz) AT TIME ZONE 'UTC'
      AND EXISTS (
          SELECT FROM job_ticks n
          WHERE n.job_origin_id = t.job_origin_id AND n.selector_id IS NOT DISTINCT FROM t.selector_id
            AND n.timestamp > t.timestamp
      )
    ORDER BY t.id
    LIMIT CAST(%(chunk_size)s AS integer)
    FOR UPDATE SKIP LOCKED
)

DELETE FROM job_ticks t USING old o WHERE t.id = o.id;

-- name: count_prunable
-- Number of runs and ticks that pruning would delete.
SELECT
    (
        SELECT count(*)
        FROM runs r
        WHERE (
            r.status = 'SUCCESS'
            AND coalesce(to_timestamp(r.end_time), r.create_timestamp AT TIME ZONE 'UTC')
            < CAST(%(succeeded_before)s AS timestamptz)
            OR r.status IN ('FAILURE', 'CANCELED')
            AND coalesce(to_timestamp(r.end_time), r.create_timestamp AT TIME ZONE 'UTC')
            < CAST(%(failed_before)s AS timestamptz)
        )
          AND r.run_id <> ALL(CAST(%(kept)s AS text []))
    ) AS runs,
    (
        SELECT count(*) FROM job_ticks t WHERE t.timestamp < CAST(%(before)s AS timestamptz) AT TIME ZONE 'UTC'
    ) AS ticks;

-- name: storage_size
-- Size of Dagster's database, including indexes and free space that pruning has left, and its row counts.
SELECT
    pg_database_size(current_database()) AS database_bytes,
    (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM event_logs) AS events,
    (SELECT count(*) FROM job_ticks) AS ticks;

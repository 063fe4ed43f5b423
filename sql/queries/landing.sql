-- name: files_not_landed
-- The positions, from 1, of the files that are not in landed_files in this version.
SELECT CAST(f.position AS integer) AS position
FROM unnest(
    CAST(%(paths)s AS text []), CAST(%(sizes)s AS bigint []), CAST(%(times)s AS bigint [])
) WITH ORDINALITY AS f (path, size_bytes, modified_ns, position)
LEFT JOIN landed_files l ON l.path = f.path AND l.size_bytes = f.size_bytes AND l.modified_ns = f.modified_ns
WHERE l.id IS NULL
ORDER BY f.position;

-- name: record_landed_file
-- Stores the result of a file. If two processes load the same file at once, one row remains: the later one.
INSERT INTO landed_files (
    path, size_bytes, modified_ns, provider, outcome, error, lines, accepted, duplicates, rejected, resumed, ended,
    suppressed, duration_ms, run_id, loaded_at
)
VALUES (
    CAST(%(path)s AS text), CAST(%(size_bytes)s AS bigint), CAST(%(modified_ns)s AS bigint), CAST(%(provider)s AS text),
    CAST(%(outcome)s AS text), CAST(%(error)s AS text), CAST(%(lines)s AS bigint), CAST(%(accepted)s AS bigint),
    CAST(%(duplicates)s AS bigint), CAST(%(rejected)s AS jsonb), CAST(%(resumed)s AS bigint), CAST(%(ended)s AS bigint),
    CAST(%(suppressed)s AS bigint), CAST(%(duration_ms)s AS bigint), CAST(%(run_id)s AS text),
    CAST(%(loaded_at)s AS timestamptz)
)
ON CONFLICT (path, size_bytes, modified_ns) DO UPDATE
SET provider = excluded.provider, outcome = excluded.outcome, error = excluded.error, lines = excluded.lines,
    accepted = excluded.accepted, duplicates = excluded.duplicates, rejected = excluded.rejected,
    resumed = excluded.resumed, ended = excluded.ended, suppressed = excluded.suppressed,
    duration_ms = excluded.duration_ms, run_id = excluded.run_id, loaded_at = excluded.loaded_at;

-- name: landed_files
-- The files loaded last, newest first.
SELECT
    l.path, l.size_bytes, l.provider, l.outcome, l.error, l.lines, l.accepted, l.duplicates, l.rejected,
    l.resumed, l.ended, l.suppressed, l.duration_ms, l.run_id, l.loaded_at
FROM landed_files l
ORDER BY l.loaded_at DESC, l.id DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: record_rewritten_file
-- Records the version of a loaded file from which erased persons were taken out, as loaded. A file that is not loaded yet
-- is loaded in its new version.
INSERT INTO landed_files (
    path, size_bytes, modified_ns, provider, outcome, error, lines, accepted, duplicates, rejected, resumed, ended,
    suppressed, duration_ms, run_id, loaded_at
)
SELECT
    l.path, CAST(%(new_size)s AS bigint), l.modified_ns, l.provider, l.outcome, l.error, l.lines, l.accepted, l.duplicates,
    l.rejected, l.resumed, l.ended, l.suppressed, l.duration_ms, l.run_id, l.loaded_at
FROM landed_files l
WHERE l.path = CAST(%(path)s AS text) AND l.size_bytes = CAST(%(size_bytes)s AS bigint)
  AND l.modified_ns = CAST(%(modified_ns)s AS bigint)
ON CONFLICT DO NOTHING;

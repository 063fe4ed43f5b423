-- The files of the landing folder that were read, and what came of each. A file is what lies at its path with that size
-- and time of change; so no loss of a sensor's memory makes it be read again.
CREATE TABLE IF NOT EXISTS landed_files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Within the folder, with forward slashes.
    path text NOT NULL,
    size_bytes bigint NOT NULL,
    modified_ns bigint NOT NULL,
    provider text NOT NULL,
    -- loaded: to its end; unreadable: not, or not to its end; failed: the engine gave up.
    outcome text NOT NULL CHECK (outcome IN ('loaded', 'unreadable', 'failed')),
    error text,
    lines bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    -- {reason: lines}
    rejected jsonb NOT NULL DEFAULT '{}',
    woken bigint NOT NULL DEFAULT 0,
    ended bigint NOT NULL DEFAULT 0,
    suppressed bigint NOT NULL DEFAULT 0,
    duration_ms bigint NOT NULL DEFAULT 0,
    run_id text,
    loaded_at timestamptz NOT NULL,
    CHECK ((error IS NULL) = (outcome = 'loaded'))
);
-- Serves the look for files that were not read yet.
CREATE UNIQUE INDEX IF NOT EXISTS landed_files_identity ON landed_files (path, size_bytes, modified_ns);

SELECT drip_protect_table('landed_files');

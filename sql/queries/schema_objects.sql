-- The objects of the schema, and the privileges of a platform's public roles on them.

-- name: has_privileges_to_set
-- Whether there are public roles of a platform, and the function that sets their privileges.
SELECT
    to_regrole('authenticated') IS NOT NULL AND to_regclass('drip_schema_objects') IS NOT NULL
    AND to_regprocedure('drip_set_privileges()') IS NOT NULL;

-- name: store_schema_objects
-- Stores the names of the tables, views and functions of the engine in place of the earlier ones.
WITH objects AS (
    SELECT g.kind, g.name FROM unnest(CAST(%(kinds)s AS text []), CAST(%(names)s AS text [])) AS g (kind, name)
),
removed AS (
    DELETE FROM drip_schema_objects o
    WHERE NOT EXISTS (SELECT FROM objects n WHERE n.kind = o.kind AND n.name = o.name)
)
INSERT INTO drip_schema_objects (kind, name)
SELECT n.kind, n.name FROM objects n
ON CONFLICT DO NOTHING;

-- name: set_privileges
-- Sets the privileges of the public roles, and returns the application's tables that are open to them.
SELECT p.open_table AS name FROM drip_set_privileges() AS p;

-- name: table_kind
-- Whether a table is partitioned, and its size in blocks; no row if it does not exist.
SELECT
    c.relkind = 'p' AS is_partitioned,
    pg_relation_size(c.oid) / CAST(current_setting('block_size') AS bigint) AS blocks
FROM pg_class c
WHERE c.oid = to_regclass(CAST(%(name)s AS text)) AND c.relkind IN ('r', 'p');

-- name: leaf_partitions
-- The partitions of a table that have no partitions themselves.
SELECT CAST(t.relid AS text) AS name, CAST(CAST(t.relid AS oid) AS bigint) AS relation_id
FROM pg_partition_tree(to_regclass(CAST(%(name)s AS text))) AS t
WHERE t.isleaf
ORDER BY 1;

-- name: index_state
-- Whether an index is valid, and whether it is the index of a partitioned table; no row if it does not exist.
SELECT x.indisvalid AS is_valid, c.relkind = 'I' AS is_partitioned
FROM pg_index x
JOIN pg_class c ON c.oid = x.indexrelid
WHERE x.indexrelid = to_regclass(CAST(%(name)s AS text));

-- name: oldest_transaction
-- The oldest transaction of another session of this database, and when it began.
SELECT
    a.pid AS process_id, coalesce(a.application_name, '') AS application_name, a.xact_start AS began_at
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM pg_locks l
      WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.objsubid = 1
        AND (CAST(l.classid AS bigint) << 32) + CAST(l.objid AS bigint) = CAST(%(lock_key)s AS bigint)
  )
ORDER BY a.xact_start
LIMIT 1;

-- name: trigger_checksum
-- The checksum of the statement that created a trigger, null if the trigger does not exist.
SELECT f.checksum
FROM pg_trigger t
JOIN drip_schema_functions f ON f.name = CAST(%(key)s AS text)
WHERE t.tgrelid = to_regclass(CAST(%(table)s AS text)) AND t.tgname = CAST(%(name)s AS text);

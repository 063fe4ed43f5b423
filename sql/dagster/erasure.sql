-- name: text_columns
-- The columns of Dagster's tables that hold texts. Names of assets, jobs and steps are code.
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, NULL) AS type
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND a.atttypid = ANY(ARRAY['text', 'varchar', 'json', 'jsonb']::regtype [])
  AND EXISTS (
      SELECT FROM pg_class r WHERE r.relname = 'event_logs' AND r.relnamespace = c.relnamespace
  )
  AND c.relname <> 'alembic_version'
ORDER BY c.relname, a.attname;

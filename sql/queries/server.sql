-- name: server_version
-- Returns PostgreSQL's version, for `drip db status` and `drip doctor`.
SHOW server_version;

-- name: migration_target
-- The server, and the schema in which a migration would create tables.
SELECT
    current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('search_path') AS search_path,
    current_schema()::text AS schema_name,
    quote_ident(current_schema()) = current_schema()::text AS is_plain;

-- name: existing_tables
-- The relations of these names that the search path finds, with the types of their columns; domains as their base types.
SELECT
    c.relname::text AS name, c.relnamespace::regnamespace::text AS schema_name, c.relkind::text AS kind,
    jsonb_object_agg(a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)) AS columns
FROM unnest(CAST(%(names)s AS text [])) AS n (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(n.name))
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
GROUP BY c.oid, c.relname, c.relnamespace, c.relkind
ORDER BY c.relname;

-- name: database_role
-- The role of the connection with its rights to create objects, names quoted where SQL needs it.
SELECT
    quote_ident(current_user) AS role_name, quote_ident(current_database()) AS database_name,
    current_schema()::text AS schema_name,
    has_database_privilege(current_database(), 'TEMPORARY') AS may_create_temporary,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create_tables;

-- name: role_time_limits
-- The limits, in milliseconds, that a session of the role has; `source` is where a limit comes from, as in pg_settings.
SELECT s.name, s.setting::bigint AS milliseconds, s.source
FROM pg_settings s
WHERE s.name = ANY(CAST(%(names)s AS text [])) AND s.setting::bigint > 0
ORDER BY s.name;

-- name: tables_of_others
-- Those of the tables that the role may not alter, with their owners, quoted.
SELECT c.relname::text AS name, quote_ident(pg_get_userbyid(c.relowner)) AS owner
FROM unnest(CAST(%(names)s AS text [])) AS n (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(n.name))
WHERE NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY c.relname;

-- name: written_tables
-- Those of the tables that exist, and whether the role may read, insert, update and delete their rows.
SELECT
    c.relname::text AS name,
    has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
    AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS is_writable
FROM unnest(CAST(%(names)s AS text [])) AS n (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(n.name))
ORDER BY c.relname;

-- name: is_row_security_active
-- Whether row-level security applies to the role in this table.
SELECT row_security_active(CAST(%(table)s AS text)) AS is_active;

-- name: tables_open_to_public_roles
-- Those of the tables that a platform's public roles can reach without row-level security, or truncate. No rows where
-- these roles do not exist.
SELECT c.relname::text AS name, NOT c.relrowsecurity AND bool_or(r.has_rows) AS has_open_rows, bool_or(r.may_truncate) AS may_truncate
FROM unnest(CAST(%(names)s AS text [])) AS n (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(n.name)) AND c.relkind IN ('r', 'p')
CROSS JOIN LATERAL (
    SELECT
        has_any_column_privilege(p.oid, c.oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege(p.oid, c.oid, 'DELETE') AS has_rows,
        has_table_privilege(p.oid, c.oid, 'TRUNCATE') AS may_truncate
    FROM pg_roles p
    WHERE p.rolname IN ('anon', 'authenticated')
) r
GROUP BY c.relname, c.relrowsecurity
HAVING NOT c.relrowsecurity AND bool_or(r.has_rows) OR bool_or(r.may_truncate)
ORDER BY c.relname;

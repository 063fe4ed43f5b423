-- name: server_version
-- Returns PostgreSQL's version, for `drip db status` and `drip doctor`.
SHOW server_version;

-- name: server_clock
-- The time of the server's clock. Only `drip doctor` asks for it, to compare it with this machine's.
SELECT clock_timestamp() AS server_time;

-- name: migration_target
-- The server, and the schema in which a migration would create tables.
SELECT
    current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('search_path') AS search_path,
    current_schema()::text AS schema_name,
    quote_ident(current_schema()) = current_schema()::text AS is_plain,
    quote_ident(current_user) AS role_name,
    pg_is_in_recovery() AS is_standby,
    current_setting('default_transaction_read_only')::boolean AS is_read_only,
    EXISTS (
        SELECT FROM pg_language l WHERE l.lanname = 'plpgsql' AND has_language_privilege(l.oid, 'USAGE')
    ) AS has_plpgsql;

-- name: letter_cases
-- How the database's locale changes letters to lower case; addresses are compared so. Only for the encoding UTF8.
SELECT
    -- The name of an ICU locale is in a column that newer servers call otherwise.
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datctype) AS locale, lower('I') = 'i' AS is_plain, lower(U&'\00C9') = U&'\00E9' AS is_unicode
FROM pg_database d WHERE d.datname = current_database();

-- name: existing_tables
-- The relations of these names that the search path finds, with the types of their columns; domains as their base types.
-- `has_id_key` is whether foreign keys can refer to id alone, `deferred_keys` are unique keys that are not checked at
-- once, `unsuited_collations` columns whose collation cannot compare addresses.
SELECT
    c.relname::text AS name, c.relnamespace::regnamespace::text AS schema_name, c.relkind::text AS kind,
    jsonb_object_agg(a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)) AS columns,
    EXISTS (
        SELECT FROM pg_index x
        JOIN pg_attribute k ON k.attrelid = x.indrelid AND k.attnum = x.indkey[0] AND k.attname = 'id'
        WHERE x.indrelid = c.oid AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL
          AND x.indnkeyatts = 1
    ) AS has_id_key,
    ARRAY(
        SELECT x.indexrelid::regclass::text FROM pg_index x
        WHERE x.indrelid = c.oid AND x.indisunique AND NOT x.indimmediate
        ORDER BY 1
    ) AS deferred_keys,
    ARRAY(
        SELECT k.attname::text
        FROM pg_attribute k
        JOIN pg_collation l ON l.oid = k.attcollation
        WHERE k.attrelid = c.oid AND k.attname IN ('email', 'phone', 'contact_email') AND NOT k.attisdropped
          AND (
              NOT l.collisdeterministic
              OR coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collctype)
              ~* '^(C|POSIX|(tr|az)([-_.@].*)?)$'
          )
        ORDER BY 1
    ) AS unsuited_collations
FROM unnest(CAST(%(names)s AS text [])) AS n (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(n.name))
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
GROUP BY c.oid, c.relname, c.relnamespace, c.relkind
ORDER BY c.relname;

-- name: try_migration_lock
-- Takes the lock of all migrations until the end of the transaction, if nobody has it.
SELECT pg_try_advisory_xact_lock(CAST(%(lock_key)s AS bigint));

-- name: migration_lock_holder
-- The server process that holds the lock of all migrations, and the name of its application.
SELECT l.pid AS process_id, coalesce(a.application_name, '') AS application_name
FROM pg_locks l
LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND (CAST(l.classid AS bigint) << 32) + CAST(l.objid AS bigint) = CAST(%(lock_key)s AS bigint)
LIMIT 1;

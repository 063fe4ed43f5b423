-- The tables, views and functions of the migrations, by name, written by each `drip db migrate`. Privileges for a platform's
-- public roles are set on these, and on nothing of an application (sql/functions/platform_privileges.sql).
CREATE TABLE IF NOT EXISTS drip_schema_objects (
    kind text NOT NULL CHECK (kind IN ('table', 'view', 'function')),
    name text NOT NULL,
    PRIMARY KEY (kind, name)
);

SELECT drip_protect_table('drip_schema_objects');

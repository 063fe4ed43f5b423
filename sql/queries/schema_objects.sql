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

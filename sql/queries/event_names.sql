-- name: register_event_names
-- Registers the names of the chunk's own events, with their number, their times, and the names and types of their
-- properties; no values. Names of properties that can be addresses or are not plain words are left out. At most 5,000
-- names of a workspace and 200 properties of a name are registered, because a product may build names from ids. In the
-- order of the key, so that two transactions lock the rows in the same order.
WITH own AS MATERIALIZED (
    SELECT a.workspace_id, a.event_type, a.occurred_at, a.event_data
    FROM arrived_events a
    WHERE NOT EXISTS (SELECT FROM campaign_event_types t WHERE t.event_type = a.event_type)
),

properties AS (
    SELECT p.workspace_id, p.event_type, jsonb_object_agg(p.name, p.type) AS types
    FROM (
        SELECT
            o.workspace_id, o.event_type, d.name, min(jsonb_typeof(d.value)) AS type,
            row_number() OVER (PARTITION BY o.workspace_id, o.event_type ORDER BY d.name) AS place
        FROM own o
        CROSS JOIN LATERAL jsonb_each(o.event_data) AS d (name, value)
        WHERE d.name <> 'machine'
        GROUP BY o.workspace_id, o.event_type, d.name
        HAVING d.name ~ '^[[:alpha:]_][[:alnum:]_ .-]{0,63}$'
    ) p
    WHERE p.place <= 200
    GROUP BY p.workspace_id, p.event_type
),

names AS (
    SELECT
        o.workspace_id, o.event_type, min(o.occurred_at) AS first_seen_at, max(o.occurred_at) AS last_seen_at,
        count(*) AS events
    FROM own o
    GROUP BY o.workspace_id, o.event_type
)

INSERT INTO event_names AS e (workspace_id, event_type, first_seen_at, last_seen_at, events, properties)
SELECT n.workspace_id, n.event_type, n.first_seen_at, n.last_seen_at, n.events, coalesce(p.types, '{}')
FROM names n
LEFT JOIN properties p ON p.workspace_id = n.workspace_id AND p.event_type = n.event_type
WHERE EXISTS (SELECT FROM event_names x WHERE x.workspace_id = n.workspace_id AND x.event_type = n.event_type)
   OR (SELECT count(*) FROM event_names x WHERE x.workspace_id = n.workspace_id) < 5000
ORDER BY n.workspace_id, n.event_type
ON CONFLICT (workspace_id, event_type) DO UPDATE
SET first_seen_at = least(e.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(e.last_seen_at, excluded.last_seen_at),
    events = e.events + excluded.events,
    properties = CASE
        WHEN e.properties @> excluded.properties THEN e.properties
        WHEN (SELECT count(*) FROM jsonb_object_keys(e.properties)) < 200 THEN e.properties || excluded.properties
        ELSE e.properties
    END;

-- name: event_names
-- The names of own events of a workspace, or of all.
SELECT w.name AS workspace, e.event_type, e.events, e.first_seen_at, e.last_seen_at, e.properties
FROM event_names e
JOIN workspaces w ON w.id = e.workspace_id
WHERE CAST(%(workspace_id)s AS uuid) IS NULL OR e.workspace_id = CAST(%(workspace_id)s AS uuid)
ORDER BY w.name, w.id, e.event_type;

-- name: own_event_names
-- The names of own events of a workspace alone.
SELECT e.event_type FROM event_names e WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid);

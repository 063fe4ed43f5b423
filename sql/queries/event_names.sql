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

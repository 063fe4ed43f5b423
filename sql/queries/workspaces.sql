-- name: list_workspaces
-- Every workspace, by name.
SELECT
    w.id AS workspace_id, w.name AS workspace, w.time_zone,
    (SELECT count(*) FROM drip_campaigns c WHERE c.workspace_id = w.id) AS campaigns,
    (SELECT count(*) FROM contacts k WHERE k.workspace_id = w.id) AS contacts
FROM workspaces w
ORDER BY w.name, w.id;

-- name: time_zone_names
-- The time zones that this server knows by name.
SELECT z.name FROM pg_timezone_names z ORDER BY z.name;

-- name: set_workspace_time_zone
-- Another time zone for a workspace; nothing happens where it is the same.
UPDATE workspaces w
SET time_zone = CAST(%(time_zone)s AS text)
WHERE w.id = CAST(%(workspace_id)s AS uuid) AND w.time_zone <> CAST(%(time_zone)s AS text);

-- name: marked_days_of_workspace
-- Days of a workspace that are to be counted anew.
SELECT count(DISTINCT s.metric_date) AS days
FROM stale_metric_days s
WHERE s.workspace_id = CAST(%(workspace_id)s AS uuid);

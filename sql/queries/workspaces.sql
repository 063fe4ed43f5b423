-- name: list_workspaces
-- Returns all workspaces by name.
SELECT
    w.id AS workspace_id, w.name AS workspace, w.time_zone, w.default_region AS region,
    (SELECT count(*) FROM drip_campaigns c WHERE c.workspace_id = w.id) AS campaigns,
    (SELECT count(*) FROM contacts k WHERE k.workspace_id = w.id) AS contacts
FROM workspaces w
ORDER BY w.name, w.id;

-- name: time_zone_names
-- Returns the names of the time zones that the server knows.
SELECT z.name FROM pg_timezone_names z ORDER BY z.name;

-- name: set_workspace_time_zone
-- Sets the time zone of a workspace unless it has it already.
UPDATE workspaces w
SET time_zone = CAST(%(time_zone)s AS text)
WHERE w.id = CAST(%(workspace_id)s AS uuid) AND w.time_zone <> CAST(%(time_zone)s AS text);

-- name: stale_days_of_workspace
-- Counts the days of a workspace whose metrics must be recomputed.
SELECT count(DISTINCT s.metric_date) AS days
FROM stale_metric_days s
WHERE s.workspace_id = CAST(%(workspace_id)s AS uuid);

-- name: regions_of_workspaces
-- The countries that phone numbers without a country code belong to.
SELECT w.id, w.default_region FROM workspaces w WHERE w.id = ANY(CAST(%(workspace_ids)s AS uuid []));

-- name: set_workspace_region
-- Sets the country that phone numbers without a country code belong to.
UPDATE workspaces w
SET default_region = CAST(%(region)s AS text)
WHERE w.id = CAST(%(workspace_id)s AS uuid);

-- name: offsets_of_zones
-- The offsets from UTC that the server computes for these time zones at these instants. `drip doctor` compares them with
-- the engine's, because the days of metrics are computed in SQL.
SELECT z.name AS zone, i.at, (i.at AT TIME ZONE z.name) - (i.at AT TIME ZONE 'UTC') AS utc_offset
FROM unnest(CAST(%(zones)s AS text [])) AS z (name)
CROSS JOIN unnest(CAST(%(instants)s AS timestamptz [])) AS i (at)
ORDER BY z.name, i.at;

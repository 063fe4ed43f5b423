-- Days of figures are days on the clock of the workspace's people: each workspace has a time zone.

ALTER TABLE workspaces ADD COLUMN IF NOT EXISTS time_zone text;

-- An application may have kept such a column already: what is no zone becomes UTC.
DO $$
DECLARE
    awake text [] := drip_quiet_triggers('workspaces');
BEGIN
    UPDATE workspaces w
    SET time_zone = 'UTC'
    WHERE w.time_zone IS NULL OR w.time_zone NOT IN (SELECT z.name FROM pg_timezone_names z);
    PERFORM drip_wake_triggers('workspaces', awake);
END
$$;

-- The check lets nothing in that times cannot be told in: PostgreSQL itself refuses a name that it does not know.
ALTER TABLE workspaces
    ALTER COLUMN time_zone SET DEFAULT 'UTC',
    ALTER COLUMN time_zone SET NOT NULL,
    ADD CONSTRAINT workspaces_time_zone_check
        CHECK ((timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE time_zone) IS NOT NULL);

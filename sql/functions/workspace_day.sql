-- The time range of a calendar day in all time zones: from its first minute in the easternmost time zone of any
-- workspace to its last in the westernmost. The caller scans this range and selects by the date in the workspace's time
-- zone, `(at AT TIME ZONE time_zone)::date`. One hour more at the start, because an hour occurs twice where clocks are
-- set back over midnight.
CREATE OR REPLACE FUNCTION workspace_day_bounds(p_first date, p_last date)
RETURNS TABLE (day_start timestamptz, day_end timestamptz)
LANGUAGE sql
STABLE
ROWS 1
AS $$
    SELECT
        min(p_first::timestamp AT TIME ZONE z.time_zone) - interval '1 hour',
        max((p_last + 1)::timestamp AT TIME ZONE z.time_zone)
    FROM (SELECT DISTINCT w.time_zone FROM workspaces w) z
$$;

-- From when to when a calendar day is on somewhere: its first minute in the easternmost time zone of any workspace to its
-- last in the westernmost. What lies between is looked at; whose day it is, the date on the workspace's own clock says,
-- `(moment AT TIME ZONE time_zone)::date`. An hour more at the front: where clocks go back over midnight, it comes twice.
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

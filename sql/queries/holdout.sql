-- The report of the global holdout.

-- name: holdout_counts
-- The contacts of a workspace that existed before the end of a period, in the holdout and outside of it, and those among
-- them with an event of this type in the period; events by machines do not count. The position of a contact is computed as
-- in domain/graph/holdout.py.
SELECT
    count(*) FILTER (WHERE k.place < CAST(%(low)s AS bigint)) AS held_out,
    count(v.contact_id) FILTER (WHERE k.place < CAST(%(low)s AS bigint)) AS held_out_with_event,
    count(*) FILTER (WHERE k.place >= CAST(%(high)s AS bigint)) AS others,
    count(v.contact_id) FILTER (WHERE k.place >= CAST(%(high)s AS bigint)) AS others_with_event
FROM (
    SELECT
        c.id,
        CAST(CAST('x' || left(md5(CAST(%(salt)s AS text) || ':' || CAST(c.id AS text)), 8) AS bit(32)) AS bigint) AS place
    FROM contacts c
    WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND (c.created_at IS NULL OR c.created_at < CAST(%(until)s AS timestamptz))
) k
LEFT JOIN (
    SELECT e.contact_id
    FROM contact_events e
    WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.event_type = CAST(%(event_type)s AS text)
      AND e.occurred_at >= CAST(%(since)s AS timestamptz) AND e.occurred_at < CAST(%(until)s AS timestamptz)
      AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    UNION
    SELECT n.contact_id
    FROM campaign_events e
    JOIN campaign_enrollments n ON n.id = e.enrollment_id
    WHERE n.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.event_type = CAST(%(event_type)s AS text)
      AND e.created_at >= CAST(%(since)s AS timestamptz) AND e.created_at < CAST(%(until)s AS timestamptz)
      AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
) v ON v.contact_id = k.id;

-- name: time_zone_of_workspace
-- The time zone of a workspace.
SELECT w.time_zone FROM workspaces w WHERE w.id = CAST(%(workspace_id)s AS uuid);

-- Conversions before the assignment do not count, and no longer hide later ones. Recomputes the assignments that stored
-- such a conversion; times of other applications have whole seconds.
UPDATE campaign_split_assignments s
SET first_converted_at = l.converted_at, conversion_value = l.value
FROM (
    SELECT
        r.enrollment_id, r.split_node_id, min(x.created_at) AS converted_at,
        coalesce(sum((x.event_data ->> 'value')::numeric(14, 2)), 0) AS value
    FROM campaign_split_assignments r
    LEFT JOIN campaign_events x
        ON x.enrollment_id = r.enrollment_id AND x.event_type = 'converted'
        AND x.created_at >= date_trunc('second', r.assigned_at)
    WHERE r.first_converted_at < date_trunc('second', r.assigned_at)
    GROUP BY r.enrollment_id, r.split_node_id
) l
WHERE s.enrollment_id = l.enrollment_id AND s.split_node_id = l.split_node_id;

-- name: enrollments_by_path
-- Count a campaign's enrollments by state and path. Many enrollments share a path, so the rows are few; the caller
-- splits the paths.
SELECT
    s.campaign_version, s.current_node_id AS node_id, s.workflow_status AS status, s.exit_reason,
    s.execution_path AS path, count(*) AS enrollments
FROM campaign_workflow_states s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
GROUP BY s.campaign_version, s.current_node_id, s.workflow_status, s.exit_reason, s.execution_path;

-- name: canvas_of_version
-- The canvas of a published version.
SELECT v.canvas_snapshot
FROM campaign_versions v
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer);

-- name: goal_of_campaign
-- A campaign's goal, and the numbers of enrollments that were sent a message, opened, clicked, replied, converted; each
-- enrollment counts once.
SELECT
    c.goal_metric, c.goal_target, count(p.enrollment_id) AS sent, count(*) FILTER (WHERE p.has_opened) AS opened,
    count(*) FILTER (WHERE p.has_clicked) AS clicked, count(*) FILTER (WHERE p.has_replied) AS replied,
    count(*) FILTER (WHERE p.has_converted) AS converted
FROM drip_campaigns c
LEFT JOIN (
    SELECT
        o.enrollment_id, bool_or(o.first_opened_at IS NOT NULL) AS has_opened,
        bool_or(o.first_clicked_at IS NOT NULL) AS has_clicked, bool_or(o.first_replied_at IS NOT NULL) AS has_replied,
        bool_or(o.first_converted_at IS NOT NULL) AS has_converted
    FROM campaign_message_outcomes o
    WHERE o.campaign_id = CAST(%(campaign_id)s AS uuid)
    GROUP BY o.enrollment_id
) p ON true
WHERE c.id = CAST(%(campaign_id)s AS uuid)
GROUP BY c.id;

-- name: campaigns_to_draw
-- Published campaigns that are not archived, the most recently executed first.
SELECT c.id, c.name
FROM drip_campaigns c
WHERE c.published_version IS NOT NULL AND c.status <> 'archived'
ORDER BY
    (SELECT max(s.last_executed_at) FROM campaign_workflow_states s WHERE s.campaign_id = c.id) DESC NULLS LAST,
    c.name, c.id;

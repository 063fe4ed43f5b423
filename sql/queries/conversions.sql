-- name: is_any_goal
-- Returns whether any campaign has an event as its goal, and whether any goal judges events one by one.
SELECT
    EXISTS (SELECT FROM campaign_versions v WHERE v.goal_event_type IS NOT NULL) AS is_any,
    EXISTS (SELECT FROM campaign_versions v WHERE v.goal_event_type IS NOT NULL AND v.goal_is_narrowed) AS is_any_narrowed;

-- name: late_goal_candidates
-- Returns the events of these enrollments' contacts that are of the type of a goal which asks for more, with the
-- versions of that goal; for a goal that is tied to the entry data of a run, with the runs of the contact.
WITH goals AS MATERIALIZED (
    SELECT DISTINCT
        e.campaign_id, e.contact_id, v.goal_event_type, v.version, r.id AS enrollment_id, r.personalization_data AS entry
    FROM campaign_enrollments e
    JOIN campaign_versions v ON v.campaign_id = e.campaign_id AND v.goal_is_narrowed AND v.compiled_graph IS NOT NULL
    LEFT JOIN campaign_enrollments r
        ON v.goal_is_per_run AND r.campaign_id = e.campaign_id AND r.contact_id = e.contact_id
    WHERE e.id = ANY(CAST(%(enrollment_ids)s AS uuid []))
)

SELECT
    x.id AS event_id, x.event_type, x.occurred_at, x.event_data, p.campaign_id, p.version, p.enrollment_id, p.entry
FROM goals p
JOIN contact_events x
    ON x.contact_id = p.contact_id AND x.event_type = p.goal_event_type
    AND x.occurred_at >= CAST(%(since)s AS timestamptz)
UNION ALL
SELECT x.id, x.event_type, x.created_at, x.event_data, p.campaign_id, p.version, p.enrollment_id, p.entry
FROM goals p
JOIN campaign_enrollments e ON e.campaign_id = p.campaign_id AND e.contact_id = p.contact_id
JOIN campaign_events x
    ON x.enrollment_id = e.id AND x.event_type = p.goal_event_type AND x.event_source <> 'system'
    AND x.created_at >= CAST(%(since)s AS timestamptz);

-- name: lock_states_of_goals
-- Locks the states of these enrollments in campaigns with an event goal, and counts them. Event ingestion locks the same
-- states, so that the later transaction sees the rows of the earlier.
SELECT count(*)
FROM (
    SELECT s.id
    FROM campaign_workflow_states s
    WHERE s.id = ANY(CAST(%(enrollment_ids)s AS uuid []))
      AND EXISTS (
          SELECT FROM campaign_versions v WHERE v.campaign_id = s.campaign_id AND v.goal_event_type IS NOT NULL
      )
    ORDER BY s.id
    FOR UPDATE
) locked;

-- name: attribute_late_conversions
-- Attributes events that arrived before the message or assignment was written. A conversion attributed to an earlier message
-- moves to the later one. Returns the enrollments whose conversions must be recomputed.
WITH goals AS (
    SELECT DISTINCT e.campaign_id, e.contact_id, v.goal_event_type
    FROM campaign_enrollments e
    JOIN campaign_versions v ON v.campaign_id = e.campaign_id AND v.goal_event_type IS NOT NULL
    WHERE e.id = ANY(CAST(%(enrollment_ids)s AS uuid []))
),

happened AS (
    SELECT p.campaign_id, p.contact_id, x.id, x.event_type, x.value, x.currency, x.occurred_at
    FROM goals p
    JOIN contact_events x
        ON x.contact_id = p.contact_id AND x.event_type = p.goal_event_type
        AND x.occurred_at >= CAST(%(since)s AS timestamptz)
    WHERE x.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    UNION ALL
    SELECT
        p.campaign_id, p.contact_id, x.id, x.event_type, CAST(x.event_data ->> 'value' AS numeric(14, 2)),
        CASE WHEN upper(btrim(x.event_data ->> 'currency')) ~ '^[A-Z]{3}$' THEN upper(btrim(x.event_data ->> 'currency')) END,
        x.created_at
    FROM goals p
    JOIN campaign_enrollments e ON e.campaign_id = p.campaign_id AND e.contact_id = p.contact_id
    JOIN campaign_events x
        ON x.enrollment_id = e.id AND x.event_type = p.goal_event_type AND x.event_source <> 'system'
        AND x.created_at >= CAST(%(since)s AS timestamptz)
    WHERE x.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
),

attributed AS MATERIALIZED (
    SELECT
        conversion_id(h.campaign_id, h.id) AS conversion_id, h.contact_id, h.occurred_at, t.*,
        jsonb_strip_nulls(
            jsonb_build_object('event_type', h.event_type, 'event_id', h.id, 'value', h.value, 'currency', h.currency)
        ) AS event_data
    FROM happened h
    LEFT JOIN (
        SELECT u.event_id, array_agg(u.version) AS versions
        FROM unnest(CAST(%(refused_events)s AS uuid []), CAST(%(refused_versions)s AS text [])) AS u (event_id, version)
        GROUP BY u.event_id
    ) r ON r.event_id = h.id
    CROSS JOIN LATERAL conversion_touches(h.contact_id, h.event_type, h.occurred_at, h.campaign_id, r.versions) t
),

changed AS MATERIALIZED (
    SELECT w.*, x.id IS NOT NULL AS is_known, x.enrollment_id AS earlier_enrollment_id
    FROM attributed w
    LEFT JOIN campaign_events x ON x.id = w.conversion_id AND x.created_at = w.occurred_at
    WHERE x.id IS NULL OR (x.enrollment_id, x.message_id) IS DISTINCT FROM (w.enrollment_id, w.message_id)
),

moved AS (
    UPDATE campaign_events x
    SET enrollment_id = c.enrollment_id, campaign_version = c.campaign_version, node_id = c.node_id,
        step_id = c.step_id, message_id = c.message_id, variant_group = c.variant_group
    FROM changed c
    WHERE c.is_known AND x.id = c.conversion_id AND x.created_at = c.occurred_at
),

added AS (
    INSERT INTO campaign_events (
        id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        c.conversion_id, c.campaign_id, c.enrollment_id, c.contact_id, 'converted', 'system', c.step_id, c.node_id,
        c.event_data, c.occurred_at, c.workspace_id, c.campaign_version, c.variant_group, c.message_id
    FROM changed c
    WHERE NOT c.is_known
)

SELECT c.enrollment_id FROM changed c
UNION
SELECT c.earlier_enrollment_id FROM changed c WHERE c.is_known;

-- name: recount_conversions_of_messages
-- Recomputes the conversions of these enrollments' messages from the event log.
UPDATE campaign_message_outcomes o
SET first_converted_at = l.converted_at, conversion_value = l.value
FROM (
    SELECT
        m.message_id, min(x.created_at) AS converted_at,
        coalesce(sum(CAST(x.event_data ->> 'value' AS numeric(14, 2))), 0) AS value
    FROM campaign_message_outcomes m
    LEFT JOIN campaign_events x
        ON x.enrollment_id = m.enrollment_id AND x.message_id = m.message_id AND x.event_type = 'converted'
    WHERE m.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []))
      -- Archived months cannot be recomputed and stay unchanged.
      AND m.sent_at >= coalesce(
          (SELECT h.kept_from FROM campaign_retention_watermarks h WHERE h.kind = 'log'), '-infinity'
      )
    GROUP BY m.message_id
) l
WHERE o.message_id = l.message_id
  AND (o.first_converted_at, o.conversion_value) IS DISTINCT FROM (l.converted_at, l.value);

-- name: recount_conversions_of_assignments
-- Recomputes the conversions of these enrollments' split assignments from the event log, from the assignment on.
UPDATE campaign_split_assignments s
SET first_converted_at = l.converted_at, conversion_value = l.value
FROM (
    SELECT
        r.enrollment_id, r.split_node_id, min(x.created_at) AS converted_at,
        coalesce(sum(CAST(x.event_data ->> 'value' AS numeric(14, 2))), 0) AS value
    FROM campaign_split_assignments r
    LEFT JOIN campaign_events x
        ON x.enrollment_id = r.enrollment_id AND x.event_type = 'converted'
        AND x.created_at >= date_trunc('second', r.assigned_at)
    WHERE r.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []))
    GROUP BY r.enrollment_id, r.split_node_id
) l
WHERE s.enrollment_id = l.enrollment_id AND s.split_node_id = l.split_node_id
  AND s.assigned_at >= coalesce((SELECT h.kept_from FROM campaign_retention_watermarks h WHERE h.kind = 'log'), '-infinity')
  AND (s.first_converted_at, s.conversion_value) IS DISTINCT FROM (l.converted_at, l.value);

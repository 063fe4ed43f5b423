-- name: versions_in_flight
-- The other versions that have running, waiting, paused or failed states.
SELECT DISTINCT s.campaign_version AS version
FROM campaign_workflow_states s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND s.campaign_version <> CAST(%(except_version)s AS integer)
  AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
ORDER BY version;

-- name: nodes_of_versions
-- The ids of all nodes that any published version of the campaign has.
SELECT DISTINCT n.node ->> 'node_id' AS node_id
FROM campaign_versions v
CROSS JOIN LATERAL jsonb_array_elements(v.compiled_graph -> 'nodes') AS n (node)
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.compiled_graph IS NOT NULL;

-- name: lock_states_in_flight
-- Locks all states inside these versions, in the order of their ids like every statement that locks several. Waits for
-- batches that hold some of them; later statements of the transaction see what those batches committed.
SELECT count(*)
FROM (
    SELECT s.id
    FROM campaign_workflow_states s
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
      AND s.campaign_version = ANY(CAST(%(versions)s AS integer []))
      AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
    ORDER BY s.id
    FOR UPDATE
) locked;

-- name: states_in_flight
-- The number of states inside these versions, by node, status and situation.
SELECT
    p.version, p.node_id, p.status, p.situation, p.enrollment_status IN ('active', 'paused') AS is_enrolled,
    count(*) AS states
FROM people_in_flight(CAST(%(campaign_id)s AS uuid), CAST(%(versions)s AS integer [])) p
GROUP BY p.version, p.node_id, p.status, p.situation, is_enrolled
ORDER BY p.version, p.node_id, p.situation, p.status, is_enrolled DESC;

-- name: arrivals_in_flight
-- States at these nodes in these situations, with the time of their arrival and the time zones that it is read in.
SELECT
    p.state_id, p.contact_id, p.version, p.node_id, p.situation, p.came_at, k.custom_fields ->> 'timezone' AS of_contact,
    w.time_zone AS of_workspace
FROM people_in_flight(CAST(%(campaign_id)s AS uuid), CAST(%(versions)s AS integer [])) p
JOIN unnest(
    CAST(%(from_version)s AS integer []), CAST(%(from_node)s AS text []), CAST(%(situation)s AS text [])
) AS m (from_version, from_node, situation)
    ON m.from_version = p.version AND m.from_node = p.node_id AND m.situation = p.situation
JOIN drip_campaigns c ON c.id = CAST(%(campaign_id)s AS uuid)
JOIN workspaces w ON w.id = c.workspace_id
LEFT JOIN contacts k ON k.id = p.contact_id;

-- name: ended_waits_in_flight
-- Of states whose wait restarts: how many waits end at once, because the event has happened or the time has passed.
SELECT
    p.version, p.node_id, p.status, p.situation,
    count(*) FILTER (WHERE h.has_happened) AS by_event,
    count(*) FILTER (
        WHERE NOT h.has_happened
          AND coalesce(u.until, p.came_at + make_interval(secs => m.wait_seconds)) <= CAST(%(now)s AS timestamptz)
    ) AS by_time
FROM people_in_flight(CAST(%(campaign_id)s AS uuid), CAST(%(versions)s AS integer [])) p
JOIN unnest(
    CAST(%(from_version)s AS integer []), CAST(%(from_node)s AS text []), CAST(%(situation)s AS text []),
    CAST(%(wait_seconds)s AS double precision []), CAST(%(wait_for_event)s AS text [])
) AS m (from_version, from_node, situation, wait_seconds, wait_for_event)
    ON m.from_version = p.version AND m.from_node = p.node_id AND m.situation = p.situation
LEFT JOIN unnest(CAST(%(end_state_ids)s AS uuid []), CAST(%(ends)s AS timestamptz [])) AS u (state_id, until)
    ON u.state_id = p.state_id
CROSS JOIN LATERAL (
    SELECT m.wait_for_event IS NOT NULL AND m.wait_for_event NOT LIKE 'field:%%' AND has_happened_since(
        p.state_id, p.contact_id, m.wait_for_event, p.looks_back_to - CAST(%(tolerance)s AS interval)
    ) AS has_happened
) h
GROUP BY p.version, p.node_id, p.status, p.situation;

-- name: migrate_states
-- Moves all states inside these versions to another version, according to the moves: states, pending messages, and the
-- log. The caller has locked the states. Messages locked by a sender are skipped, because they are being sent. A message
-- that was attempted since it was read counts as possibly sent, too.
WITH moves AS MATERIALIZED (
    SELECT *
    FROM unnest(
        CAST(%(from_version)s AS integer []), CAST(%(from_node)s AS text []), CAST(%(situation)s AS text []),
        CAST(%(to_node)s AS text []), CAST(%(to_step_id)s AS uuid []), CAST(%(step)s AS text []),
        CAST(%(message)s AS text []), CAST(%(wait_seconds)s AS double precision []),
        CAST(%(wait_for_event)s AS text []), CAST(%(resume_port)s AS text []), CAST(%(split_node_id)s AS text []),
        CAST(%(variant)s AS text [])
    ) AS m (
        from_version, from_node, situation, to_node, to_step_id, step, message, wait_seconds, wait_for_event,
        resume_port, split_node_id, variant
    )
),

locked_messages AS MATERIALIZED (
    SELECT d.id, d.status, d.attempts
    FROM campaign_workflow_states s
    JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
      AND s.campaign_version = ANY(CAST(%(versions)s AS integer []))
      AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
      AND d.status IN ('pending', 'failed')
    FOR UPDATE OF d SKIP LOCKED
),

in_flight AS MATERIALIZED (
    SELECT
        p.*,
        CASE
            WHEN p.situation NOT IN ('message_pending', 'message_failed') THEN p.situation
            -- No join: the planner estimates `locked_messages` at one row and would scan all of them for each state.
            WHEN (p.delivery_id, p.delivery_status, p.delivery_attempts) IN (
                SELECT h.id, h.status, h.attempts FROM locked_messages h
            ) THEN p.situation
            ELSE 'message_out'
        END AS present_situation
    FROM people_in_flight(CAST(%(campaign_id)s AS uuid), CAST(%(versions)s AS integer [])) p
),

moving AS MATERIALIZED (
    SELECT
        p.state_id, p.status, p.delivery_id, m.*,
        CASE m.step
            WHEN 'wait' THEN coalesce(u.until, p.came_at + make_interval(secs => m.wait_seconds))
        END AS until,
        m.step = 'wait' AND m.wait_for_event IS NOT NULL AND m.wait_for_event NOT LIKE 'field:%%'
        AND has_happened_since(
            p.state_id, p.contact_id, m.wait_for_event, p.looks_back_to - CAST(%(tolerance)s AS interval)
        ) AS has_happened
    FROM in_flight p
    JOIN moves m ON m.from_version = p.version AND m.from_node = p.node_id AND m.situation = p.present_situation
    LEFT JOIN unnest(CAST(%(end_state_ids)s AS uuid []), CAST(%(ends)s AS timestamptz [])) AS u (state_id, until)
        ON u.state_id = p.state_id
),

moved AS (
    UPDATE campaign_workflow_states s
    SET campaign_version = CAST(%(to_version)s AS integer),
        current_node_id = m.to_node,
        current_step_id = m.to_step_id,
        workflow_status = CASE
            WHEN s.workflow_status <> 'waiting' THEN s.workflow_status
            WHEN m.step = 'enter' OR m.has_happened THEN 'running'
            ELSE s.workflow_status
        END,
        resume_port = CASE m.step
            WHEN 'keep' THEN s.resume_port
            WHEN 'wait' THEN CASE WHEN m.has_happened THEN 'event' ELSE m.resume_port END
        END,
        wait_for_event = CASE
            WHEN m.step = 'keep' THEN s.wait_for_event
            WHEN m.step = 'wait' AND NOT m.has_happened THEN m.wait_for_event
        END,
        wait_until = CASE
            WHEN m.step = 'keep' THEN s.wait_until
            WHEN m.step = 'wait' AND NOT m.has_happened THEN m.until
        END,
        next_execution_at = CASE
            WHEN m.step IN ('keep', 'enter_after') THEN s.next_execution_at
            WHEN s.workflow_status = 'failed' THEN NULL
            WHEN m.step = 'wait' AND NOT m.has_happened THEN m.until
            ELSE CAST(%(now)s AS timestamptz)
        END,
        pending_delivery_id = CASE
            WHEN m.step IN ('keep', 'enter_after') THEN s.pending_delivery_id
        END,
        retry_count = CASE WHEN m.step = 'enter' AND s.workflow_status <> 'failed' THEN 0 ELSE s.retry_count END
    FROM moving m
    WHERE s.id = m.state_id
    RETURNING
        s.id, s.campaign_id, s.contact_id, s.workspace_id, s.current_step_id, s.current_node_id, m.from_version,
        m.from_node, m.step, m.until, m.message
),

renewed AS (
    UPDATE campaign_deliveries d
    SET campaign_version = CAST(%(to_version)s AS integer), node_id = m.to_node, step_id = m.to_step_id,
        split_node_id = m.split_node_id, variant_group = m.variant,
        -- The new version may have another window: a held message is checked again.
        due_at = CASE WHEN d.due_at = d.held_until THEN CAST(%(now)s AS timestamptz) ELSE d.due_at END
    FROM moving m
    WHERE d.id = m.delivery_id AND m.message = 'renewed' AND d.status IN ('pending', 'failed')
    RETURNING d.id
),

withdrawn AS (
    UPDATE campaign_deliveries d
    SET status = 'skipped', due_at = NULL, settled_at = CAST(%(now)s AS timestamptz),
        error_code = CAST(%(reason)s AS text)
    FROM moving m
    WHERE d.id = m.delivery_id AND m.message = 'withdrawn' AND d.status = 'pending'
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.variant_group, d.channel
),

skips AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        k.campaign_id, k.enrollment_id, k.contact_id, 'message_skipped', 'system', k.step_id, k.node_id,
        jsonb_build_object('reason', CAST(%(reason)s AS text), 'channel', k.channel), CAST(%(now)s AS timestamptz),
        k.workspace_id, k.campaign_version, k.variant_group, k.id
    FROM withdrawn k
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version
    )
    SELECT
        v.campaign_id, v.id, v.contact_id, 'enrollment_migrated', 'system', v.current_step_id, v.current_node_id,
        jsonb_strip_nulls(
            jsonb_build_object(
                'from_version', v.from_version, 'from_node', v.from_node, 'step', v.step, 'until', v.until,
                'message', nullif(v.message, 'none')
            )
        ),
        -- Later than the log entry of the withdrawn message.
        CAST(%(now)s AS timestamptz) + interval '1 microsecond', v.workspace_id, CAST(%(to_version)s AS integer)
    FROM moved v
)

SELECT
    m.from_version AS version, m.from_node AS node_id, m.status, m.situation, count(*) AS states,
    count(*) FILTER (WHERE m.has_happened) AS by_event,
    count(*) FILTER (WHERE NOT m.has_happened AND m.until <= CAST(%(now)s AS timestamptz)) AS by_time,
    (SELECT count(*) FROM moved) AS moved, (SELECT count(*) FROM renewed) AS renewed,
    (SELECT count(*) FROM withdrawn) AS withdrawn
FROM moving m
GROUP BY m.from_version, m.from_node, m.status, m.situation
ORDER BY m.from_version, m.from_node, m.situation, m.status;

-- name: exit_states
-- Exits all states inside these versions with a reason; an enrollment that an application has ended gets the reason of
-- its status. Messages that were surely not sent are withdrawn; the others are settled later, without a state.
WITH locked_messages AS MATERIALIZED (
    SELECT d.id, d.attempts
    FROM campaign_workflow_states s
    JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
      AND s.campaign_version = ANY(CAST(%(versions)s AS integer []))
      AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
      AND d.status = 'pending'
    FOR UPDATE OF d SKIP LOCKED
),

leaving AS MATERIALIZED (
    SELECT
        p.*,
        CASE
            WHEN p.situation <> 'message_pending'
                OR (p.delivery_id, p.delivery_attempts) IN (SELECT h.id, h.attempts FROM locked_messages h)
                THEN p.situation
            ELSE 'message_out'
        END AS present_situation,
        CASE p.enrollment_status
            WHEN 'unsubscribed' THEN 'unsubscribed' WHEN 'bounced' THEN 'suppressed' WHEN 'completed' THEN 'removed'
            ELSE CAST(%(reason)s AS text)
        END AS exit_reason
    FROM people_in_flight(CAST(%(campaign_id)s AS uuid), CAST(%(versions)s AS integer [])) p
),

ended AS (
    UPDATE campaign_workflow_states s
    SET workflow_status = 'exited', exit_reason = l.exit_reason, completed_at = CAST(%(now)s AS timestamptz),
        next_execution_at = NULL, wait_for_event = NULL, wait_until = NULL, pending_delivery_id = NULL
    FROM leaving l
    WHERE s.id = l.state_id
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, s.current_node_id, s.exit_reason
),

completed AS (
    UPDATE campaign_enrollments e
    SET status = 'completed', completed_at = CAST(%(now)s AS timestamptz), updated_at = CAST(%(now)s AS timestamptz)
    FROM ended x
    WHERE e.id = x.id AND e.status IN ('active', 'paused')
),

withdrawn AS (
    UPDATE campaign_deliveries d
    SET status = 'skipped', due_at = NULL, settled_at = CAST(%(now)s AS timestamptz),
        error_code = CAST(%(reason)s AS text)
    FROM leaving l
    WHERE d.id = l.delivery_id AND l.present_situation = 'message_pending' AND d.status = 'pending'
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.variant_group, d.channel
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        k.campaign_id, k.enrollment_id, k.contact_id, 'message_skipped', 'system', k.step_id, k.node_id,
        jsonb_build_object('reason', CAST(%(reason)s AS text), 'channel', k.channel), CAST(%(now)s AS timestamptz),
        k.workspace_id, k.campaign_version, k.variant_group, k.id
    FROM withdrawn k
    UNION ALL
    SELECT
        x.campaign_id, x.id, x.contact_id, 'enrollment_exited', 'system', NULL, x.current_node_id,
        jsonb_build_object('reason', x.exit_reason), CAST(%(now)s AS timestamptz) + interval '1 microsecond',
        x.workspace_id, x.campaign_version, NULL, NULL
    FROM ended x
)

SELECT
    l.version, l.node_id, l.status, l.present_situation AS situation,
    l.enrollment_status IN ('active', 'paused') AS is_enrolled, count(*) AS states,
    (SELECT count(*) FROM ended) AS moved, (SELECT count(*) FROM withdrawn) AS withdrawn
FROM leaving l
GROUP BY l.version, l.node_id, l.status, l.present_situation, is_enrolled
ORDER BY l.version, l.node_id, situation, l.status, is_enrolled DESC;

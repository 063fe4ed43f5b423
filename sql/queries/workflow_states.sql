-- name: claim_states
-- Locks due states until the transaction ends; see the function for their choice and order. A due time that an
-- application set before the year 1, or to -infinity, is read as the year 1, because Python holds no earlier one.
SELECT
    id, campaign_id, campaign_version, contact_id, current_node_id, resume_port, retry_count, max_retries, steps_taken,
    enrollment_status, greatest(next_execution_at, '0001-01-01 00:00:00+00') AS next_execution_at
FROM claim_due_states(
    CAST(%(batch_size)s AS integer), CAST(%(now)s AS timestamptz), CAST(%(shard)s AS integer),
    CAST(%(shards)s AS integer), CAST(%(from_watermarks)s AS boolean)
);

-- name: write_claim_watermarks
-- Stores the claim watermark of each campaign. A row that another process is writing is skipped: a watermark only affects
-- speed and is not worth waiting for.
WITH claimed AS (
    SELECT *
    FROM unnest(CAST(%(campaign_ids)s AS uuid []), CAST(%(due_from)s AS timestamptz [])) AS c (campaign_id, due_from)
),

free AS (
    SELECT m.campaign_id
    FROM campaign_claim_watermarks m
    WHERE m.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid []))
    FOR UPDATE SKIP LOCKED
),

moved AS (
    UPDATE campaign_claim_watermarks m
    SET due_from = c.due_from,
        valid_since = CASE
            WHEN m.valid_since <= CAST(%(now)s AS timestamptz)
                AND m.valid_since > CAST(%(now)s AS timestamptz) - interval '5 minutes' THEN m.valid_since
            ELSE CAST(%(now)s AS timestamptz)
        END
    FROM claimed c
    JOIN free f ON f.campaign_id = c.campaign_id
    WHERE m.campaign_id = c.campaign_id
)

INSERT INTO campaign_claim_watermarks (campaign_id, due_from, valid_since)
SELECT c.campaign_id, c.due_from, CAST(%(now)s AS timestamptz)
FROM claimed c
WHERE NOT EXISTS (SELECT FROM campaign_claim_watermarks m WHERE m.campaign_id = c.campaign_id)
ON CONFLICT (campaign_id) DO NOTHING;

-- name: commit_transitions
-- Writes a batch in one statement: states, events, assignments, deliveries and the changed enrollments. Values shared by a
-- group of states are sent once per group; each state adds only its id, group and delivery id.
WITH groups AS MATERIALIZED (
    SELECT
        g.group_no, g.node_id, g.step_id, g.status, CAST(g.path AS jsonb) AS path, g.path_length, g.due_at, g.wait_until,
        g.wait_for_event, g.resume_port, g.retry_count, g.last_error, g.exit_reason, g.enrollment_status, g.variant,
        g.event_offset, g.event_count
    FROM unnest(
        CAST(%(group_no)s AS integer []), CAST(%(node_id)s AS text []), CAST(%(step_id)s AS uuid []),
        CAST(%(status)s AS text []), CAST(%(path)s AS text []), CAST(%(path_length)s AS integer []),
        CAST(%(due_at)s AS timestamptz []), CAST(%(wait_until)s AS timestamptz []), CAST(%(wait_for_event)s AS text []),
        CAST(%(resume_port)s AS text []), CAST(%(retry_count)s AS integer []), CAST(%(last_error)s AS text []),
        CAST(%(exit_reason)s AS text []), CAST(%(enrollment_status)s AS text []), CAST(%(variant)s AS text []),
        CAST(%(event_offset)s AS integer []), CAST(%(event_count)s AS integer [])
    ) AS g (
        group_no, node_id, step_id, status, path, path_length, due_at, wait_until, wait_for_event, resume_port,
        retry_count, last_error, exit_reason, enrollment_status, variant, event_offset, event_count
    )
),

moved AS (
    UPDATE campaign_workflow_states s
    SET current_node_id = g.node_id,
        current_step_id = g.step_id,
        workflow_status = g.status,
        execution_path = CASE g.path_length
            WHEN 0 THEN s.execution_path ELSE s.execution_path || g.path
        END,
        steps_taken = s.steps_taken + g.path_length,
        node_entered_at = CASE g.path_length WHEN 0 THEN s.node_entered_at ELSE CAST(%(now)s AS timestamptz) END,
        next_execution_at = g.due_at,
        wait_until = g.wait_until,
        wait_for_event = g.wait_for_event,
        resume_port = g.resume_port,
        retry_count = g.retry_count,
        last_error = g.last_error,
        exit_reason = g.exit_reason,
        completed_at = CASE
            WHEN g.status IN ('completed', 'exited', 'failed') THEN CAST(%(now)s AS timestamptz)
        END,
        assigned_variant = coalesce(g.variant, s.assigned_variant),
        variant_assigned_at = CASE
            WHEN g.variant IS NULL THEN s.variant_assigned_at ELSE CAST(%(now)s AS timestamptz)
        END,
        last_message_at = coalesce(CAST(%(message_at)s AS timestamptz), s.last_message_at),
        pending_delivery_id = m.delivery_id,
        last_executed_at = CAST(%(now)s AS timestamptz),
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM (
        -- In the order of the written indexes, so that each of their pages is read once.
        SELECT *
        FROM unnest(
            CAST(%(state_id)s AS uuid []), CAST(%(member_group)s AS integer []), CAST(%(delivery_id)s AS uuid []),
            CAST(%(compared)s AS text [])
        ) WITH ORDINALITY AS u (state_id, group_no, delivery_id, compared, place)
        ORDER BY u.state_id
    ) m
    JOIN groups g ON g.group_no = m.group_no
    WHERE s.id = m.state_id
    RETURNING
        s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, m.group_no, m.delivery_id, m.compared,
        -- The random ids of a state's events follow each other in the parameter event_ids.
        CAST(g.event_offset + m.place * g.event_count AS integer) AS first_event
),

notes AS MATERIALIZED (
    SELECT
        e.group_no, e.ordinal, e.event_type, e.step_id, e.node_id, CAST(e.event_data AS jsonb) AS event_data,
        e.variant_group, e.compared_at,
        -- One microsecond apart, so that the log keeps the order in which a state passed the nodes.
        CAST(%(now)s AS timestamptz) + e.ordinal * interval '1 microsecond' AS created_at
    FROM unnest(
        CAST(%(event_group)s AS integer []), CAST(%(event_ordinal)s AS integer []), CAST(%(event_type)s AS text []),
        CAST(%(event_step_id)s AS uuid []), CAST(%(event_node_id)s AS text []), CAST(%(event_data)s AS text []),
        CAST(%(event_variant)s AS text []), CAST(%(event_compared)s AS integer [])
    ) AS e (group_no, ordinal, event_type, step_id, node_id, event_data, variant_group, compared_at)
),

logged AS (
    INSERT INTO campaign_events (
        id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group
    )
    SELECT
        (CAST(%(event_ids)s AS uuid []))[v.first_event + e.ordinal],
        v.campaign_id, v.id, v.contact_id, e.event_type, 'system', e.step_id, e.node_id,
        CASE
            WHEN e.compared_at IS NULL THEN e.event_data
            ELSE e.event_data || jsonb_build_object('compared', CAST(v.compared AS jsonb) -> e.compared_at)
        END,
        e.created_at, v.workspace_id, v.campaign_version, e.variant_group
    FROM moved v
    JOIN notes e ON e.group_no = v.group_no
),

assigned AS (
    INSERT INTO campaign_split_assignments (
        enrollment_id, split_node_id, workspace_id, campaign_id, campaign_version, ab_test_id, contact_id,
        variant_group, is_holdout, is_randomized, assigned_at
    )
    SELECT
        v.id, a.split_node_id, v.workspace_id, v.campaign_id, v.campaign_version, a.ab_test_id, v.contact_id,
        a.variant_group, a.is_holdout, a.is_randomized, CAST(%(now)s AS timestamptz)
    FROM moved v
    JOIN unnest(
        CAST(%(assignment_group)s AS integer []), CAST(%(assignment_split)s AS text []),
        CAST(%(assignment_test)s AS uuid []), CAST(%(assignment_variant)s AS text []),
        CAST(%(assignment_holdout)s AS boolean []), CAST(%(assignment_randomized)s AS boolean [])
    ) AS a (group_no, split_node_id, ab_test_id, variant_group, is_holdout, is_randomized) ON a.group_no = v.group_no
    ON CONFLICT (enrollment_id, split_node_id) DO NOTHING
),

queued AS (
    INSERT INTO campaign_deliveries (
        id, workspace_id, campaign_id, campaign_version, enrollment_id, contact_id, node_id, step_id, channel,
        split_node_id, variant_group, due_at, created_at, held_by, held_until, cap_priority
    )
    SELECT
        v.delivery_id, v.workspace_id, v.campaign_id, v.campaign_version, v.id, v.contact_id, d.node_id, d.step_id,
        d.channel, d.split_node_id, d.variant_group, coalesce(d.due_at, CAST(%(now)s AS timestamptz)),
        CAST(%(now)s AS timestamptz), d.held_by, d.due_at, d.cap_priority
    FROM moved v
    JOIN unnest(
        CAST(%(delivery_group)s AS integer []), CAST(%(delivery_node_id)s AS text []),
        CAST(%(delivery_step_id)s AS uuid []), CAST(%(delivery_channel)s AS text []),
        CAST(%(delivery_split)s AS text []), CAST(%(delivery_variant)s AS text []),
        CAST(%(delivery_due_at)s AS timestamptz []), CAST(%(delivery_held_by)s AS text []),
        CAST(%(delivery_cap_priority)s AS integer [])
    ) AS d (group_no, node_id, step_id, channel, split_node_id, variant_group, due_at, held_by, cap_priority)
        ON d.group_no = v.group_no
),

followed AS (
    -- Once per enrollment: a row that a transaction writes twice has its foreign keys checked and saves no index entry. That
    -- took a fifth of the time of a delivered message.
    UPDATE campaign_enrollments e
    SET status = coalesce(g.enrollment_status, e.status),
        completed_at = CASE
            WHEN g.enrollment_status IS NULL THEN e.completed_at ELSE CAST(%(now)s AS timestamptz)
        END,
        last_email_sent_at = coalesce(CAST(%(emailed_at)s AS timestamptz), e.last_email_sent_at),
        current_step = CASE
            WHEN CAST(%(emailed_at)s AS timestamptz) IS NULL THEN e.current_step
            ELSE coalesce(e.current_step, 0) + 1
        END,
        updated_at = CAST(%(now)s AS timestamptz)
    FROM moved v
    JOIN groups g ON g.group_no = v.group_no
    WHERE e.id = v.id AND (g.enrollment_status IS NOT NULL OR CAST(%(emailed_at)s AS timestamptz) IS NOT NULL)
)

SELECT count(*) FROM moved;

-- name: park_paused_states
-- Suspends states whose enrollment an application paused.
UPDATE campaign_workflow_states s
SET workflow_status = 'paused', last_executed_at = CAST(%(now)s AS timestamptz)
WHERE s.id = ANY(CAST(%(state_ids)s AS uuid []));

-- name: unpaused_states
-- Suspended states whose enrollment is active again, with their contacts.
SELECT s.id, s.contact_id
FROM campaign_workflow_states s
JOIN campaign_enrollments e ON e.id = s.id
WHERE s.workflow_status = 'paused' AND e.status = 'active'
ORDER BY s.id;

-- name: resume_unpaused_states
-- Resumes suspended states whose enrollment is active again, except those with an open delivery. A state without a due time
-- becomes due now. A state locked by another transaction is skipped until the next call. With `ids`, only these.
WITH locked AS MATERIALIZED (
    SELECT s.id
    FROM campaign_workflow_states s
    JOIN campaign_enrollments e ON e.id = s.id
    WHERE s.workflow_status = 'paused' AND e.status = 'active'
      AND NOT EXISTS (
          SELECT
          FROM campaign_deliveries d
          WHERE d.id = s.pending_delivery_id AND d.status IN ('pending', 'sending', 'unknown')
      )
      AND (CAST(%(ids)s AS uuid []) IS NULL OR s.id = ANY(CAST(%(ids)s AS uuid [])))
    FOR UPDATE OF s SKIP LOCKED
)

UPDATE campaign_workflow_states s
SET workflow_status = 'waiting', next_execution_at = coalesce(s.next_execution_at, CAST(%(now)s AS timestamptz)),
    pending_delivery_id = NULL
FROM locked l
WHERE s.id = l.id;

-- name: due_overview
-- Counts due states and due deliveries up to a limit, and returns the next due time of each, within the years 1 to 9999.
-- Only states that the claim would return are counted: otherwise a run with nothing to do would be started every minute.
-- `due_states` counts the states of the shard; deliveries are counted for all shards.
WITH active AS (
    SELECT c.id, c.published_version IS NOT NULL AS is_claimed FROM drip_campaigns c WHERE c.status = 'active'
)

SELECT
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM active a
            JOIN campaign_workflow_states s ON s.campaign_id = a.id AND s.campaign_version IS NOT NULL
            WHERE a.is_claimed
              AND s.workflow_status IN ('running', 'waiting') AND s.next_execution_at <= CAST(%(now)s AS timestamptz)
              AND (%(shards)s = 1 OR (hashtext(s.id::text) & 2147483647) %% %(shards)s = %(shard)s)
            LIMIT %(count_limit)s
        ) d
    ) AS due_states,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM active a
            JOIN campaign_deliveries d ON d.campaign_id = a.id
            WHERE d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
            LIMIT %(count_limit)s
        ) d
    ) AS due_deliveries,
    (
        SELECT min(least(greatest(n.next_at, '0001-01-01 00:00:00+00'), '9999-01-01 00:00:00+00'))
        FROM active a
        CROSS JOIN LATERAL (
            SELECT s.next_execution_at AS next_at
            FROM campaign_workflow_states s
            WHERE s.campaign_id = a.id AND s.workflow_status IN ('running', 'waiting')
              AND s.campaign_version IS NOT NULL AND s.next_execution_at IS NOT NULL
            ORDER BY s.next_execution_at
            LIMIT 1
        ) n
        WHERE a.is_claimed
    ) AS next_state_at,
    (
        SELECT min(least(greatest(n.next_at, '0001-01-01 00:00:00+00'), '9999-01-01 00:00:00+00'))
        FROM active a
        CROSS JOIN LATERAL (
            SELECT d.due_at AS next_at
            FROM campaign_deliveries d
            WHERE d.campaign_id = a.id AND d.status = 'pending'
            ORDER BY d.due_at
            LIMIT 1
        ) n
    ) AS next_delivery_at;

-- name: population_by_version
-- Counts enrollments per campaign version, for the invariant entered = active + completed + exited + failed.
-- `entered` is counted from the event log and the rest from the states, so that the invariant compares two sources. An
-- enrollment migrated to another version counts as entered there and no longer here: entered = started + moved_in -
-- moved_out - deleted, the last with their contacts.
WITH current_states AS (
    SELECT
        s.campaign_id, s.campaign_version,
        count(*) FILTER (WHERE s.workflow_status IN ('running', 'waiting', 'paused')) AS active,
        count(*) FILTER (WHERE s.workflow_status = 'completed') AS completed,
        count(*) FILTER (WHERE s.workflow_status = 'exited') AS exited,
        count(*) FILTER (WHERE s.workflow_status = 'failed') AS failed
    FROM campaign_workflow_states s
    WHERE CAST(%(campaign_id)s AS uuid) IS NULL OR s.campaign_id = CAST(%(campaign_id)s AS uuid)
    GROUP BY s.campaign_id, s.campaign_version
),

entries AS (
    SELECT
        e.campaign_id, v.campaign_version, e.enrollment_id, e.event_type = 'enrollment_started' AS has_started, v.moved
    FROM campaign_events e
    CROSS JOIN LATERAL (
        SELECT e.campaign_version, CASE e.event_type WHEN 'enrollment_migrated' THEN 1 ELSE 0 END AS moved
        UNION ALL
        SELECT CAST(e.event_data ->> 'from_version' AS integer), -1
        WHERE e.event_type = 'enrollment_migrated'
    ) v
    WHERE e.event_type IN ('enrollment_started', 'enrollment_migrated')
      AND (CAST(%(campaign_id)s AS uuid) IS NULL OR e.campaign_id = CAST(%(campaign_id)s AS uuid))
),

entered AS (
    SELECT
        x.campaign_id, x.campaign_version, CAST(sum(x.started) AS bigint) AS started,
        CAST(sum(x.moved_in) AS bigint) AS moved_in, CAST(sum(x.moved_out) AS bigint) AS moved_out
    FROM (
        SELECT
            t.campaign_id, t.campaign_version, count(DISTINCT t.enrollment_id) FILTER (WHERE t.has_started) AS started,
            count(*) FILTER (WHERE t.moved = 1) AS moved_in, count(*) FILTER (WHERE t.moved = -1) AS moved_out
        FROM entries t
        GROUP BY t.campaign_id, t.campaign_version
        UNION ALL
        -- Counts of archived months.
        SELECT a.campaign_id, a.campaign_version, a.started, a.moved_in, a.moved_out
        FROM campaign_archived_entries a
        WHERE CAST(%(campaign_id)s AS uuid) IS NULL OR a.campaign_id = CAST(%(campaign_id)s AS uuid)
    ) x
    GROUP BY x.campaign_id, x.campaign_version
),

deleted AS (
    SELECT d.campaign_id, d.campaign_version, count(*) AS enrollments
    FROM campaign_deleted_enrollments d
    WHERE CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid)
    GROUP BY d.campaign_id, d.campaign_version
)

SELECT
    c.id AS campaign_id, c.name AS campaign_name, coalesce(n.campaign_version, x.campaign_version) AS campaign_version,
    coalesce(x.started + x.moved_in - x.moved_out, 0) - coalesce(d.enrollments, 0) AS entered,
    coalesce(x.started, 0) AS started, coalesce(x.moved_in, 0) AS moved_in, coalesce(x.moved_out, 0) AS moved_out,
    coalesce(d.enrollments, 0) AS deleted, coalesce(n.active, 0) AS active,
    coalesce(n.completed, 0) AS completed, coalesce(n.exited, 0) AS exited, coalesce(n.failed, 0) AS failed
FROM current_states n
FULL JOIN entered x ON x.campaign_id = n.campaign_id AND x.campaign_version = n.campaign_version
LEFT JOIN deleted d
    ON d.campaign_id = coalesce(n.campaign_id, x.campaign_id)
    AND d.campaign_version = coalesce(n.campaign_version, x.campaign_version)
JOIN drip_campaigns c ON c.id = coalesce(n.campaign_id, x.campaign_id)
ORDER BY c.name, c.id, campaign_version;

-- name: exits_by_reason
-- Counts the enrollments that exited, by reason.
SELECT s.campaign_id, s.campaign_version, s.exit_reason, count(*) AS enrollments
FROM campaign_workflow_states s
WHERE s.workflow_status = 'exited'
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR s.campaign_id = CAST(%(campaign_id)s AS uuid))
GROUP BY s.campaign_id, s.campaign_version, s.exit_reason
ORDER BY s.campaign_id, s.campaign_version, s.exit_reason;

-- name: spread_overdue_states
-- Spreads the due times of overdue states evenly over spread_seconds, by a hash of the id. Used when a campaign is resumed.
UPDATE campaign_workflow_states s
SET next_execution_at = CAST(%(now)s AS timestamptz)
    + ((hashtext(s.id::text) & 2147483647) %% 10000) / 10000.0 * make_interval(secs => CAST(%(spread_seconds)s AS double precision))
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND s.workflow_status IN ('running', 'waiting')
  AND s.next_execution_at <= CAST(%(now)s AS timestamptz);

-- name: spread_overdue_deliveries
-- Spreads the due times of overdue deliveries like those of states.
UPDATE campaign_deliveries d
SET due_at = CAST(%(now)s AS timestamptz)
    + ((hashtext(d.id::text) & 2147483647) %% 10000) / 10000.0 * make_interval(secs => CAST(%(spread_seconds)s AS double precision))
WHERE d.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND d.status = 'pending'
  AND d.due_at <= CAST(%(now)s AS timestamptz);

-- name: archive_open_states
-- Exits all open states of an archived campaign.
WITH ended AS (
    UPDATE campaign_workflow_states s
    SET workflow_status = 'exited', exit_reason = 'campaign_archived', completed_at = CAST(%(now)s AS timestamptz),
        next_execution_at = NULL, wait_for_event = NULL, wait_until = NULL, pending_delivery_id = NULL
    WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.workflow_status IN ('running', 'waiting', 'paused')
    RETURNING s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, s.current_node_id
),

followed AS (
    UPDATE campaign_enrollments e
    SET status = 'completed', completed_at = CAST(%(now)s AS timestamptz), updated_at = CAST(%(now)s AS timestamptz)
    FROM ended x
    WHERE e.id = x.id
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, node_id, event_data, created_at, workspace_id,
        campaign_version
    )
    SELECT
        x.campaign_id, x.id, x.contact_id, 'enrollment_exited', x.current_node_id,
        '{"reason": "campaign_archived"}', CAST(%(now)s AS timestamptz), x.workspace_id, x.campaign_version
    FROM ended x
)

SELECT count(*) FROM ended;

-- name: archive_open_deliveries
-- Skips the pending deliveries of an archived campaign and logs an event for each.
WITH skipped AS (
    UPDATE campaign_deliveries d
    SET status = 'skipped', due_at = NULL, settled_at = CAST(%(now)s AS timestamptz), error_code = 'campaign_archived'
    WHERE d.campaign_id = CAST(%(campaign_id)s AS uuid) AND d.status = 'pending'
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.variant_group, d.channel
),

-- The metrics of the day count skipped deliveries, too.
marked AS (
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT w.id, CAST(CAST(%(now)s AS timestamptz) AT TIME ZONE w.time_zone AS date)
    FROM workspaces w
    WHERE w.id IN (SELECT k.workspace_id FROM skipped k)
)

INSERT INTO campaign_events (
    campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
    workspace_id, campaign_version, variant_group, message_id
)
SELECT
    k.campaign_id, k.enrollment_id, k.contact_id, 'message_skipped', 'system', k.step_id, k.node_id,
    jsonb_build_object('reason', 'campaign_archived', 'channel', k.channel), CAST(%(now)s AS timestamptz),
    k.workspace_id, k.campaign_version, k.variant_group, k.id
FROM skipped k;

-- name: requeue_failed_states
-- Makes failed states due again with all retries. States are locked in the order of ids, as everywhere, against deadlocks.
WITH locked AS MATERIALIZED (
    SELECT s.id
    FROM campaign_workflow_states s
    WHERE s.workflow_status = 'failed'
      AND (CAST(%(campaign_id)s AS uuid) IS NULL OR s.campaign_id = CAST(%(campaign_id)s AS uuid))
      AND (CAST(%(batch_id)s AS uuid) IS NULL OR s.batch_id = CAST(%(batch_id)s AS uuid))
      AND (CAST(%(node_id)s AS text) IS NULL OR s.current_node_id = CAST(%(node_id)s AS text))
      AND (CAST(%(since)s AS timestamptz) IS NULL OR s.completed_at >= CAST(%(since)s AS timestamptz))
      AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = s.campaign_id AND c.status <> 'archived')
      -- A failed delivery is requeued by itself, under its own id.
      AND NOT EXISTS (
          SELECT FROM campaign_deliveries d WHERE d.id = s.pending_delivery_id AND d.status = 'failed'
      )
    ORDER BY s.id
    FOR UPDATE
),

back AS (
    UPDATE campaign_workflow_states s
    SET workflow_status = 'running', completed_at = NULL, retry_count = 0, last_error = NULL,
        next_execution_at = CAST(%(now)s AS timestamptz), pending_delivery_id = NULL
    FROM locked l
    WHERE s.id = l.id
    RETURNING s.id
)

SELECT count(*) FROM back;

-- name: requeue_failed_deliveries
-- Makes failed deliveries due again under the same id; their states wait for them again.
WITH locked AS MATERIALIZED (
    SELECT d.id
    FROM campaign_workflow_states s
    JOIN campaign_deliveries d ON d.id = s.pending_delivery_id AND d.enrollment_id = s.id
    WHERE s.workflow_status = 'failed'
      AND d.status = 'failed'
      AND (CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid))
      AND (CAST(%(batch_id)s AS uuid) IS NULL OR d.batch_id = CAST(%(batch_id)s AS uuid))
      AND (CAST(%(node_id)s AS text) IS NULL OR d.node_id = CAST(%(node_id)s AS text))
      AND (CAST(%(since)s AS timestamptz) IS NULL OR d.settled_at >= CAST(%(since)s AS timestamptz))
      AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = d.campaign_id AND c.status <> 'archived')
    ORDER BY s.id
    FOR UPDATE
),

back AS (
    UPDATE campaign_deliveries d
    SET status = 'pending', due_at = CAST(%(now)s AS timestamptz), settled_at = NULL, attempts = 0, last_error = NULL,
        error_code = NULL
    FROM locked l
    WHERE d.id = l.id
    RETURNING d.id, d.enrollment_id
),

waiting AS (
    UPDATE campaign_workflow_states s
    SET workflow_status = 'waiting', completed_at = NULL, retry_count = 0, last_error = NULL
    FROM back b
    WHERE s.id = b.enrollment_id
)

SELECT count(*) FROM back;

-- name: run_variables
-- Returns what stores the variables of runs: entry data, and the object with `event` and `vars`. Columns that are not
-- requested are null and are not sent.
SELECT
    s.id,
    CASE
        WHEN 'personalization_data' = ANY(w.names) AND jsonb_typeof(e.personalization_data) = 'object'
            THEN nullif(e.personalization_data, '{}')
    END AS personalization_data,
    CASE
        WHEN 'workflow_variables' = ANY(w.names) AND jsonb_typeof(s.workflow_variables) = 'object'
            THEN nullif(s.workflow_variables, '{}')
    END AS workflow_variables
FROM campaign_workflow_states s
JOIN campaign_enrollments e ON e.id = s.id
CROSS JOIN (SELECT CAST(%(columns)s AS text []) AS names) w
WHERE s.id = ANY(CAST(%(state_ids)s AS uuid []));

-- name: write_run_variables
-- Sets variables of runs; keys that are not named stay.
UPDATE campaign_workflow_states s
SET workflow_variables = CASE jsonb_typeof(s.workflow_variables) WHEN 'object' THEN s.workflow_variables ELSE '{}' END
        || CAST(n.variables AS jsonb)
FROM unnest(CAST(%(state_ids)s AS uuid []), CAST(%(variables)s AS text [])) AS n (id, variables)
WHERE s.id = n.id;

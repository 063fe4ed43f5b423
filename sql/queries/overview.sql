-- Read-only queries for Dagster and the metrics exporter: pending work, and what one run did.

-- name: other_pending_work
-- Pending work besides due states and deliveries, each counted up to a limit: states that wait for a time, deliveries and
-- posts whose lease or grace time has expired, and paused states whose enrollment is active again. Only a tick resolves the
-- last two.
SELECT
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM drip_campaigns c
            JOIN campaign_workflow_states s ON s.campaign_id = c.id
            WHERE c.status = 'active' AND s.workflow_status IN ('running', 'waiting')
                AND s.next_execution_at > CAST(%(now)s AS timestamptz)
            LIMIT %(count_limit)s
        ) w
    ) AS waiting_states,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM campaign_deliveries d
            WHERE d.status IN ('sending', 'unknown') AND d.leased_until <= CAST(%(now)s AS timestamptz)
            UNION ALL
            SELECT
            FROM campaign_broadcasts b
            WHERE b.status IN ('sending', 'unknown') AND b.leased_until <= CAST(%(now)s AS timestamptz)
            LIMIT %(count_limit)s
        ) d
    ) AS unknown_outcomes,
    (
        SELECT count(*)
        FROM (
            SELECT
            FROM drip_campaigns c
            JOIN campaign_workflow_states s ON s.campaign_id = c.id
            JOIN campaign_enrollments e ON e.id = s.id
            WHERE s.workflow_status = 'paused' AND e.status = 'active'
                AND NOT EXISTS (
                    SELECT
                    FROM campaign_deliveries d
                    WHERE d.id = s.pending_delivery_id AND d.status IN ('pending', 'sending', 'unknown')
                )
            LIMIT %(count_limit)s
        ) p
    ) AS resumable_states;

-- name: batches_of_run
-- Rows of the batch log of one Dagster run, in the order of their start. The time narrows the search, because the table
-- has an index on it and none on the run.
SELECT b.id, b.kind, b.outcome, b.step_key, b.engine_now, b.duration_ms, b.size, b.sizes, b.error
FROM campaign_batches b
WHERE b.run_id = CAST(%(run_id)s AS text) AND b.started_at >= CAST(%(since)s AS timestamptz)
ORDER BY b.started_at;

-- name: nodes_of_failed_batch
-- Nodes of the enrollments of a step's latest failed batch, most first.
WITH latest AS (
    SELECT b.id, b.kind, b.size, b.campaigns
    FROM campaign_batches b
    WHERE b.run_id = CAST(%(run_id)s AS text) AND b.step_key = CAST(%(step_key)s AS text) AND b.outcome = 'failed'
        AND b.started_at >= CAST(%(since)s AS timestamptz)
    ORDER BY b.started_at DESC
    LIMIT 1
)

SELECT
    l.id AS batch_id, l.kind, l.size, c.name AS campaign, n.version, n.node_id AS node, n.enrollments
FROM latest l
CROSS JOIN LATERAL jsonb_to_recordset(l.campaigns) AS n (campaign_id uuid, version integer, node_id text, enrollments integer)
LEFT JOIN drip_campaigns c ON c.id = n.campaign_id
ORDER BY n.enrollments DESC, campaign, node;

-- name: events_logged_between
-- Number of events of each type in a time range. A tick logs its events with its logical time.
SELECT e.event_type, count(*) AS events
FROM campaign_events e
WHERE e.created_at >= CAST(%(first)s AS timestamptz) AND e.created_at < CAST(%(last)s AS timestamptz)
GROUP BY e.event_type
ORDER BY events DESC, e.event_type;

-- name: due_without_channel
-- Number of due messages of each channel that is not configured.
SELECT d.channel, count(*) AS messages
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.status = 'active' AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
    AND d.channel <> ALL(CAST(%(channels)s AS text []))
GROUP BY d.channel
ORDER BY d.channel;

-- name: messages_waiting
-- Nodes with pending messages on these channels, due now or later, most messages first. Messages that a rule holds do not
-- wait for their transport.
SELECT c.name AS campaign, d.campaign_version AS version, d.node_id AS node, count(*) AS messages
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.status = 'active' AND d.status = 'pending' AND d.held_by IS NULL
    AND d.channel = ANY(CAST(%(channels)s AS text []))
GROUP BY c.name, d.campaign_version, d.node_id
ORDER BY messages DESC, c.name, d.node_id, d.campaign_version;

-- name: ab_results_preview
-- Results of variants for display: running tests before decided ones, the newest first.
SELECT
    c.name AS campaign, t.split_node_id AS split, r.variant_group AS variant, r.total_sent AS sent,
    r.open_rate AS opened_pct, r.click_rate AS clicked_pct, r.conversion_rate AS converted_pct, r.p_value,
    r.is_winner AS winner
FROM campaign_ab_tests t
JOIN drip_campaigns c ON c.id = t.campaign_id
JOIN campaign_ab_test_results r ON r.ab_test_id = t.id
WHERE t.status <> 'superseded'
ORDER BY t.status DESC, t.started_at DESC, c.name, t.split_node_id, r.variant_group
LIMIT CAST(%(row_limit)s AS integer);

-- name: decisions_preview
-- The latest decisions, newest first.
SELECT
    c.name AS campaign, d.split_node_id AS split, d.outcome, d.winner_variant AS winner, d.decided_by, d.reason,
    d.decided_at
FROM campaign_ab_decisions d
JOIN drip_campaigns c ON c.id = d.campaign_id
ORDER BY d.decided_at DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: ab_test_row_counts
-- Row counts of the A/B test tables. They are small: one row for each variant or test.
SELECT
    (SELECT count(*) FROM campaign_ab_test_results) AS results,
    (SELECT count(*) FROM campaign_ab_decisions) AS decisions,
    (SELECT count(*) FROM campaign_ab_tests WHERE status = 'running') AS running;

-- name: outcomes_between
-- Outcomes of the messages sent on these days (in their workspace's time zone), by channel.
SELECT
    o.channel, count(*) AS messages, count(o.delivered_at) AS delivered, count(o.first_opened_at) AS opened,
    count(o.first_clicked_at) AS clicked, count(o.first_replied_at) AS replied, count(o.first_converted_at) AS converted,
    count(o.unsubscribed_at) AS unsubscribed, count(o.bounced_at) AS bounced
FROM workspace_day_bounds(CAST(%(first)s AS date), CAST(%(last)s AS date)) b
JOIN campaign_message_outcomes o ON o.sent_at >= b.day_start AND o.sent_at < b.day_end
JOIN workspaces w ON w.id = o.workspace_id
WHERE CAST(o.sent_at AT TIME ZONE w.time_zone AS date)
    BETWEEN CAST(%(first)s AS date) AND CAST(%(last)s AS date)
GROUP BY o.channel
ORDER BY o.channel;

-- name: engine_rates
-- Batches that started in a range of wall-clock time: their number, enrollments and, for deliveries, messages by outcome.
SELECT
    b.kind, b.outcome, count(*) AS batches, sum(b.size) AS enrollments, sum(b.duration_ms) AS busy_ms,
    (
        SELECT jsonb_object_agg(m.outcome, m.messages)
        FROM (
            SELECT z.key AS outcome, sum(CAST(z.value AS bigint)) AS messages
            FROM campaign_batches d
            CROSS JOIN LATERAL jsonb_each_text(d.sizes) AS z
            WHERE d.kind = b.kind AND d.outcome = b.outcome
                AND d.started_at > CAST(%(since)s AS timestamptz) AND d.started_at <= CAST(%(until)s AS timestamptz)
            GROUP BY z.key
        ) m
    ) AS sizes
FROM campaign_batches b
WHERE b.started_at > CAST(%(since)s AS timestamptz) AND b.started_at <= CAST(%(until)s AS timestamptz)
GROUP BY b.kind, b.outcome
ORDER BY b.kind, b.outcome;

-- name: engine_levels
-- Levels for the metrics exporter: messages being sent, of unknown outcome or failed, failed enrollments, stale days and
-- open incidents. Each count reads a partial index of just these rows.
SELECT
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'sending') AS sending,
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'unknown') AS unknown,
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'failed') AS failed,
    (SELECT count(*) FROM campaign_workflow_states s WHERE s.workflow_status = 'failed') AS failed_enrollments,
    (SELECT count(DISTINCT m.metric_date) FROM stale_metric_days m) AS stale_days,
    (SELECT count(*) FROM campaign_incidents i WHERE i.resolved_at IS NULL) AS open_incidents;

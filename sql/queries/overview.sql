-- What the orchestration shows and decides by: what a tick would find, and what one run of it did.

-- name: other_pending_work
-- What else a sensor looks at: how many people have something ahead of them (counted up to a limit), and how much only a
-- tick can put right: deliveries and posts whose lease or grace time is over, people whose enrollment is no longer paused.
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
    ) AS waiting_people,
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
    ) AS in_doubt,
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
    ) AS resumable;

-- name: batches_of_run
-- The ledger's rows of one run of Dagster, in the order in which they ended. The time narrows the search: the ledger has
-- an index on it and none on the run.
SELECT b.id, b.kind, b.outcome, b.step_key, b.engine_now, b.duration_ms, b.size, b.sizes, b.error
FROM campaign_batches b
WHERE b.run_id = CAST(%(run_id)s AS text) AND b.started_at >= CAST(%(since)s AS timestamptz)
ORDER BY b.started_at;

-- name: nodes_of_failed_batch
-- Where the people of a step's latest failed batch stood, most first.
WITH latest AS (
    SELECT b.id, b.kind, b.size, b.campaigns
    FROM campaign_batches b
    WHERE b.run_id = CAST(%(run_id)s AS text) AND b.step_key = CAST(%(step_key)s AS text) AND b.outcome = 'failed'
        AND b.started_at >= CAST(%(since)s AS timestamptz)
    ORDER BY b.started_at DESC
    LIMIT 1
)

SELECT
    l.id AS batch_id, l.kind, l.size, c.name AS campaign, p.version, p.node_id AS node, p.people
FROM latest l
CROSS JOIN LATERAL jsonb_to_recordset(l.campaigns) AS p (campaign_id uuid, version integer, node_id text, people integer)
LEFT JOIN drip_campaigns c ON c.id = p.campaign_id
ORDER BY p.people DESC, campaign, node;

-- name: events_logged_between
-- How many events of each type the log has for a stretch of time; a tick writes its own with the time it works at.
SELECT e.event_type, count(*) AS events
FROM campaign_events e
WHERE e.created_at >= CAST(%(first)s AS timestamptz) AND e.created_at < CAST(%(last)s AS timestamptz)
GROUP BY e.event_type
ORDER BY events DESC, e.event_type;

-- name: due_without_channel
-- Due messages of channels that are not among these: nobody will send them as things are.
SELECT d.channel, count(*) AS messages
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.status = 'active' AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
    AND d.channel <> ALL(CAST(%(channels)s AS text []))
GROUP BY d.channel
ORDER BY d.channel;

-- name: messages_waiting
-- Where the messages stand that wait to go out on these channels, due now or later, most first.
SELECT c.name AS campaign, d.campaign_version AS version, d.node_id AS node, count(*) AS messages
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.status = 'active' AND d.status = 'pending' AND d.channel = ANY(CAST(%(channels)s AS text []))
GROUP BY c.name, d.campaign_version, d.node_id
ORDER BY messages DESC, c.name, d.node_id, d.campaign_version;

-- name: ab_results_preview
-- The results table as a person reads it: variants of the tests judged last, running ones before decided ones.
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
-- How many rows the tables of experiments have: small tables, a row a variant or a test.
SELECT
    (SELECT count(*) FROM campaign_ab_test_results) AS results,
    (SELECT count(*) FROM campaign_ab_decisions) AS decisions,
    (SELECT count(*) FROM campaign_ab_tests WHERE status = 'running') AS running;

-- name: outcomes_between
-- Messages sent on some days (of their workspace's time zone), and what became of them, per channel.
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
-- What the ledger says of a stretch of (real) time: batches, people and, of deliveries, messages by what became of them.
SELECT
    b.kind, b.outcome, count(*) AS batches, sum(b.size) AS people, sum(b.duration_ms) AS busy_ms,
    (
        SELECT jsonb_object_agg(f.figure, f.messages)
        FROM (
            SELECT z.key AS figure, sum(CAST(z.value AS bigint)) AS messages
            FROM campaign_batches d
            CROSS JOIN LATERAL jsonb_each_text(d.sizes) AS z
            WHERE d.kind = b.kind AND d.outcome = b.outcome
                AND d.started_at > CAST(%(since)s AS timestamptz) AND d.started_at <= CAST(%(until)s AS timestamptz)
            GROUP BY z.key
        ) f
    ) AS sizes
FROM campaign_batches b
WHERE b.started_at > CAST(%(since)s AS timestamptz) AND b.started_at <= CAST(%(until)s AS timestamptz)
GROUP BY b.kind, b.outcome
ORDER BY b.kind, b.outcome;

-- name: engine_levels
-- Counts that a monitor draws: what is on its way, in doubt or dead among the messages, what is to be counted anew, and
-- how many incidents are open. Each from an index that holds just these rows.
SELECT
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'sending') AS sending,
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'unknown') AS unknown,
    (SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'failed') AS failed,
    (SELECT count(*) FROM campaign_workflow_states s WHERE s.workflow_status = 'failed') AS failed_people,
    (SELECT count(DISTINCT m.metric_date) FROM stale_metric_days m) AS stale_days,
    (SELECT count(*) FROM campaign_incidents i WHERE i.resolved_at IS NULL) AS open_incidents;

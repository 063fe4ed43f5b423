-- name: lock_uncounted_campaigns
-- Lock the campaigns of tests that get their first result rows against publishing: those rows refer to the campaign,
-- and publishing locks the campaign before its tests. In the other order the two would deadlock.
SELECT c.id
FROM drip_campaigns c
WHERE (CAST(%(campaign_ids)s AS uuid []) IS NULL OR c.id = ANY(CAST(%(campaign_ids)s AS uuid [])))
  AND EXISTS (
      SELECT FROM campaign_ab_tests t
      WHERE t.campaign_id = c.id AND t.status = 'running'
        AND NOT EXISTS (SELECT FROM campaign_ab_test_results r WHERE r.ab_test_id = t.id)
  )
ORDER BY c.id
FOR KEY SHARE;

-- name: tests_to_evaluate
-- Lock the running tests of the given campaigns, or of all; declaring, publishing and other evaluations wait. In the
-- order in which publishing updates the tests of a campaign.
SELECT
    t.id, t.workspace_id, t.campaign_id, t.split_node_id, t.test_number, t.config, t.campaign_versions, t.status, t.state,
    t.started_at, t.ended_at, t.winner_variant, t.srm_cleared_at, t.inner_nodes_of
FROM campaign_ab_tests t
WHERE t.status = 'running'
  AND (CAST(%(campaign_ids)s AS uuid []) IS NULL OR t.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid [])))
  AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = t.campaign_id AND c.status <> 'archived')
ORDER BY t.campaign_id, t.split_node_id, t.test_number DESC
FOR NO KEY UPDATE OF t;

-- name: tests_of
-- All tests of the given campaigns, or the tests of all campaigns that were not superseded; the latest of each split
-- first.
SELECT
    t.id, t.workspace_id, t.campaign_id, t.split_node_id, t.test_number, t.config, t.campaign_versions, t.status, t.state,
    t.started_at, t.ended_at, t.winner_variant, t.srm_cleared_at, t.inner_nodes_of
FROM campaign_ab_tests t
JOIN drip_campaigns c ON c.id = t.campaign_id
WHERE CASE
    WHEN CAST(%(campaign_ids)s AS uuid []) IS NULL THEN t.status <> 'superseded' AND c.status <> 'archived'
    ELSE t.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid []))
END
ORDER BY t.status = 'superseded', c.name, t.campaign_id, t.started_at DESC, t.split_node_id, t.test_number DESC;

-- name: drain_test_changes
-- Delete the recorded changes of the given campaigns, or of all. Rows locked by another evaluation are left to it.
WITH changes AS MATERIALIZED (
    SELECT h.id
    FROM campaign_ab_test_changes h
    WHERE CAST(%(campaign_ids)s AS uuid []) IS NULL OR h.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid []))
    FOR UPDATE SKIP LOCKED
)

DELETE FROM campaign_ab_test_changes h USING changes n WHERE h.id = n.id RETURNING h.campaign_id;

-- name: changed_tests_overview
-- For the sensor: tests with something new to count or with a decision that is due, running tests, running tests that
-- only time can change, and running tests that were never counted.
SELECT
    (
        SELECT count(*)
        FROM (
            SELECT t.id
            FROM campaign_ab_test_changes h
            JOIN campaign_ab_tests t ON t.campaign_id = h.campaign_id AND t.status <> 'superseded'
            UNION
            SELECT t.id
            FROM campaign_ab_tests t
            JOIN drip_campaigns c ON c.id = t.campaign_id AND c.status <> 'archived'
            CROSS JOIN LATERAL (
                SELECT v.state
                FROM campaign_ab_evaluations v
                WHERE v.ab_test_id = t.id
                ORDER BY v.ordinal DESC
                LIMIT 1
            ) e
            WHERE t.status = 'running' AND e.state IN ('decided_winner', 'decided_no_winner')
        ) n
    ) AS changed,
    count(*) AS running,
    count(*) FILTER (
        WHERE (t.config ->> 'minimum_runtime_hours')::double precision > 0
            OR (t.config ->> 'max_duration_hours')::double precision > 0
            OR EXISTS (
                SELECT FROM campaign_ab_test_results r
                WHERE r.ab_test_id = t.id
                  AND r.cohort_contacts < CASE WHEN r.is_holdout THEN r.total_assigned ELSE r.total_sent END
            )
    ) AS moved_by_time,
    count(*) FILTER (WHERE NOT EXISTS (SELECT FROM campaign_ab_test_results r WHERE r.ab_test_id = t.id)) AS uncounted
FROM campaign_ab_tests t
JOIN drip_campaigns c ON c.id = t.campaign_id
WHERE t.status = 'running' AND c.status <> 'archived';

-- name: decided_tests_of
-- The decided tests of some campaigns. Their totals are still counted.
SELECT
    t.id, t.workspace_id, t.campaign_id, t.split_node_id, t.test_number, t.config, t.campaign_versions, t.status, t.state,
    t.started_at, t.ended_at, t.winner_variant, t.srm_cleared_at, t.inner_nodes_of
FROM campaign_ab_tests t
WHERE t.status = 'decided' AND t.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid []))
ORDER BY t.id;

-- name: tests_with_open_windows
-- Running tests that were never counted, and those with contacts inside their attribution window: time alone changes
-- their counts.
SELECT t.id
FROM campaign_ab_tests t
WHERE t.id = ANY(CAST(%(test_ids)s AS uuid []))
  AND (
      NOT EXISTS (SELECT FROM campaign_ab_test_results r WHERE r.ab_test_id = t.id)
      OR EXISTS (
          SELECT FROM campaign_ab_test_results r
          WHERE r.ab_test_id = t.id
            AND r.cohort_contacts < CASE WHEN r.is_holdout THEN r.total_assigned ELSE r.total_sent END
      )
  );

-- name: graphs_with_several_splits
-- The graphs of versions in which a split may be inside a variant of another split.
SELECT t.id AS test_id, v.version, v.compiled_graph
FROM campaign_ab_tests t
JOIN campaign_versions v ON v.campaign_id = t.campaign_id AND v.version = ANY(t.campaign_versions)
WHERE t.id = ANY(CAST(%(test_ids)s AS uuid []))
  AND jsonb_array_length(jsonb_path_query_array(v.compiled_graph, '$.nodes[*] ? (@.node_type == "split")')) > 1
ORDER BY t.id, v.version;

-- name: write_inner_nodes
-- Store which nodes are behind another split inside a variant, and the versions this was computed for.
UPDATE campaign_ab_tests t
SET inner_nodes = CAST(i.inner_nodes AS jsonb), inner_nodes_of = t.campaign_versions
FROM unnest(CAST(%(test_ids)s AS uuid []), CAST(%(inner_nodes)s AS text [])) AS i (test_id, inner_nodes)
WHERE t.id = i.test_id;

-- name: count_variants
-- Count tests without writing.
SELECT n.*
FROM count_ab_test_variants(
    CAST(%(test_ids)s AS uuid []), CAST(%(metrics)s AS text []), CAST(%(window_hours)s AS double precision []),
    CAST(%(now)s AS timestamptz)
) AS n;

-- name: count_variants_until
-- Count what had happened by a past time; attribution windows end at that time.
SELECT n.*
FROM count_ab_test_variants_until(
    CAST(%(test_ids)s AS uuid []), CAST(%(metrics)s AS text []), CAST(%(window_hours)s AS double precision []),
    CAST(%(until)s AS timestamptz), CAST(%(until)s AS timestamptz)
) AS n;

-- name: write_counts
-- Count tests into the results, with their rates: 100 x count / sent, rounded half up in integers. For a decided test
-- the cohort is frozen; totals and rates are updated.
INSERT INTO campaign_ab_test_results AS r (
    campaign_id, workspace_id, ab_test_id, split_node_id, variant_group, variant_step_id, is_holdout, test_started_at,
    first_assigned_at, total_assigned, total_sent, total_delivered, total_opened, total_clicked, total_replied,
    total_converted, total_unsubscribed, total_bounced, total_complained, total_machine_opened, total_machine_clicked,
    cohort_contacts, cohort_successes, cohort_score_sum, cohort_score_sum_squares, delivery_rate, open_rate, click_rate,
    reply_rate, conversion_rate, engagement_score, confidence_level, updated_at
)
SELECT
    t.campaign_id, t.workspace_id, t.id, t.split_node_id, n.variant_group,
    (
        SELECT s.id
        FROM jsonb_to_recordset(t.config -> 'variants') AS v (id text, first_step_id uuid)
        JOIN campaign_steps s ON s.id = v.first_step_id
        WHERE v.id = n.variant_group
    ),
    n.is_holdout, t.started_at, n.first_assigned_at, n.total_assigned, n.total_sent, n.total_delivered, n.total_opened,
    n.total_clicked, n.total_replied, n.total_converted, n.total_unsubscribed, n.total_bounced, n.total_complained,
    n.total_machine_opened, n.total_machine_clicked, n.cohort_contacts, n.cohort_successes, n.cohort_score_sum,
    n.cohort_score_sum_squares,
    CASE WHEN NOT n.is_holdout THEN (20000 * n.total_delivered + b.base) / (2 * b.base) / 100.0 END,
    (20000 * n.total_opened + b.base) / (2 * b.base) / 100.0,
    (20000 * n.total_clicked + b.base) / (2 * b.base) / 100.0,
    (20000 * n.total_replied + b.base) / (2 * b.base) / 100.0,
    (20000 * n.total_converted + b.base) / (2 * b.base) / 100.0,
    (2000 * (3 * n.total_opened + 4 * n.total_clicked + 3 * n.total_replied) + b.base) / (2 * b.base) / 100.0,
    0, CAST(%(now)s AS timestamptz)
FROM count_ab_test_variants(
    CAST(%(test_ids)s AS uuid []), CAST(%(metrics)s AS text []), CAST(%(window_hours)s AS double precision []),
    CAST(%(now)s AS timestamptz)
) AS n
JOIN campaign_ab_tests t ON t.id = n.ab_test_id
CROSS JOIN LATERAL (
    SELECT nullif(CASE WHEN n.is_holdout THEN n.total_assigned ELSE n.total_sent END, 0) AS base
) b
ORDER BY t.id, n.variant_group
ON CONFLICT (ab_test_id, variant_group) DO UPDATE
SET variant_step_id = excluded.variant_step_id,
    first_assigned_at = excluded.first_assigned_at,
    total_assigned = excluded.total_assigned,
    total_sent = excluded.total_sent,
    total_delivered = excluded.total_delivered,
    total_opened = excluded.total_opened,
    total_clicked = excluded.total_clicked,
    total_replied = excluded.total_replied,
    total_converted = excluded.total_converted,
    total_unsubscribed = excluded.total_unsubscribed,
    total_bounced = excluded.total_bounced,
    total_complained = excluded.total_complained,
    total_machine_opened = excluded.total_machine_opened,
    total_machine_clicked = excluded.total_machine_clicked,
    delivery_rate = excluded.delivery_rate,
    open_rate = excluded.open_rate,
    click_rate = excluded.click_rate,
    reply_rate = excluded.reply_rate,
    conversion_rate = excluded.conversion_rate,
    engagement_score = excluded.engagement_score,
    cohort_contacts = CASE WHEN r.test_ended_at IS NULL THEN excluded.cohort_contacts ELSE r.cohort_contacts END,
    cohort_successes = CASE WHEN r.test_ended_at IS NULL THEN excluded.cohort_successes ELSE r.cohort_successes END,
    cohort_score_sum = CASE WHEN r.test_ended_at IS NULL THEN excluded.cohort_score_sum ELSE r.cohort_score_sum END,
    cohort_score_sum_squares = CASE
        WHEN r.test_ended_at IS NULL THEN excluded.cohort_score_sum_squares ELSE r.cohort_score_sum_squares
    END,
    updated_at = excluded.updated_at;

-- name: counted_variants
-- The stored counts of some tests, in the column order of count_variants.
SELECT
    r.ab_test_id, r.variant_group, r.is_holdout, r.first_assigned_at, r.total_assigned, r.total_sent, r.total_delivered,
    r.total_opened, r.total_clicked, r.total_replied, r.total_converted, r.total_unsubscribed, r.total_bounced,
    r.total_complained, r.total_machine_opened, r.total_machine_clicked, r.cohort_contacts, r.cohort_successes,
    r.cohort_score_sum, r.cohort_score_sum_squares
FROM campaign_ab_test_results r
WHERE r.ab_test_id = ANY(CAST(%(test_ids)s AS uuid []));

-- name: latest_evaluations
-- The latest evaluation of each test, without counts and verdict.
SELECT t.id AS ab_test_id, e.id, e.state, e.reason, e.counts_hash
FROM unnest(CAST(%(test_ids)s AS uuid [])) AS t (id)
CROSS JOIN LATERAL (
    SELECT v.id, v.state, v.reason, v.counts_hash
    FROM campaign_ab_evaluations v
    WHERE v.ab_test_id = t.id
    ORDER BY v.ordinal DESC
    LIMIT 1
) e;

-- name: latest_evaluation
-- The latest evaluation of one test, or the latest up to a time.
SELECT v.id, v.evaluated_at, v.state, v.reason, v.counts, v.verdict
FROM campaign_ab_evaluations v
WHERE v.ab_test_id = CAST(%(test_id)s AS uuid)
  AND (CAST(%(until)s AS timestamptz) IS NULL OR v.evaluated_at <= CAST(%(until)s AS timestamptz))
ORDER BY v.ordinal DESC
LIMIT 1;

-- name: evaluation_by_id
-- One evaluation.
SELECT v.id, v.evaluated_at, v.state, v.reason, v.counts, v.verdict
FROM campaign_ab_evaluations v
WHERE v.id = CAST(%(evaluation_id)s AS uuid);

-- name: write_verdicts
-- Write evaluated columns to the results of running tests. Only a decision writes the winner.
UPDATE campaign_ab_test_results r
SET p_value = f.p_value, confidence_level = f.confidence_level, is_statistically_significant = f.is_significant,
    updated_at = CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(test_ids)s AS uuid []), CAST(%(variants)s AS text []), CAST(%(p_values)s AS numeric []),
    CAST(%(confidence_levels)s AS numeric []), CAST(%(significant)s AS boolean [])
) AS f (test_id, variant_group, p_value, confidence_level, is_significant)
WHERE r.ab_test_id = f.test_id AND r.variant_group = f.variant_group AND r.test_ended_at IS NULL
  AND (r.p_value, r.confidence_level, r.is_statistically_significant)
      IS DISTINCT FROM (f.p_value, f.confidence_level, f.is_significant);

-- name: write_test_states
-- Write the states of running tests.
UPDATE campaign_ab_tests t
SET state = s.state
FROM unnest(CAST(%(test_ids)s AS uuid []), CAST(%(states)s AS text [])) AS s (test_id, state)
WHERE t.id = s.test_id AND t.status = 'running' AND t.state <> s.state;

-- name: append_evaluations
-- Store evaluations with their counts. One JSON text: an array of texts took the client 1.6 s for 5,000 evaluations.
INSERT INTO campaign_ab_evaluations (
    id, workspace_id, ab_test_id, campaign_id, evaluated_at, state, reason, leader, counts, verdict, counts_hash,
    config_hash, engine_version, run_id
)
SELECT
    e.id, e.workspace_id, e.test_id, e.campaign_id, CAST(%(now)s AS timestamptz), e.state, e.reason, e.leader,
    e.counts, e.verdict, e.counts_hash, e.config_hash, CAST(%(engine_version)s AS text), CAST(%(run_id)s AS text)
FROM jsonb_to_recordset(CAST(%(evaluations)s AS jsonb)) AS e (
    id uuid, workspace_id uuid, test_id uuid, campaign_id uuid, state text, reason text, leader text, counts jsonb,
    verdict jsonb, counts_hash text, config_hash text
);

-- name: tests_to_decide
-- Running tests with a latest evaluation that is a decision not yet recorded.
SELECT t.id, t.campaign_id
FROM campaign_ab_tests t
CROSS JOIN LATERAL (
    SELECT v.state
    FROM campaign_ab_evaluations v
    WHERE v.ab_test_id = t.id
    ORDER BY v.ordinal DESC
    LIMIT 1
) e
WHERE t.status = 'running'
  AND e.state IN ('decided_winner', 'decided_no_winner')
  AND (CAST(%(campaign_ids)s AS uuid []) IS NULL OR t.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid [])))
  AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = t.campaign_id AND c.status <> 'archived')
ORDER BY t.campaign_id, t.id;

-- name: lock_campaign_to_decide
-- Lock the campaign while one of its tests is decided.
SELECT c.id, c.name, c.status, c.published_version
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid)
FOR UPDATE;

-- name: lock_test
-- Lock one test.
SELECT
    t.id, t.workspace_id, t.campaign_id, t.split_node_id, t.test_number, t.config, t.campaign_versions, t.status, t.state,
    t.started_at, t.ended_at, t.winner_variant, t.srm_cleared_at, t.inner_nodes_of
FROM campaign_ab_tests t
WHERE t.id = CAST(%(test_id)s AS uuid)
FOR UPDATE;

-- name: insert_decision
-- Insert the decision unless there is one: the first decision stands.
INSERT INTO campaign_ab_decisions (
    workspace_id, ab_test_id, campaign_id, split_node_id, outcome, winner_variant, decided_by, reason, is_by_hand,
    evaluation_id, decided_at
)
SELECT
    t.workspace_id, t.id, t.campaign_id, t.split_node_id, CAST(%(outcome)s AS text), CAST(%(winner)s AS text),
    CAST(%(decided_by)s AS text), CAST(%(reason)s AS text), CAST(%(is_by_hand)s AS boolean),
    CAST(%(evaluation_id)s AS uuid), CAST(%(now)s AS timestamptz)
FROM campaign_ab_tests t
WHERE t.id = CAST(%(test_id)s AS uuid)
ON CONFLICT (ab_test_id) DO NOTHING
RETURNING id;

-- name: decisions_of
-- The decisions of some tests.
SELECT
    d.ab_test_id, d.outcome, d.winner_variant, d.decided_by, d.reason, d.is_by_hand, d.evaluation_id, d.decided_at
FROM campaign_ab_decisions d
WHERE d.ab_test_id = ANY(CAST(%(test_ids)s AS uuid []));

-- name: end_test
-- End the test with this outcome; enrollments that reach the split later are routed to the winner.
UPDATE campaign_ab_tests t
SET status = 'decided', state = CAST(%(outcome)s AS text), winner_variant = CAST(%(winner)s AS text),
    ended_at = CAST(%(now)s AS timestamptz)
WHERE t.id = CAST(%(test_id)s AS uuid) AND t.status = 'running';

-- name: freeze_results
-- Freeze the deciding columns and mark the winner.
UPDATE campaign_ab_test_results r
SET is_winner = r.variant_group IS NOT DISTINCT FROM CAST(%(winner)s AS text),
    winner_declared_at = CASE
        WHEN r.variant_group = CAST(%(winner)s AS text) THEN CAST(%(now)s AS timestamptz)
    END,
    test_ended_at = CAST(%(now)s AS timestamptz),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE r.ab_test_id = CAST(%(test_id)s AS uuid);

-- name: mark_campaign_decided
-- Write the winner to the campaign: the first step of the winning variant, if the step still exists.
UPDATE drip_campaigns c
SET ab_test_winner_id = (
        SELECT s.id FROM campaign_steps s
        WHERE s.campaign_id = c.id AND s.id = ANY(CAST(%(step_ids)s AS uuid []))
        ORDER BY array_position(CAST(%(step_ids)s AS uuid []), s.id)
        LIMIT 1
    ),
    ab_test_completed_at = CAST(%(now)s AS timestamptz),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: snapshot_decided_campaign
-- Add an entry to the campaign's history. New enrollments still enter the published version.
SELECT create_campaign_version_snapshot(
    CAST(%(campaign_id)s AS uuid), CAST(%(description)s AS text), 'ab_test_completed', CAST(%(now)s AS timestamptz)
) AS version_id;

-- name: log_decision
-- Log the decision as an event.
INSERT INTO campaign_events (
    campaign_id, event_type, event_source, node_id, event_data, created_at, workspace_id, campaign_version, variant_group
)
SELECT
    t.campaign_id, 'ab_test_decided', CASE WHEN CAST(%(is_by_hand)s AS boolean) THEN 'manual' ELSE 'system' END,
    t.split_node_id, CAST(%(event_data)s AS jsonb), CAST(%(now)s AS timestamptz), t.workspace_id,
    CAST(%(version)s AS integer), CAST(%(winner)s AS text)
FROM campaign_ab_tests t
WHERE t.id = CAST(%(test_id)s AS uuid);

-- name: clear_sample_ratio
-- Clear the block of a sample-ratio mismatch; the test is not blocked again.
UPDATE campaign_ab_tests t
SET srm_cleared_at = CAST(%(now)s AS timestamptz), srm_cleared_by = CAST(%(cleared_by)s AS text),
    srm_cleared_reason = CAST(%(reason)s AS text)
WHERE t.id = CAST(%(test_id)s AS uuid) AND t.status = 'running' AND t.srm_cleared_at IS NULL;

-- name: results_of
-- The evaluated columns of some tests' results.
SELECT r.ab_test_id, r.variant_group, r.p_value, r.confidence_level, r.is_statistically_significant, r.is_winner
FROM campaign_ab_test_results r
WHERE r.ab_test_id = ANY(CAST(%(test_ids)s AS uuid []));

-- name: cohort_steps
-- What each time step adds to the cohort of one test: contacts when their attribution window ends (at once without a
-- window), their events when they happened, but not before the contact counts. Sums over the steps are the cumulative
-- rates.
WITH variants AS (
    SELECT
        t.id AS test_id, t.campaign_id, t.split_node_id, v.id AS variant, coalesce(v.holdout, false) AS held_out,
        make_interval(secs => CAST(%(window_hours)s AS double precision) * 3600) AS attribution,
        CAST(%(window_hours)s AS double precision) > 0 AS is_windowed,
        CASE
            WHEN jsonb_typeof(t.inner_nodes -> v.id) = 'array'
                THEN ARRAY(SELECT jsonb_array_elements_text(t.inner_nodes -> v.id))
            ELSE '{}'
        END AS inner_nodes
    FROM campaign_ab_tests t
    CROSS JOIN LATERAL jsonb_to_recordset(t.config -> 'variants') AS v (id text, holdout boolean)
    WHERE t.id = CAST(%(test_id)s AS uuid)
),

members AS (
    SELECT
        v.variant, a.contact_id, v.is_windowed,
        CASE WHEN v.held_out THEN min(a.assigned_at) ELSE min(o.sent_at) END AS starts,
        CASE WHEN v.held_out THEN min(a.assigned_at) ELSE min(o.sent_at) END + v.attribution AS counts_at,
        min(o.first_opened_at) AS opened_at, min(o.first_clicked_at) AS clicked_at, min(o.first_replied_at) AS replied_at,
        min(a.first_converted_at) AS converted_at
    FROM variants v
    JOIN campaign_split_assignments a
        ON a.campaign_id = v.campaign_id
        AND a.split_node_id = v.split_node_id
        AND a.ab_test_id = v.test_id
        AND a.variant_group = v.variant
    LEFT JOIN campaign_message_outcomes o
        ON o.enrollment_id = a.enrollment_id
        AND NOT v.held_out
        AND (
            (o.split_node_id = a.split_node_id AND o.variant_group = a.variant_group)
            OR o.node_id = ANY(v.inner_nodes)
        )
    GROUP BY v.variant, a.contact_id, v.held_out, v.is_windowed, v.attribution
    HAVING bool_and(a.is_randomized)
),

events AS (
    SELECT p.variant, p.contact_id, greatest(k.happened_at, p.counts_at) AS happened_at, k.is_success, k.tenths
    FROM members p
    CROSS JOIN LATERAL (
        VALUES
        (p.opened_at, CAST(%(metric)s AS text) = 'open_rate', 3),
        (p.clicked_at, CAST(%(metric)s AS text) = 'click_rate', 4),
        (p.replied_at, CAST(%(metric)s AS text) = 'reply_rate', 3),
        (p.converted_at, CAST(%(metric)s AS text) = 'conversion_rate', 0)
    ) AS k (happened_at, is_success, tenths)
    WHERE p.starts IS NOT NULL AND k.happened_at IS NOT NULL
      AND (NOT p.is_windowed OR k.happened_at <= p.counts_at)
),

additions AS (
    SELECT p.variant, p.counts_at AS at, 1 AS contacts, 0 AS successes, 0 AS tenths, 0 AS tenths_squared
    FROM members p
    WHERE p.starts IS NOT NULL
    UNION ALL
    SELECT
        d.variant, d.happened_at, 0, d.is_success::integer, d.tenths,
        -- The growth of the square of the contact's score: (s + t)^2 - s^2.
        d.tenths * (
            2 * sum(d.tenths) OVER (
                PARTITION BY d.variant, d.contact_id ORDER BY d.happened_at, d.tenths
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) - d.tenths
        )
    FROM events d
)

SELECT
    n.variant AS variant_group,
    greatest(
        0, ceil(
            extract(EPOCH FROM n.at - CAST(%(starts_at)s AS timestamptz))
            / CAST(%(step_seconds)s AS double precision)
        )
    )::integer AS step,
    sum(n.contacts) AS contacts, sum(n.successes) AS successes, sum(n.tenths) / 10.0 AS score_sum,
    sum(n.tenths_squared) / 100.0 AS score_sum_squares
FROM additions n
WHERE n.at <= CAST(%(now)s AS timestamptz)
GROUP BY n.variant, step
ORDER BY n.variant, step;

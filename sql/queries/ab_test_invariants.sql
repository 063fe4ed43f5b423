-- name: violations_of_ab_counts
-- Variants with more responses than contacts that could respond. Such a count is wrong and must not decide a test.
SELECT
    r.ab_test_id, r.variant_group, r.total_assigned, r.total_sent, r.cohort_contacts, r.cohort_successes,
    count(*) OVER () AS violations
FROM campaign_ab_test_results r
CROSS JOIN LATERAL (SELECT CASE WHEN r.is_holdout THEN r.total_assigned ELSE r.total_sent END AS base) b
WHERE r.ab_test_id IS NOT NULL
  AND (
      r.total_sent > r.total_assigned
      OR greatest(
          r.total_delivered, r.total_opened, r.total_clicked, r.total_replied, r.total_converted, r.total_unsubscribed,
          r.total_bounced, r.total_complained, r.total_machine_opened, r.total_machine_clicked, r.cohort_contacts
      ) > b.base
      OR r.cohort_successes > r.cohort_contacts
      OR r.cohort_score_sum > r.cohort_contacts
      OR greatest(r.open_rate, r.click_rate, r.reply_rate, r.conversion_rate, r.engagement_score, r.delivery_rate) > 100
  )
ORDER BY r.ab_test_id, r.variant_group
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_ab_significance
-- Variants marked as significant without the required p-value, confidence or sample size.
SELECT
    r.ab_test_id, r.variant_group, r.p_value, r.confidence_level, s.smallest_sample, c.threshold,
    count(*) OVER () AS violations
FROM campaign_ab_test_results r
JOIN campaign_ab_tests t ON t.id = r.ab_test_id
CROSS JOIN LATERAL (
    SELECT
        coalesce((t.config ->> 'confidence_threshold')::numeric, 95) AS threshold,
        coalesce((t.config ->> 'minimum_sample_size')::bigint, 100) AS least_sample
) c
CROSS JOIN LATERAL (
    SELECT min(o.cohort_contacts) AS smallest_sample
    FROM campaign_ab_test_results o
    WHERE o.ab_test_id = r.ab_test_id AND NOT o.is_holdout
) s
WHERE r.is_statistically_significant
  AND (
      r.is_holdout
      OR r.p_value IS NULL
      OR r.p_value >= 1 - c.threshold / 100
      OR r.confidence_level < c.threshold
      OR s.smallest_sample < c.least_sample
  )
ORDER BY r.ab_test_id, r.variant_group
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_ab_pairs
-- Pairs of the latest evaluations whose deciding p-value is smaller than the p-value of a single look.
SELECT
    e.ab_test_id, p.pair ->> 'a' AS a, p.pair ->> 'b' AS b, p.pair -> 'decision_p' AS decision_p,
    p.pair -> 'chi2_p' AS chi2_p, count(*) OVER () AS violations
FROM campaign_ab_tests t
CROSS JOIN LATERAL (
    SELECT v.ab_test_id, v.verdict
    FROM campaign_ab_evaluations v
    WHERE v.ab_test_id = t.id
    ORDER BY v.ordinal DESC
    LIMIT 1
) e
CROSS JOIN LATERAL jsonb_array_elements(e.verdict -> 'pairs') AS p (pair)
WHERE t.status <> 'superseded'
  AND (p.pair ->> 'decision_p')::double precision < (p.pair ->> 'chi2_p')::double precision * (1 - 1e-9)
ORDER BY e.ab_test_id
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_ab_decisions
-- Tests whose decision, state, results and event disagree. A test is decided exactly when it has a decision, with the
-- decision's outcome, at most one winner that is not the holdout, and one event in the log.
SELECT
    t.id AS ab_test_id, t.status, t.state, t.winner_variant, d.outcome, d.winner_variant AS decided_winner, r.winners,
    g.events, count(*) OVER () AS violations
FROM campaign_ab_tests t
LEFT JOIN campaign_ab_decisions d ON d.ab_test_id = t.id
LEFT JOIN campaign_ab_evaluations e ON e.id = d.evaluation_id
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(x.variant_group) FILTER (WHERE x.is_winner), '{}') AS winners,
        coalesce(bool_or(x.is_winner AND x.is_holdout), false) AS has_held_out_winner
    FROM campaign_ab_test_results x
    WHERE x.ab_test_id = t.id
) r
CROSS JOIN LATERAL (
    SELECT count(*) AS events
    FROM campaign_events v
    WHERE d.id IS NOT NULL AND v.event_type = 'ab_test_decided' AND v.campaign_id = t.campaign_id
      AND v.created_at = d.decided_at AND v.event_data ->> 'ab_test_id' = t.id::text
) g
WHERE CASE
    WHEN d.id IS NULL THEN t.status = 'decided' OR t.winner_variant IS NOT NULL OR cardinality(r.winners) > 0
    ELSE
        t.status <> 'decided'
        OR t.state <> d.outcome
        OR t.winner_variant IS DISTINCT FROM d.winner_variant
        OR r.winners <> array_remove(ARRAY[d.winner_variant], NULL)
        OR r.has_held_out_winner
        OR g.events <> 1
        OR (NOT d.is_by_hand AND (e.state, e.verdict ->> 'winner') IS DISTINCT FROM (d.outcome, d.winner_variant))
END
ORDER BY t.id
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_ab_outcomes
-- Messages of tests that are about to be decided whose outcome differs from the event log. Nothing is read while no
-- decision is due, because then both bounds of the time range are null.
WITH due AS MATERIALIZED (
    SELECT t.id, t.campaign_id, t.split_node_id, t.started_at
    FROM campaign_ab_tests t
    CROSS JOIN LATERAL (
        SELECT v.state
        FROM campaign_ab_evaluations v
        WHERE v.ab_test_id = t.id
        ORDER BY v.ordinal DESC
        LIMIT 1
    ) e
    WHERE t.status = 'running' AND e.state IN ('decided_winner', 'decided_no_winner')
)

SELECT d.id AS ab_test_id, o.message_id, o.node_id, o.variant_group, count(*) OVER () AS violations
FROM message_outcomes_that_differ(
    (SELECT min(d.started_at) FROM due d),
    (SELECT 'infinity'::timestamptz WHERE EXISTS (SELECT FROM due d))
) l
JOIN campaign_message_outcomes o ON o.message_id = l.message_id
JOIN due d ON d.campaign_id = o.campaign_id AND o.sent_at >= d.started_at
ORDER BY d.id, o.message_id
LIMIT CAST(%(sample)s AS integer);

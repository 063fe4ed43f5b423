-- name: violations_of_outcomes_match_log
-- Messages whose outcome differs from the event log.
SELECT d.message_id, count(*) OVER () AS violations
FROM message_outcomes_that_differ(CAST(%(sent_from)s AS timestamptz), CAST(%(sent_to)s AS timestamptz)) d
ORDER BY d.message_id
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_sent_once
-- Messages that are marked as sent in the outbox, the outcomes or the log, but not exactly once in each. A public post is
-- one message, not one message per enrollment that passes its node, so posts are excluded.
WITH delivered AS (
    SELECT d.id AS message_id
    FROM campaign_deliveries d
    WHERE d.status = 'sent' AND d.channel <> 'social' AND d.settled_at >= CAST(%(sent_from)s AS timestamptz)
      AND d.settled_at < CAST(%(sent_to)s AS timestamptz)
),

counted AS (
    SELECT o.message_id
    FROM campaign_message_outcomes o
    WHERE o.sent_at >= CAST(%(sent_from)s AS timestamptz) AND o.sent_at < CAST(%(sent_to)s AS timestamptz)
),

logged AS (
    SELECT e.message_id, count(*) AS times
    FROM campaign_events e
    WHERE e.event_type = ANY(ARRAY['email_sent', 'sms_sent', 'webhook_succeeded'])
      AND e.event_source = 'system' AND e.message_id IS NOT NULL
      AND e.created_at >= CAST(%(sent_from)s AS timestamptz) AND e.created_at < CAST(%(sent_to)s AS timestamptz)
    GROUP BY e.message_id
)

SELECT
    coalesce(d.message_id, c.message_id, g.message_id) AS message_id, d.message_id IS NOT NULL AS in_outbox,
    c.message_id IS NOT NULL AS in_outcomes, coalesce(g.times, 0) AS times_in_log, count(*) OVER () AS violations
FROM delivered d
FULL JOIN counted c ON c.message_id = d.message_id
FULL JOIN logged g ON g.message_id = coalesce(d.message_id, c.message_id)
WHERE d.message_id IS NULL OR c.message_id IS NULL OR g.times IS DISTINCT FROM 1
ORDER BY 1
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_metrics_match_outcomes
-- Rows of the daily metrics that differ from the sums of the message outcomes. Days that are about to be recomputed are
-- skipped.
WITH sums AS (
    SELECT
        CAST(o.sent_at AT TIME ZONE w.time_zone AS date) AS metric_date, o.campaign_id, o.campaign_version, o.node_id,
        o.channel, coalesce(o.variant_group, '') AS variant_group,
        count(*) AS sent, count(o.delivered_at) AS delivered, count(o.first_opened_at) AS opened,
        sum(o.open_count) AS opens_total, count(o.first_machine_opened_at) AS machine_opened,
        count(o.first_clicked_at) AS clicked, sum(o.click_count) AS clicks_total,
        count(o.first_machine_clicked_at) AS machine_clicked, count(o.first_replied_at) AS replied,
        count(o.first_converted_at) AS converted, sum(o.conversion_value) AS conversion_value,
        count(o.unsubscribed_at) AS unsubscribed, count(o.complained_at) AS complained, count(o.bounced_at) AS bounced
    FROM campaign_message_outcomes o
    JOIN workspaces w ON w.id = o.workspace_id
    GROUP BY 1, 2, 3, 4, 5, 6
),

metrics AS (
    SELECT m.* FROM campaign_daily_metrics m WHERE m.sent > 0
)

SELECT
    coalesce(s.metric_date, m.metric_date) AS metric_date, coalesce(s.campaign_id, m.campaign_id) AS campaign_id,
    coalesce(s.node_id, m.node_id) AS node_id, s.sent, m.sent AS sent_in_metrics, count(*) OVER () AS violations
FROM sums s
FULL JOIN metrics m
    ON m.metric_date = s.metric_date AND m.campaign_id = s.campaign_id AND m.campaign_version = s.campaign_version
    AND m.node_id = s.node_id AND m.channel = s.channel AND m.variant_group = s.variant_group
WHERE coalesce(s.metric_date, m.metric_date) <> ALL(CAST(%(skipped_days)s AS date []))
  AND coalesce(s.metric_date, m.metric_date) <= CAST(%(last_day)s AS date)
  AND (
      s.sent, s.delivered, s.opened, s.opens_total, s.machine_opened, s.clicked, s.clicks_total, s.machine_clicked,
      s.replied, s.converted, s.conversion_value, s.unsubscribed, s.complained, s.bounced
  ) IS DISTINCT FROM (
      m.sent, m.delivered, m.opened, m.opens_total, m.machine_opened, m.clicked, m.clicks_total, m.machine_clicked,
      m.replied, m.converted, m.conversion_value, m.unsubscribed, m.complained, m.bounced
  )
ORDER BY 1, 2, 3
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_rates
-- Rows of the daily metrics that give a rate of more than 100 or less than 0.
SELECT
    m.metric_date, m.campaign_id, m.campaign_version, m.node_id, m.variant_group, m.sent, count(*) OVER () AS violations
FROM campaign_daily_metrics m
WHERE greatest(
    m.sent_uncertain, m.delivered, m.opened, m.machine_opened, m.clicked, m.machine_clicked, m.replied, m.converted,
    m.unsubscribed, m.complained, m.bounced
) > m.sent
OR least(
    m.sent, m.sent_uncertain, m.delivered, m.opened, m.machine_opened, m.clicked, m.machine_clicked, m.replied,
    m.converted, m.unsubscribed, m.complained, m.bounced, m.failed, m.opens_total - m.opened,
    m.clicks_total - m.clicked
) < 0
ORDER BY m.metric_date, m.campaign_id, m.node_id, m.variant_group
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_no_orphans
-- Rows whose enrollment or contact is missing. These tables have no foreign keys, for speed. What is left of deleted
-- enrollments, and of contacts that are erased or are to be, is no orphan.
SELECT o.kind, o.orphans, CAST(sum(o.orphans) OVER () AS bigint) AS violations
FROM (
    SELECT 'events without their enrollment' AS kind, count(*) AS orphans
    FROM campaign_events e
    WHERE e.enrollment_id IS NOT NULL AND e.created_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM campaign_enrollments x WHERE x.id = e.enrollment_id)
      AND NOT EXISTS (SELECT FROM campaign_deleted_enrollments r WHERE r.enrollment_id = e.enrollment_id)
    UNION ALL
    SELECT 'events without their contact', count(*)
    FROM contact_events e
    WHERE e.occurred_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM contacts k WHERE k.id = e.contact_id)
      AND NOT EXISTS (SELECT FROM contact_erasures r WHERE r.id = e.contact_id)
      AND NOT EXISTS (SELECT FROM contact_erasure_values r WHERE r.contact_id = e.contact_id)
    UNION ALL
    SELECT 'enrollments without their contact', count(*)
    FROM campaign_enrollments e
    WHERE e.started_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM contacts k WHERE k.id = e.contact_id)
      AND NOT EXISTS (SELECT FROM contact_erasures r WHERE r.id = e.contact_id)
      AND NOT EXISTS (SELECT FROM contact_erasure_values r WHERE r.contact_id = e.contact_id)
    UNION ALL
    SELECT 'outcomes without their enrollment', count(*)
    FROM campaign_message_outcomes m
    WHERE m.sent_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM campaign_enrollments x WHERE x.id = m.enrollment_id)
      AND NOT EXISTS (SELECT FROM campaign_deleted_enrollments r WHERE r.enrollment_id = m.enrollment_id)
    UNION ALL
    SELECT 'deliveries without their enrollment', count(*)
    FROM campaign_deliveries d
    WHERE d.created_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM campaign_enrollments x WHERE x.id = d.enrollment_id)
      AND NOT EXISTS (SELECT FROM campaign_deleted_enrollments r WHERE r.enrollment_id = d.enrollment_id)
    UNION ALL
    SELECT 'enrollments of a published campaign without a workflow state', count(*)
    FROM campaign_enrollments e
    JOIN drip_campaigns c ON c.id = e.campaign_id AND c.published_version IS NOT NULL AND c.status <> 'archived'
    WHERE e.status IN ('active', 'paused') AND e.started_at >= CAST(%(since)s AS timestamptz)
      AND NOT EXISTS (SELECT FROM campaign_workflow_states s WHERE s.id = e.id)
) o
WHERE o.orphans > 0
ORDER BY o.kind
LIMIT CAST(%(sample)s AS integer);

-- name: violations_of_recorded_once
-- Deliveries that the recorder stored more than once.
SELECT r.delivery_id, count(*) AS times, count(*) OVER () AS violations
FROM recorded_messages r
GROUP BY r.delivery_id
HAVING count(*) > 1
ORDER BY r.delivery_id
LIMIT CAST(%(sample)s AS integer);

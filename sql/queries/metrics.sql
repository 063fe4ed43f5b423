-- name: lock_metric_day
-- One computation of a day at a time: two concurrent ones would both insert rows that neither sees the other delete.
SELECT pg_advisory_xact_lock(CAST(%(lock_key)s AS integer), CAST(%(day)s AS date) - date '2000-01-01');

-- name: unsent_metrics
-- A day's metrics of messages that were not sent. If the day's log is archived, computing the day again would lose
-- them.
SELECT
    m.workspace_id, m.campaign_id, m.campaign_version, m.node_id, m.channel, m.variant_group, m.failed, m.skipped
FROM campaign_daily_metrics m
WHERE m.metric_date = CAST(%(day)s AS date) AND (m.skipped <> '{}' OR m.failed > 0);

-- name: restore_unsent_metrics
-- Add them to the metrics computed from outcomes.
INSERT INTO campaign_daily_metrics AS m (
    metric_date, workspace_id, campaign_id, campaign_version, node_id, channel, variant_group, failed, skipped
)
SELECT
    CAST(%(day)s AS date), h.workspace_id, h.campaign_id, h.campaign_version, h.node_id, h.channel, h.variant_group,
    h.failed, h.skipped
FROM jsonb_to_recordset(CAST(%(unsent)s AS jsonb)) AS h (
    workspace_id uuid, campaign_id uuid, campaign_version integer, node_id text, channel text, variant_group text,
    failed bigint, skipped jsonb
)
ON CONFLICT (metric_date, campaign_id, campaign_version, node_id, channel, variant_group) DO UPDATE
SET failed = greatest(m.failed, excluded.failed), skipped = excluded.skipped;

-- name: clear_metric_day
-- Delete a day's metrics and stale marks: the marked changes are committed and visible to the next statement. Returns
-- the campaigns that had metrics.
WITH unmarked AS (
    DELETE FROM stale_metric_days d WHERE d.metric_date = CAST(%(day)s AS date)
),

cleared AS (
    DELETE FROM campaign_daily_metrics m WHERE m.metric_date = CAST(%(day)s AS date) RETURNING m.campaign_id
)

SELECT DISTINCT c.campaign_id FROM cleared c;

-- name: count_metric_day
-- Compute a day's metrics: sums of the outcomes of messages sent that day, and from the log the messages not sent that
-- day (skipped, by reason; failed). The day is a calendar day in each workspace's time zone. The bounds are scalar
-- subqueries: with a join, the planner could not estimate them and read all outcomes.
WITH bounds AS MATERIALIZED (
    SELECT b.day_start, b.day_end FROM workspace_day_bounds(CAST(%(day)s AS date), CAST(%(day)s AS date)) b
),

sent AS (
    SELECT
        o.workspace_id, o.campaign_id, o.campaign_version, o.node_id, o.channel,
        coalesce(o.variant_group, '') AS variant_group,
        count(*) AS sent,
        count(*) FILTER (WHERE o.certainty = 'unknown') AS sent_uncertain,
        count(o.delivered_at) AS delivered,
        count(o.first_opened_at) AS opened,
        sum(o.open_count) AS opens_total,
        count(o.first_machine_opened_at) AS machine_opened,
        count(o.first_clicked_at) AS clicked,
        sum(o.click_count) AS clicks_total,
        count(o.first_machine_clicked_at) AS machine_clicked,
        count(o.first_replied_at) AS replied,
        count(o.first_converted_at) AS converted,
        sum(o.conversion_value) AS conversion_value,
        count(o.unsubscribed_at) AS unsubscribed,
        count(o.complained_at) AS complained,
        count(o.bounced_at) AS bounced,
        count(o.failed_at) AS failed
    FROM campaign_message_outcomes o
    JOIN workspaces w ON w.id = o.workspace_id
    WHERE o.sent_at >= (SELECT b.day_start FROM bounds b) AND o.sent_at < (SELECT b.day_end FROM bounds b)
      AND CAST(o.sent_at AT TIME ZONE w.time_zone AS date) = CAST(%(day)s AS date)
    GROUP BY o.workspace_id, o.campaign_id, o.campaign_version, o.node_id, o.channel, coalesce(o.variant_group, '')
),

unsent AS (
    SELECT
        e.workspace_id, e.campaign_id, e.campaign_version, coalesce(e.node_id, '') AS node_id,
        coalesce(e.event_data ->> 'channel', split_part(e.event_type, '_', 1)) AS channel,
        coalesce(e.variant_group, '') AS variant_group,
        CASE e.event_type WHEN 'message_skipped' THEN coalesce(e.event_data ->> 'reason', 'unknown') END AS reason,
        count(DISTINCT coalesce(e.message_id, e.id)) AS messages
    FROM campaign_events e
    JOIN workspaces w ON w.id = e.workspace_id
    WHERE e.created_at >= (SELECT b.day_start FROM bounds b) AND e.created_at < (SELECT b.day_end FROM bounds b)
      AND CAST(e.created_at AT TIME ZONE w.time_zone AS date) = CAST(%(day)s AS date)
      AND e.event_source = 'system'
      AND e.event_type = ANY(
          ARRAY['message_skipped', 'email_failed', 'email_bounced', 'sms_failed', 'social_failed', 'webhook_failed']
      )
      AND e.campaign_id IS NOT NULL AND e.campaign_version IS NOT NULL
    GROUP BY
        e.workspace_id, e.campaign_id, e.campaign_version, coalesce(e.node_id, ''), channel,
        coalesce(e.variant_group, ''), reason
),

not_sent AS (
    SELECT
        h.workspace_id, h.campaign_id, h.campaign_version, h.node_id, h.channel, h.variant_group,
        coalesce(sum(h.messages) FILTER (WHERE h.reason IS NULL), 0) AS failed,
        coalesce(jsonb_object_agg(h.reason, h.messages) FILTER (WHERE h.reason IS NOT NULL), '{}') AS skipped
    FROM unsent h
    GROUP BY h.workspace_id, h.campaign_id, h.campaign_version, h.node_id, h.channel, h.variant_group
)

INSERT INTO campaign_daily_metrics (
    metric_date, workspace_id, campaign_id, campaign_version, node_id, channel, variant_group, sent, sent_uncertain,
    delivered, opened, opens_total, machine_opened, clicked, clicks_total, machine_clicked, replied, converted,
    conversion_value, unsubscribed, complained, bounced, failed, skipped
)
SELECT
    CAST(%(day)s AS date),
    coalesce(s.workspace_id, n.workspace_id), coalesce(s.campaign_id, n.campaign_id),
    coalesce(s.campaign_version, n.campaign_version), coalesce(s.node_id, n.node_id), coalesce(s.channel, n.channel),
    coalesce(s.variant_group, n.variant_group), coalesce(s.sent, 0), coalesce(s.sent_uncertain, 0),
    coalesce(s.delivered, 0), coalesce(s.opened, 0), coalesce(s.opens_total, 0), coalesce(s.machine_opened, 0),
    coalesce(s.clicked, 0), coalesce(s.clicks_total, 0), coalesce(s.machine_clicked, 0), coalesce(s.replied, 0),
    coalesce(s.converted, 0), coalesce(s.conversion_value, 0), coalesce(s.unsubscribed, 0), coalesce(s.complained, 0),
    coalesce(s.bounced, 0), coalesce(s.failed, 0) + coalesce(n.failed, 0), coalesce(n.skipped, '{}')
FROM sent s
FULL JOIN not_sent n
    ON n.campaign_id = s.campaign_id AND n.campaign_version = s.campaign_version AND n.node_id = s.node_id
    AND n.channel = s.channel AND n.variant_group = s.variant_group
RETURNING campaign_id, sent;

-- name: metric_day_rows
-- A day's metrics with the names of workspace and campaign, in the order of the key.
SELECT
    m.metric_date, m.workspace_id, w.name AS workspace, w.time_zone, m.campaign_id, c.name AS campaign,
    m.campaign_version, m.node_id, m.channel, m.variant_group, m.sent, m.sent_uncertain, m.delivered, m.opened,
    m.opens_total, m.machine_opened, m.clicked, m.clicks_total, m.machine_clicked, m.replied, m.converted,
    m.conversion_value, m.unsubscribed, m.complained, m.bounced, m.failed, m.skipped
FROM campaign_daily_metrics m
LEFT JOIN workspaces w ON w.id = m.workspace_id
LEFT JOIN drip_campaigns c ON c.id = m.campaign_id
WHERE m.metric_date = CAST(%(day)s AS date)
ORDER BY m.campaign_id, m.campaign_version, m.node_id, m.channel, m.variant_group;

-- name: counted_days
-- The days that have metrics, optionally within a range.
SELECT DISTINCT m.metric_date
FROM campaign_daily_metrics m
WHERE (CAST(%(first_day)s AS date) IS NULL OR m.metric_date >= CAST(%(first_day)s AS date))
  AND (CAST(%(last_day)s AS date) IS NULL OR m.metric_date <= CAST(%(last_day)s AS date))
ORDER BY m.metric_date;

-- name: stale_days
-- Days with metrics that late events have changed, and when each was first marked.
SELECT d.metric_date, min(d.marked_at) AS marked_at
FROM stale_metric_days d
GROUP BY d.metric_date
ORDER BY d.metric_date;

-- name: is_day_archived
-- Whether the log starts later than this day, in any time zone.
SELECT CAST(%(day)s AS date) <= CAST(h.kept_from AT TIME ZONE 'UTC' AS date) AS is_archived
FROM campaign_retention_watermarks h
WHERE h.kind = 'log';

-- name: last_counted_day
-- The last day up to this one that has metrics.
SELECT max(m.metric_date) AS last_day
FROM campaign_daily_metrics m
WHERE m.metric_date <= CAST(%(day)s AS date);

-- name: first_sending_day
-- The day of the first message sent. Reads all outcomes; used only while no day was computed yet.
SELECT min(CAST(o.sent_at AT TIME ZONE w.time_zone AS date)) AS first_day
FROM campaign_message_outcomes o
JOIN workspaces w ON w.id = o.workspace_id;

-- name: latest_date
-- The date in the easternmost time zone of any workspace, null without a workspace.
SELECT max(CAST(CAST(%(now)s AS timestamptz) AT TIME ZONE w.time_zone AS date)) AS latest
FROM (SELECT DISTINCT z.time_zone FROM workspaces z) w;

-- name: campaign_metrics
-- Totals of daily metrics per campaign, optionally by version, by node and channel, by variant, by day.
SELECT
    m.campaign_id, c.name AS campaign,
    CASE WHEN CAST(%(by_version)s AS boolean) THEN m.campaign_version END AS campaign_version,
    CASE WHEN CAST(%(by_node)s AS boolean) THEN m.node_id END AS node_id,
    CASE WHEN CAST(%(by_node)s AS boolean) THEN m.channel END AS channel,
    CASE WHEN CAST(%(by_variant)s AS boolean) THEN m.variant_group END AS variant_group,
    CASE WHEN CAST(%(by_day)s AS boolean) THEN m.metric_date END AS metric_date,
    CAST(sum(m.sent) AS bigint) AS sent, CAST(sum(m.sent_uncertain) AS bigint) AS sent_uncertain,
    CAST(sum(m.delivered) AS bigint) AS delivered, CAST(sum(m.opened) AS bigint) AS opened,
    CAST(sum(m.opens_total) AS bigint) AS opens_total, CAST(sum(m.machine_opened) AS bigint) AS machine_opened,
    CAST(sum(m.clicked) AS bigint) AS clicked, CAST(sum(m.clicks_total) AS bigint) AS clicks_total,
    CAST(sum(m.machine_clicked) AS bigint) AS machine_clicked, CAST(sum(m.replied) AS bigint) AS replied,
    CAST(sum(m.converted) AS bigint) AS converted, sum(m.conversion_value) AS conversion_value,
    CAST(sum(m.unsubscribed) AS bigint) AS unsubscribed, CAST(sum(m.complained) AS bigint) AS complained,
    CAST(sum(m.bounced) AS bigint) AS bounced, CAST(sum(m.failed) AS bigint) AS failed,
    CAST(coalesce(sum(k.skipped), 0) AS bigint) AS skipped
FROM campaign_daily_metrics m
JOIN drip_campaigns c ON c.id = m.campaign_id
CROSS JOIN LATERAL (SELECT sum(r.value::bigint) AS skipped FROM jsonb_each_text(m.skipped) r) k
WHERE (CAST(%(campaign_id)s AS uuid) IS NULL OR m.campaign_id = CAST(%(campaign_id)s AS uuid))
  AND (CAST(%(first_day)s AS date) IS NULL OR m.metric_date >= CAST(%(first_day)s AS date))
  AND (CAST(%(last_day)s AS date) IS NULL OR m.metric_date <= CAST(%(last_day)s AS date))
GROUP BY m.campaign_id, c.name, 3, 4, 5, 6, 7
ORDER BY c.name, m.campaign_id, 7, 3, 4, 5, 6;

-- name: write_campaign_totals
-- Write the totals to the campaigns, next to other keys that applications store there. Skips campaigns with unchanged
-- totals.
WITH totals AS (
    SELECT
        w.campaign_id,
        coalesce(sum(m.sent), 0) AS sent, coalesce(sum(m.delivered), 0) AS delivered,
        coalesce(sum(m.opened), 0) AS opened, coalesce(sum(m.machine_opened), 0) AS machine_opened,
        coalesce(sum(m.clicked), 0) AS clicked, coalesce(sum(m.replied), 0) AS replied,
        coalesce(sum(m.converted), 0) AS converted, coalesce(sum(m.conversion_value), 0) AS conversion_value,
        coalesce(sum(m.unsubscribed), 0) AS unsubscribed, coalesce(sum(m.complained), 0) AS complained,
        coalesce(sum(m.bounced), 0) AS bounced, coalesce(sum(m.failed), 0) AS failed
    FROM unnest(CAST(%(campaign_ids)s AS uuid [])) AS w (campaign_id)
    LEFT JOIN campaign_daily_metrics m ON m.campaign_id = w.campaign_id
    GROUP BY w.campaign_id
),

metrics_of AS (
    SELECT
        t.campaign_id,
        to_jsonb(t) - 'campaign_id' || jsonb_build_object(
            'delivery_rate', round(100.0 * t.delivered / nullif(t.sent, 0), 2),
            'open_rate', round(100.0 * t.opened / nullif(t.sent, 0), 2),
            'click_rate', round(100.0 * t.clicked / nullif(t.sent, 0), 2),
            'reply_rate', round(100.0 * t.replied / nullif(t.sent, 0), 2),
            'conversion_rate', round(100.0 * t.converted / nullif(t.sent, 0), 2)
        ) AS metrics
    FROM totals t
)

UPDATE drip_campaigns c
SET metrics = coalesce(c.metrics, '{}') || s.metrics
FROM metrics_of s
WHERE c.id = s.campaign_id AND c.metrics IS DISTINCT FROM coalesce(c.metrics, '{}') || s.metrics;

-- name: write_step_totals
-- The same for the steps of these campaigns.
WITH totals AS (
    SELECT
        p.id,
        coalesce(sum(m.sent), 0) AS sent, coalesce(sum(m.delivered), 0) AS delivered,
        coalesce(sum(m.opened), 0) AS opened, coalesce(sum(m.machine_opened), 0) AS machine_opened,
        coalesce(sum(m.clicked), 0) AS clicked, coalesce(sum(m.replied), 0) AS replied,
        coalesce(sum(m.converted), 0) AS converted, coalesce(sum(m.conversion_value), 0) AS conversion_value,
        coalesce(sum(m.unsubscribed), 0) AS unsubscribed, coalesce(sum(m.complained), 0) AS complained,
        coalesce(sum(m.bounced), 0) AS bounced, coalesce(sum(m.failed), 0) AS failed
    FROM campaign_steps p
    JOIN campaign_daily_metrics m ON m.campaign_id = p.campaign_id AND m.node_id = p.node_id
    WHERE p.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid []))
    GROUP BY p.id
),

metrics_of AS (
    SELECT
        t.id,
        to_jsonb(t) - 'id' || jsonb_build_object(
            'delivery_rate', round(100.0 * t.delivered / nullif(t.sent, 0), 2),
            'open_rate', round(100.0 * t.opened / nullif(t.sent, 0), 2),
            'click_rate', round(100.0 * t.clicked / nullif(t.sent, 0), 2),
            'reply_rate', round(100.0 * t.replied / nullif(t.sent, 0), 2),
            'conversion_rate', round(100.0 * t.converted / nullif(t.sent, 0), 2)
        ) AS metrics
    FROM totals t
)

UPDATE campaign_steps p
SET metrics = coalesce(p.metrics, '{}') || s.metrics
FROM metrics_of s
WHERE p.id = s.id AND p.metrics IS DISTINCT FROM coalesce(p.metrics, '{}') || s.metrics;

-- name: rebuild_outcomes
-- Correct the outcomes of messages sent on a day (in their workspace's time zone) that differ from the log.
UPDATE campaign_message_outcomes o
SET delivered_at = l.delivered_at,
    first_opened_at = l.first_opened_at,
    first_machine_opened_at = l.first_machine_opened_at,
    open_count = l.open_count,
    first_clicked_at = l.first_clicked_at,
    first_machine_clicked_at = l.first_machine_clicked_at,
    click_count = l.click_count,
    first_replied_at = l.first_replied_at,
    first_converted_at = l.first_converted_at,
    conversion_value = l.conversion_value,
    unsubscribed_at = l.unsubscribed_at,
    complained_at = l.complained_at,
    bounced_at = l.bounced_at,
    failed_at = l.failed_at,
    soft_bounced_at = l.soft_bounced_at
FROM workspace_day_bounds(CAST(%(day)s AS date), CAST(%(day)s AS date)) b
CROSS JOIN LATERAL message_outcomes_that_differ(b.day_start, b.day_end) l
JOIN campaign_message_outcomes m ON m.message_id = l.message_id
JOIN workspaces w ON w.id = m.workspace_id
WHERE o.message_id = l.message_id AND CAST(m.sent_at AT TIME ZONE w.time_zone AS date) = CAST(%(day)s AS date);

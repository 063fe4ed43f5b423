-- name: measured_reactions
-- Counts messages of a workspace and what followed them: by node for one campaign, and by channel (node_id null) for all.
-- Opens and clicks of machines do not count.
SELECT
    m.node_id, m.channel, count(*) AS messages, count(m.bounced_at) AS bounced, count(m.first_opened_at) AS opened,
    count(m.first_clicked_at) AS clicked, count(m.first_replied_at) AS replied,
    count(m.unsubscribed_at) AS unsubscribed, count(m.complained_at) AS complained,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY CAST(extract(EPOCH FROM m.first_opened_at - m.sent_at) AS double precision) / 3600
    ) AS open_hours,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY CAST(extract(EPOCH FROM m.first_clicked_at - m.first_opened_at) AS double precision) / 3600
    ) AS click_hours
FROM (
    SELECT
        o.channel, o.sent_at, o.first_opened_at, o.first_clicked_at, o.first_replied_at, o.unsubscribed_at,
        o.complained_at, CASE WHEN o.soft_bounced_at IS NULL THEN o.bounced_at END AS bounced_at,
        CASE WHEN o.campaign_id = CAST(%(campaign_id)s AS uuid) THEN o.node_id ELSE '' END AS node_id
    FROM campaign_message_outcomes o
    WHERE o.workspace_id = CAST(%(workspace_id)s AS uuid) AND o.channel IN ('email', 'sms')
      AND o.sent_at >= CAST(%(since)s AS timestamptz) AND o.sent_at < CAST(%(until)s AS timestamptz)
) m
GROUP BY GROUPING SETS ((m.node_id, m.channel), (m.channel))
HAVING m.node_id IS DISTINCT FROM ''
ORDER BY m.node_id NULLS FIRST, m.channel;

-- name: simulation_sample
-- A sample of a workspace's contacts that may get email or SMS, the same for the same seed: all of them in the order of a
-- hash, up to a number.
SELECT
    k.id, k.name, k.email, k.company, k.phone, k.job_title, k.ai_score, k.status, k.tags, k.custom_fields,
    k.last_interaction, k.created_at, k.updated_at
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND (k.email <> '' OR k.phone <> '')
  AND NOT EXISTS (
      SELECT
      FROM campaign_suppressions s
      WHERE s.workspace_id = k.workspace_id AND canonical_address(s.address) = canonical_email(k.email)
        AND (s.channel IS NULL OR s.channel = 'email') AND s.campaign_id IS NULL
  )
ORDER BY md5(k.id::text || CAST(%(seed)s AS text)), k.id
LIMIT CAST(%(most)s AS integer);

-- name: sends_of_other_campaigns
-- The mean number of messages that the other campaigns of a workspace sent in each hour of the week (0 is Monday, 00:00
-- UTC) in the last four weeks, by channel.
SELECT
    o.channel,
    CAST(
        (extract(ISODOW FROM o.sent_at AT TIME ZONE 'UTC') - 1) * 24 + extract(HOUR FROM o.sent_at AT TIME ZONE 'UTC')
        AS integer
    ) AS hour_of_week,
    count(*) / 4.0::double precision AS messages
FROM campaign_message_outcomes o
WHERE o.workspace_id = CAST(%(workspace_id)s AS uuid) AND o.campaign_id IS DISTINCT FROM CAST(%(campaign_id)s AS uuid)
  AND o.sent_at >= CAST(%(until)s AS timestamptz) - interval '28 days' AND o.sent_at < CAST(%(until)s AS timestamptz)
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: counted_sends
-- The messages to these contacts since a time that count in frequency caps.
SELECT s.contact_id, s.counted_at, s.channel
FROM contact_sends s
WHERE s.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.counted_at >= CAST(%(since)s AS timestamptz)
  AND NOT EXISTS (
      SELECT FROM campaign_deliveries d WHERE d.id = s.delivery_id AND d.status || '' IN ('skipped', 'failed')
  )
ORDER BY s.counted_at, s.delivery_id;

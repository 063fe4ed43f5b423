-- The outcomes of messages sent within [p_from, p_to), computed from the event log: the same columns that ingestion
-- updates in campaign_message_outcomes. For checks and for rebuilding. Messages with an archived sending event are left
-- out.
CREATE OR REPLACE FUNCTION message_outcomes_in_log(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    message_id uuid,
    delivered_at timestamptz,
    first_opened_at timestamptz,
    first_machine_opened_at timestamptz,
    open_count bigint,
    first_clicked_at timestamptz,
    first_machine_clicked_at timestamptz,
    click_count bigint,
    first_replied_at timestamptz,
    first_converted_at timestamptz,
    conversion_value numeric,
    unsubscribed_at timestamptz,
    complained_at timestamptz,
    bounced_at timestamptz,
    failed_at timestamptz,
    soft_bounced_at timestamptz
)
LANGUAGE sql
STABLE
ROWS 10000
AS $$
    WITH events AS (
        SELECT
            o.message_id, e.event_type, e.created_at,
            e.event_data -> 'machine' IS NOT DISTINCT FROM 'true'::jsonb AS is_machine,
            -- The engine's own failure events are about attempts, not about a sent message.
            e.event_source <> 'system' AS is_from_outside,
            e.event_data,
            -- As written by ingestion; a bounce of any other type is permanent.
            e.event_data ->> 'bounce_type' IN ('soft', 'blocked') AS is_soft
        FROM campaign_message_outcomes o
        LEFT JOIN campaign_events e ON e.enrollment_id = o.enrollment_id AND e.message_id = o.message_id
        WHERE o.sent_at >= p_from AND o.sent_at < p_to
          AND EXISTS (SELECT FROM campaign_events s WHERE s.id = o.message_id AND s.created_at = o.sent_at)
    )
    SELECT
        t.message_id, t.delivered_at, t.first_opened_at, t.first_machine_opened_at, t.open_count, t.first_clicked_at,
        t.first_machine_clicked_at, t.click_count, t.first_replied_at, t.first_converted_at, t.conversion_value,
        t.unsubscribed_at, t.complained_at,
        coalesce(
            t.bounced_at, CASE WHEN t.soft_bounced_at > t.delivered_at OR t.delivered_at IS NULL THEN t.soft_bounced_at END
        ),
        t.failed_at,
        CASE WHEN t.bounced_at IS NULL THEN t.soft_bounced_at END
    FROM (
        SELECT
            e.message_id,
            min(e.created_at) FILTER (WHERE e.event_type IN ('email_delivered', 'sms_delivered')) AS delivered_at,
            min(e.created_at) FILTER (WHERE e.event_type = 'email_opened' AND NOT e.is_machine) AS first_opened_at,
            min(e.created_at) FILTER (WHERE e.event_type = 'email_opened' AND e.is_machine) AS first_machine_opened_at,
            count(*) FILTER (WHERE e.event_type = 'email_opened' AND NOT e.is_machine) AS open_count,
            min(e.created_at) FILTER (WHERE e.event_type = 'email_clicked' AND NOT e.is_machine) AS first_clicked_at,
            min(e.created_at) FILTER (WHERE e.event_type = 'email_clicked' AND e.is_machine) AS first_machine_clicked_at,
            count(*) FILTER (WHERE e.event_type = 'email_clicked' AND NOT e.is_machine) AS click_count,
            min(e.created_at) FILTER (
                WHERE e.event_type IN ('email_replied', 'sms_replied') AND NOT e.is_machine
            ) AS first_replied_at,
            min(e.created_at) FILTER (WHERE e.event_type = 'converted') AS first_converted_at,
            coalesce(
                sum((e.event_data ->> 'value')::numeric(14, 2)) FILTER (WHERE e.event_type = 'converted'), 0
            ) AS conversion_value,
            min(e.created_at) FILTER (
                WHERE e.event_type IN ('email_unsubscribed', 'sms_opted_out', 'topic_unsubscribed')
            ) AS unsubscribed_at,
            min(e.created_at) FILTER (WHERE e.event_type = 'email_complained') AS complained_at,
            min(e.created_at) FILTER (
                WHERE e.event_type = 'email_bounced' AND e.is_from_outside AND e.is_soft IS NOT TRUE
            ) AS bounced_at,
            min(e.created_at) FILTER (
                WHERE e.event_type IN ('email_failed', 'email_suppressed', 'sms_failed', 'social_failed')
                  AND e.is_from_outside
            ) AS failed_at,
            max(e.created_at) FILTER (
                WHERE e.event_type = 'email_bounced' AND e.is_from_outside AND e.is_soft
            ) AS soft_bounced_at
        FROM events e
        GROUP BY e.message_id
    ) t
$$;

-- Those of them that differ from campaign_message_outcomes.
CREATE OR REPLACE FUNCTION message_outcomes_that_differ(p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    message_id uuid,
    delivered_at timestamptz,
    first_opened_at timestamptz,
    first_machine_opened_at timestamptz,
    open_count bigint,
    first_clicked_at timestamptz,
    first_machine_clicked_at timestamptz,
    click_count bigint,
    first_replied_at timestamptz,
    first_converted_at timestamptz,
    conversion_value numeric,
    unsubscribed_at timestamptz,
    complained_at timestamptz,
    bounced_at timestamptz,
    failed_at timestamptz,
    soft_bounced_at timestamptz
)
LANGUAGE sql
STABLE
ROWS 100
AS $$
    SELECT l.*
    FROM message_outcomes_in_log(p_from, p_to) l
    JOIN campaign_message_outcomes o ON o.message_id = l.message_id
    WHERE (
        o.delivered_at, o.first_opened_at, o.first_machine_opened_at, o.open_count::bigint, o.first_clicked_at,
        o.first_machine_clicked_at, o.click_count::bigint, o.first_replied_at, o.first_converted_at,
        o.conversion_value, o.unsubscribed_at, o.complained_at, o.bounced_at, o.failed_at,
        o.soft_bounced_at
    ) IS DISTINCT FROM (
        l.delivered_at, l.first_opened_at, l.first_machine_opened_at, l.open_count, l.first_clicked_at,
        l.first_machine_clicked_at, l.click_count, l.first_replied_at, l.first_converted_at,
        l.conversion_value, l.unsubscribed_at, l.complained_at, l.bounced_at, l.failed_at,
        l.soft_bounced_at
    )
$$;

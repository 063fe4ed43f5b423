-- Of these contacts: those with that many soft bounces of different messages within the time span, without a delivery
-- between the bounces or after them. p_since has a time for each contact, from which on its events are read.
--
-- A message counts as bounced if its bounce is later than its delivery; an open, a click or a reply of a person proves a
-- delivery. A bounce is reported by a provider (email_bounced), or is the last refusal of the engine's own server
-- (email_failed with the bounce_type soft). After a refusal, a message that the server accepts ends the series, too; after a
-- report it does not, because the report about that message may follow.
CREATE OR REPLACE FUNCTION repeatedly_soft_bounced(
    p_contact_ids uuid [], p_since timestamptz [], p_time_span interval, p_threshold integer
)
RETURNS SETOF uuid
LANGUAGE sql
STABLE
AS $$
    WITH since AS MATERIALIZED (
        SELECT s.contact_id, s.since FROM unnest(p_contact_ids, p_since) AS s (contact_id, since)
    ),

    events AS (
        SELECT c.contact_id, coalesce(e.message_id, e.id) AS message_id, e.event_type, e.event_data, e.created_at AS at
        FROM since c
        JOIN campaign_enrollments n ON n.contact_id = c.contact_id
        JOIN campaign_events e ON e.enrollment_id = n.id AND e.created_at >= c.since
        UNION ALL
        SELECT c.contact_id, e.id, e.event_type, e.event_data, e.occurred_at
        FROM since c
        JOIN contact_events e ON e.contact_id = c.contact_id AND e.occurred_at >= c.since
    ),

    messages AS (
        SELECT
            e.contact_id, e.message_id,
            max(e.at) FILTER (WHERE e.event_type IN ('email_bounced', 'email_failed')) AS bounced_at,
            bool_or(e.event_type = 'email_bounced') AS is_reported,
            min(e.at) FILTER (
                WHERE e.event_type IN ('email_delivered', 'email_opened', 'email_clicked', 'email_replied')
            ) AS delivered_at,
            min(e.at) FILTER (WHERE e.event_type = 'email_sent') AS accepted_at
        FROM events e
        WHERE (e.event_type IN ('email_bounced', 'email_failed') AND e.event_data ->> 'bounce_type' = 'soft')
          OR e.event_type = 'email_sent'
          OR (
              e.event_type IN ('email_delivered', 'email_opened', 'email_clicked', 'email_replied')
              AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
          )
        GROUP BY e.contact_id, e.message_id
    ),

    ordered AS (
        SELECT
            m.contact_id, m.is_bounce, m.is_reported, m.at,
            -- What follows: only bounces after the last delivery count.
            count(*) FILTER (WHERE NOT m.is_bounce AND m.is_delivered) OVER w AS later_deliveries,
            count(*) FILTER (WHERE NOT m.is_bounce) OVER w AS later_accepted
        FROM (
            SELECT
                g.contact_id, g.is_reported, g.delivered_at IS NOT NULL AS is_delivered,
                coalesce(g.bounced_at > g.delivered_at, g.bounced_at IS NOT NULL) AS is_bounce,
                coalesce(greatest(g.bounced_at, g.delivered_at), g.accepted_at) AS at
            FROM messages g
        ) m
        WINDOW w AS (PARTITION BY m.contact_id ORDER BY m.at DESC, m.is_bounce DESC)
    )

    SELECT DISTINCT r.contact_id
    FROM (
        SELECT
            o.contact_id,
            count(*) OVER (
                PARTITION BY o.contact_id ORDER BY o.at RANGE BETWEEN p_time_span PRECEDING AND CURRENT ROW
            ) AS bounces
        FROM ordered o
        WHERE o.is_bounce AND o.later_deliveries = 0 AND (o.is_reported OR o.later_accepted = 0)
    ) r
    WHERE r.bounces >= p_threshold
$$;

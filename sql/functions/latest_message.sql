-- The channel of the event types that belong to one message, such as an open; null for other types. A wait or a condition
-- about such an event looks at the latest message of the run in this channel. A test compares it with the vocabulary.
CREATE OR REPLACE FUNCTION message_channel_of(p_event_type text)
RETURNS text
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT CASE
        WHEN p_event_type IN (
            'email_delivered', 'email_opened', 'email_clicked', 'email_replied', 'email_bounced', 'email_unsubscribed',
            'email_complained', 'email_deferred'
        ) THEN 'email'
        WHEN p_event_type IN ('sms_delivered', 'sms_replied', 'sms_opted_out') THEN 'sms'
    END
$$;

-- The message that was sent last to an enrollment in a channel. Of messages sent in the same tick, and therefore at the
-- same time, it is the one whose node was passed last.
CREATE OR REPLACE FUNCTION latest_message(p_enrollment_id uuid, p_channel text)
RETURNS TABLE (message_id uuid, sent_at timestamptz)
LANGUAGE sql
STABLE
ROWS 1
AS $$
    SELECT o.message_id, o.sent_at
    FROM campaign_message_outcomes o
    WHERE o.enrollment_id = p_enrollment_id
      AND o.channel = p_channel
      AND o.sent_at = (
          SELECT max(n.sent_at)
          FROM campaign_message_outcomes n
          WHERE n.enrollment_id = p_enrollment_id AND n.channel = p_channel
      )
    ORDER BY
        (
            SELECT max(p.place)
            FROM campaign_workflow_states s
            CROSS JOIN LATERAL jsonb_array_elements_text(s.execution_path) WITH ORDINALITY AS p (node_id, place)
            WHERE s.id = o.enrollment_id AND p.node_id = o.node_id
        ) DESC NULLS LAST,
        o.message_id
    LIMIT 1
$$;

-- Returns whether an event happened since a time, in the enrollment or at contact level. An event that belongs to a
-- message counts if it is about the latest message, or names none and is later than that. Opens by machines do not count.
CREATE OR REPLACE FUNCTION has_happened_since(
    p_enrollment_id uuid, p_contact_id uuid, p_event_type text, p_since timestamptz
)
RETURNS boolean
LANGUAGE sql
STABLE
AS $$
    WITH latest AS MATERIALIZED (
        SELECT m.message_id, m.sent_at FROM latest_message(p_enrollment_id, message_channel_of(p_event_type)) m
    )

    SELECT EXISTS (
        SELECT FROM campaign_events e
        LEFT JOIN latest m ON true
        WHERE e.enrollment_id = p_enrollment_id
          AND e.event_type = p_event_type
          AND CASE
              WHEN m.message_id IS NOT NULL AND e.message_id IS NOT NULL THEN e.message_id = m.message_id
              ELSE e.created_at >= coalesce(m.sent_at, p_since)
          END
          AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    )
    OR EXISTS (
        SELECT FROM contact_events x
        LEFT JOIN latest m ON true
        WHERE x.contact_id = p_contact_id AND x.event_type = p_event_type
          AND x.occurred_at >= coalesce(m.sent_at, p_since)
          AND x.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    )
$$;

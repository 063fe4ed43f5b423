-- The id of an event as a conversion of a campaign: the same event counts once there, however often it is processed.
CREATE OR REPLACE FUNCTION conversion_id(p_campaign_id uuid, p_event_id uuid)
RETURNS uuid
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT CAST(md5(CAST(p_campaign_id AS text) || chr(31) || CAST(p_event_id AS text)) AS uuid)
$$;

-- What a contact's event is attributed to, in each campaign (or in one) with this goal: the contact's last message sent
-- before it, at most the goal's time ago. Without such a message, the last assignment at a split within that time,
-- because a holdout is sent no message and can convert. The goal is that of the version of the message or assignment.
-- `p_refused` lists versions, as campaign/version, whose goal the event does not reach, and runs, as
-- campaign/version/enrollment; null for none.
CREATE OR REPLACE FUNCTION conversion_touches(
    p_contact_id uuid, p_event_type text, p_occurred_at timestamptz, p_campaign_id uuid, p_refused text []
)
RETURNS TABLE (
    workspace_id uuid,
    campaign_id uuid,
    campaign_version integer,
    enrollment_id uuid,
    node_id text,
    step_id uuid,
    message_id uuid,
    variant_group text
)
LANGUAGE sql
STABLE
ROWS 1
AS $$
    SELECT DISTINCT ON (t.campaign_id)
        t.workspace_id, t.campaign_id, t.campaign_version, t.enrollment_id, t.node_id, t.step_id, t.message_id,
        t.variant_group
    FROM campaign_enrollments e
    CROSS JOIN LATERAL (
        SELECT
            o.workspace_id, o.campaign_id, o.campaign_version, o.enrollment_id, o.node_id, o.step_id, o.message_id,
            o.variant_group, o.sent_at AS touched_at
        FROM campaign_message_outcomes o
        JOIN campaign_versions v ON v.campaign_id = o.campaign_id AND v.version = o.campaign_version
        WHERE o.enrollment_id = e.id AND o.channel IN ('email', 'sms') AND v.goal_event_type = p_event_type
          AND o.sent_at <= p_occurred_at AND o.sent_at >= p_occurred_at - v.goal_within
          AND (
              p_refused IS NULL
              OR NOT ARRAY[v.campaign_id || '/' || v.version, v.campaign_id || '/' || v.version || '/' || e.id] && p_refused
          )
        UNION ALL
        SELECT
            s.workspace_id, s.campaign_id, s.campaign_version, s.enrollment_id, s.split_node_id, NULL, NULL,
            s.variant_group, s.assigned_at
        FROM campaign_split_assignments s
        JOIN campaign_versions v ON v.campaign_id = s.campaign_id AND v.version = s.campaign_version
        WHERE s.enrollment_id = e.id AND v.goal_event_type = p_event_type
          AND s.assigned_at <= p_occurred_at AND s.assigned_at >= p_occurred_at - v.goal_within
          AND (
              p_refused IS NULL
              OR NOT ARRAY[v.campaign_id || '/' || v.version, v.campaign_id || '/' || v.version || '/' || e.id] && p_refused
          )
    ) t
    WHERE e.contact_id = p_contact_id AND (p_campaign_id IS NULL OR e.campaign_id = p_campaign_id)
    ORDER BY
        t.campaign_id, t.message_id IS NULL, t.touched_at DESC, t.message_id, t.enrollment_id, t.node_id
$$;

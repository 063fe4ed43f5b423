-- Returns the states inside these versions of a campaign, including failed ones, with their situation at the node. A
-- pending message was surely not sent, unless its transport retries deliveries with an unknown outcome. A state that is to
-- enter a node and has an open message waits for a message of an earlier node.
CREATE OR REPLACE FUNCTION people_in_flight(p_campaign_id uuid, p_versions integer [])
RETURNS TABLE (
    state_id uuid,
    contact_id uuid,
    version integer,
    node_id text,
    status text,
    enrollment_status text,
    situation text,
    delivery_id uuid,
    delivery_status text,
    delivery_attempts integer,
    came_at timestamptz,
    looks_back_to timestamptz
)
LANGUAGE sql
STABLE
ROWS 10000
AS $$
    SELECT
        s.id, s.contact_id, s.campaign_version, coalesce(s.current_node_id, ''), s.workflow_status, e.status,
        CASE
            WHEN s.resume_port IS NULL AND d.status IN ('pending', 'sending', 'unknown', 'failed')
                THEN 'message_before'
            WHEN d.status = 'failed' THEN 'message_failed'
            WHEN d.status = 'pending' AND (d.attempts = 0 OR f.on_unknown IS DISTINCT FROM 'retry')
                THEN 'message_pending'
            WHEN d.status IN ('pending', 'sending', 'unknown') THEN 'message_out'
            WHEN s.resume_port IS NULL THEN 'to_enter'
            WHEN s.wait_until IS NOT NULL THEN 'waiting'
            ELSE 'leaving'
        END,
        d.id, d.status, d.attempts,
        coalesce(s.node_entered_at, s.started_at),
        coalesce(s.last_message_at, s.node_entered_at, s.started_at)
    FROM campaign_workflow_states s
    JOIN campaign_enrollments e ON e.id = s.id
    LEFT JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
    LEFT JOIN channel_flow f ON f.transport = d.transport
    WHERE s.campaign_id = p_campaign_id
      AND s.campaign_version = ANY(p_versions)
      AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
$$;

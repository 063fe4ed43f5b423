-- Claims due states: running or waiting, next_execution_at <= p_now, campaign active. The rows stay locked until the
-- caller's transaction ends. The engine advances them in the same transaction and needs no lease.
--
-- Each campaign with due work gets an equal part of the batch, so that a million due states of one campaign do not delay
-- the others; a paused campaign is never scanned. If more campaigns are due than the batch has rows, those with the oldest
-- due states are served first. Without MATERIALIZED the planner pulls the lock above the limit and locks rows that it then
-- discards.
--
-- States of enrollments that an application paused or unsubscribed are returned with that status: the engine suspends or
-- ends them, so that they do not stay at the head of the queue. States without a version belong to a campaign that is not
-- published yet.
--
-- With p_from_watermarks each campaign is read from its claim watermark on (campaign_claim_watermarks). Moved rows leave
-- dead index entries before that point, and as long as an old snapshot is open (a long report, pg_dump, a stuck
-- transaction) each claim would read all of them: 3.7 s instead of 0.17 s after 300,000 steps. A watermark is valid for
-- five minutes of the engine's time; the next full claim replaces it. Shards ignore watermarks, since each shard reaches
-- another point. The second scan starts at the oldest due time found by the first, so dead index entries before it are
-- read only once.
--
-- Shards are disjoint: a hash of its id assigns a state to a shard. The hash is reduced to 31 bits, since abs() of the
-- smallest integer is an error.
CREATE OR REPLACE FUNCTION claim_due_states(
    p_batch_size integer, p_now timestamptz, p_shard integer DEFAULT 0, p_shards integer DEFAULT 1,
    p_from_watermarks boolean DEFAULT false
)
RETURNS TABLE (
    id uuid,
    campaign_id uuid,
    campaign_version integer,
    contact_id uuid,
    current_node_id text,
    resume_port text,
    retry_count integer,
    max_retries integer,
    steps_taken integer,
    enrollment_status text,
    next_execution_at timestamptz
)
LANGUAGE sql
ROWS 10000
AS $$
    WITH due AS MATERIALIZED (
        SELECT c.id, oldest.next_execution_at AS due_from
        FROM drip_campaigns c
        LEFT JOIN campaign_claim_watermarks m
            ON p_from_watermarks AND p_shards = 1 AND m.campaign_id = c.id
            AND m.valid_since <= p_now AND m.valid_since > p_now - interval '5 minutes'
        CROSS JOIN LATERAL (SELECT coalesce(m.due_from, '-infinity') AS due_from) f
        CROSS JOIN LATERAL (
            SELECT s.next_execution_at
            FROM campaign_workflow_states s
            WHERE s.campaign_id = c.id
              AND s.workflow_status IN ('running', 'waiting')
              AND s.next_execution_at <= p_now
              AND s.next_execution_at >= f.due_from
            ORDER BY s.next_execution_at
            LIMIT 1
        ) oldest
        WHERE c.status = 'active' AND c.published_version IS NOT NULL
        ORDER BY oldest.next_execution_at, c.id
        LIMIT p_batch_size
    ),
    picked AS MATERIALIZED (
        SELECT s.*
        FROM due d
        CROSS JOIN LATERAL (
            SELECT
                w.id, w.campaign_id, w.campaign_version, w.contact_id, w.current_node_id, w.resume_port,
                w.retry_count, w.max_retries, w.steps_taken, w.next_execution_at
            FROM campaign_workflow_states w
            WHERE w.campaign_id = d.id
              AND w.workflow_status IN ('running', 'waiting')
              AND w.next_execution_at <= p_now
              AND w.next_execution_at >= d.due_from
              AND w.campaign_version IS NOT NULL
              AND (p_shards = 1 OR (hashtext(w.id::text) & 2147483647) % p_shards = p_shard)
            ORDER BY w.next_execution_at
            LIMIT p_batch_size / greatest(1, (SELECT count(*) FROM due))
            FOR UPDATE SKIP LOCKED
        ) s
    )
    SELECT
        p.id, p.campaign_id, p.campaign_version, p.contact_id, p.current_node_id, p.resume_port, p.retry_count,
        p.max_retries, p.steps_taken, e.status, p.next_execution_at
    FROM picked p
    JOIN campaign_enrollments e ON e.id = p.id
$$;

-- The specification's claim: due states of active campaigns and active enrollments, oldest first, locked until the
-- caller's transaction ends.
CREATE OR REPLACE FUNCTION get_next_workflow_executions(batch_size integer DEFAULT 100, p_now timestamptz DEFAULT now())
RETURNS SETOF campaign_workflow_states
LANGUAGE sql
ROWS 1000
AS $$
    SELECT s.*
    FROM campaign_workflow_states s
    JOIN drip_campaigns c ON c.id = s.campaign_id
    JOIN campaign_enrollments e ON e.id = s.id
    WHERE s.workflow_status IN ('running', 'waiting')
      AND s.next_execution_at <= p_now
      AND c.status = 'active'
      AND e.status = 'active'
    ORDER BY s.next_execution_at, s.id
    LIMIT batch_size
    FOR UPDATE OF s SKIP LOCKED
$$;

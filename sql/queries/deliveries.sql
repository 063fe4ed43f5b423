-- name: due_groups
-- Nodes of versions of active campaigns with due deliveries. A loose index scan steps from group to group, so a backlog
-- of millions costs no more than one row. `due` is counted up to a limit.
WITH RECURSIVE groups AS (
    SELECT c.id AS campaign_id, p.node_id, p.campaign_version
    FROM drip_campaigns c
    CROSS JOIN LATERAL (
        SELECT d.node_id, d.campaign_version
        FROM campaign_deliveries d
        WHERE d.campaign_id = c.id AND d.status = 'pending'
        ORDER BY d.node_id, d.campaign_version
        LIMIT 1
    ) p
    WHERE c.status = 'active'
    UNION ALL
    SELECT g.campaign_id, p.node_id, p.campaign_version
    FROM groups g
    CROSS JOIN LATERAL (
        SELECT d.node_id, d.campaign_version
        FROM campaign_deliveries d
        WHERE d.campaign_id = g.campaign_id AND d.status = 'pending'
          AND (d.node_id, d.campaign_version) > (g.node_id, g.campaign_version)
        ORDER BY d.node_id, d.campaign_version
        LIMIT 1
    ) p
)

SELECT g.campaign_id, g.campaign_version, g.node_id, f.workspace_id, f.channel, n.due
FROM groups g
CROSS JOIN LATERAL (
    SELECT d.workspace_id, d.channel
    FROM campaign_deliveries d
    WHERE d.campaign_id = g.campaign_id AND d.node_id = g.node_id AND d.campaign_version = g.campaign_version
      AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
    ORDER BY d.due_at
    LIMIT 1
) f
CROSS JOIN LATERAL (
    SELECT count(*) AS due
    FROM (
        SELECT
        FROM campaign_deliveries d
        WHERE d.campaign_id = g.campaign_id AND d.node_id = g.node_id AND d.campaign_version = g.campaign_version
          AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
        LIMIT CAST(%(count_limit)s AS integer)
    ) x
) n
WHERE CAST(%(channel)s AS text) IS NULL OR f.channel = CAST(%(channel)s AS text)
ORDER BY g.campaign_id, g.node_id, g.campaign_version;

-- name: lease_deliveries
-- Locks due deliveries of these groups up to each quota, and checks in the same statement whether they may be sent
-- (`blocked_reason`). The rows stay locked until the transaction ends; `mark_sending` turns the locks into a lease that
-- outlives it. Deliveries of a paused enrollment are postponed by the caller.
WITH quotas AS MATERIALIZED (
    SELECT q.*
    FROM unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text []),
        CAST(%(quotas)s AS integer []), CAST(%(blocked_reasons)s AS text []),
        CAST(%(needs_consent)s AS boolean [])
    ) AS q (campaign_id, campaign_version, node_id, quota, blocked_reason, needs_consent)
    JOIN drip_campaigns c ON c.id = q.campaign_id AND c.status = 'active'
),

picked AS MATERIALIZED (
    SELECT p.*, q.blocked_reason, q.needs_consent
    FROM quotas q
    CROSS JOIN LATERAL (
        SELECT
            d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id,
            d.step_id, d.attempts, d.due_at
        FROM campaign_deliveries d
        WHERE d.campaign_id = q.campaign_id AND d.node_id = q.node_id AND d.campaign_version = q.campaign_version
          AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
          AND d.channel = CAST(%(channel)s AS text)
        ORDER BY d.due_at
        LIMIT q.quota
        FOR UPDATE SKIP LOCKED
    ) p
    -- The sum of the quotas. It cuts nothing off, but tells the planner how few rows these are: without it, leasing a
    -- dozen read all contacts and all enrollments.
    LIMIT CAST(%(most)s AS integer)
)

SELECT
    p.id, p.workspace_id, p.campaign_id, p.campaign_version, p.enrollment_id, p.contact_id, p.node_id, p.step_id,
    p.attempts, p.due_at,
    CASE
        WHEN k.id IS NULL OR e.id IS NULL THEN 'removed'
        WHEN e.status = 'unsubscribed' THEN 'unsubscribed'
        WHEN e.status = 'bounced' THEN 'bounced'
        WHEN e.status = 'completed' THEN coalesce(
            (SELECT s.exit_reason FROM campaign_workflow_states s WHERE s.id = e.id), 'removed'
        )
        WHEN e.status = 'paused' THEN 'paused'
        WHEN b.reason IS NOT NULL THEN substr(b.reason, 3)
        WHEN p.blocked_reason IS NOT NULL THEN p.blocked_reason
        WHEN CAST(%(channel)s AS text) = 'email' AND coalesce(k.email, '') = '' THEN 'no_address'
        WHEN CAST(%(channel)s AS text) = 'sms' AND coalesce(k.phone, '') = '' THEN 'no_address'
        WHEN lower(k.custom_fields ->> ('consent_' || CAST(%(channel)s AS text))) IN ('false', 'no', '0')
            THEN 'no_consent'
        WHEN p.needs_consent
            AND coalesce(
                lower(k.custom_fields ->> ('consent_' || CAST(%(channel)s AS text))) NOT IN ('true', 'yes', '1'), true
            )
            THEN 'no_consent'
    END AS blocked_reason,
    -- One value for all rows, computed once: tells an engine whose rules are of half a minute ago that these have changed.
    (
        SELECT sum(hashtext(r.name || CAST(r.config AS text)))
        FROM workspace_rules r
        WHERE r.workspace_id = ANY(CAST(%(workspace_ids)s AS uuid [])) AND r.kind = 'cap'
    ) AS caps,
    -- Columns that no message reads are not sent to the client.
    CASE
        WHEN 'personalization_data' = ANY(n.names) AND jsonb_typeof(e.personalization_data) = 'object'
            THEN nullif(e.personalization_data, '{}')
    END AS personalization_data,
    CASE
        WHEN 'workflow_variables' = ANY(n.names)
            THEN (
                SELECT nullif(s.workflow_variables, '{}')
                FROM campaign_workflow_states s
                WHERE s.id = p.enrollment_id AND jsonb_typeof(s.workflow_variables) = 'object'
            )
    END AS workflow_variables,
    CASE WHEN 'name' = ANY(n.names) THEN k.name END AS name,
    CASE WHEN 'email' = ANY(n.names) THEN k.email END AS email,
    CASE WHEN 'company' = ANY(n.names) THEN k.company END AS company,
    CASE WHEN 'phone' = ANY(n.names) THEN k.phone END AS phone,
    CASE WHEN 'job_title' = ANY(n.names) THEN k.job_title END AS job_title,
    CASE WHEN 'ai_score' = ANY(n.names) THEN k.ai_score END AS ai_score,
    CASE WHEN 'status' = ANY(n.names) THEN k.status END AS status,
    CASE WHEN 'tags' = ANY(n.names) THEN k.tags END AS tags,
    CASE WHEN 'custom_fields' = ANY(n.names) THEN k.custom_fields END AS custom_fields,
    CASE WHEN 'last_interaction' = ANY(n.names) THEN k.last_interaction END AS last_interaction,
    CASE WHEN 'created_at' = ANY(n.names) THEN k.created_at END AS created_at,
    CASE WHEN 'updated_at' = ANY(n.names) THEN k.updated_at END AS updated_at
FROM picked p
CROSS JOIN (SELECT CAST(%(columns)s AS text []) AS names) n
LEFT JOIN contacts k ON k.id = p.contact_id
LEFT JOIN campaign_enrollments e ON e.id = p.enrollment_id
CROSS JOIN LATERAL (
    -- Suppressions that apply: by either address, for this channel or all, for this campaign or all. A person's own no
    -- also applies to an address that the contact gets later; a bounce or an entry of a list is about the address. A
    -- suppression for all channels or for email ends the run (an unsubscription takes precedence); one for another
    -- channel only skips its messages. Looked up per delivery in the indexes: as a set of its own, joined afterwards,
    -- the planner took it for one row and compared it with every delivery (10,000 suppressed: 5 s).
    SELECT
        min(
            CASE
                WHEN x.channel IS NOT NULL AND x.channel <> 'email' THEN CASE x.reason
                    WHEN 'bounced' THEN 'c:unreachable' WHEN 'soft_bounced' THEN 'c:unreachable' WHEN 'manual' THEN 'c:suppressed' ELSE 'c:opted_out'
                END
                WHEN x.reason = 'unsubscribed' THEN 'a:unsubscribed'
                ELSE 'b:' || x.reason
            END
        ) AS reason
    FROM (
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        WHERE s.workspace_id = p.workspace_id AND canonical_address(s.address) = canonical_email(k.email)
        UNION ALL
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        WHERE s.workspace_id = p.workspace_id AND canonical_address(s.address) = canonical_phone(k.phone)
        UNION ALL
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        -- No filter on the workspace: with one, the planner read all of the workspace's rows.
        WHERE s.contact_id = k.id AND s.reason IN ('unsubscribed', 'complained')
    ) x
    WHERE (x.channel IS NULL OR x.channel = CAST(%(channel)s AS text))
      AND (x.campaign_id IS NULL OR x.campaign_id = p.campaign_id)
) b;

-- name: mark_sending
-- Marks deliveries as being sent, in small groups just before they are handed over, and returns their ids: if the process
-- dies from here on, their outcome is unknown. A run that ended since the lease, for example at its goal, no longer waits
-- for its message: it is left out. Webhook calls get an event per attempt.
-- Here and below, where deliveries or states are looked up by id, `|| ''` keeps the planner off the partial indexes by
-- status: with statistics from before a campaign began it takes those for empty, and reads everything due for each
-- dozen that is sent (20,000 mails: 13 ms instead of 1 ms for each dozen, and more with more).
WITH marked AS (
    UPDATE campaign_deliveries d
    SET status = 'sending', due_at = NULL, leased_until = CAST(%(leased_until)s AS timestamptz),
        lease_token = CAST(%(lease_token)s AS uuid), attempts = d.attempts + 1, transport = CAST(%(transport)s AS text),
        channel_id = CAST(%(channel_id)s AS uuid)
    FROM campaign_workflow_states s
    WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' = 'pending'
      AND s.id = d.enrollment_id AND s.pending_delivery_id = d.id
      AND s.workflow_status || '' IN ('running', 'waiting', 'paused')
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.channel, d.variant_group, d.attempts
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        m.campaign_id, m.enrollment_id, m.contact_id, 'webhook_triggered', 'system', m.step_id, m.node_id,
        jsonb_build_object('attempt', m.attempts), CAST(%(now)s AS timestamptz), m.workspace_id, m.campaign_version,
        m.variant_group, m.id
    FROM marked m
    WHERE m.channel = 'webhook'
)

SELECT id FROM marked;

-- name: reasons_left_out
-- Why leased deliveries were not marked: the reasons for which their runs ended.
SELECT
    d.id,
    CASE WHEN s.workflow_status IN ('running', 'waiting', 'paused') THEN 'superseded' ELSE coalesce(s.exit_reason, 'removed') END AS reason
FROM campaign_deliveries d
LEFT JOIN campaign_workflow_states s ON s.id = d.enrollment_id
WHERE d.id = ANY(CAST(%(ids)s AS uuid []));

-- name: lock_unsent_messages
-- Locks the unsent messages that these runs wait for. Those that another transaction has locked are left out: it may be
-- about to settle them, and wait for the states that the caller has locked.
SELECT d.id, d.channel, d.attempts
FROM campaign_workflow_states s
JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
WHERE s.id = ANY(CAST(%(enrollment_ids)s AS uuid [])) AND d.status || '' = 'pending'
ORDER BY d.id
FOR UPDATE OF d SKIP LOCKED;

-- name: postpone_deliveries
-- Postpones pending deliveries of paused enrollments, so that they do not block the head of the queue.
UPDATE campaign_deliveries d
SET due_at = CAST(%(due_at)s AS timestamptz)
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' = 'pending';

-- name: lock_states_of_deliveries
-- Locks the states that wait for these deliveries; states of ended enrollments are left out. The campaign's status
-- decides whether they may advance.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
    s.max_retries, s.steps_taken, e.status AS enrollment_status, s.pending_delivery_id AS delivery_id,
    c.status AS campaign_status
FROM unnest(CAST(%(delivery_ids)s AS uuid []), CAST(%(enrollment_ids)s AS uuid [])) AS d (delivery_id, enrollment_id)
JOIN campaign_workflow_states s ON s.id = d.enrollment_id AND s.pending_delivery_id = d.delivery_id
JOIN campaign_enrollments e ON e.id = s.id
JOIN drip_campaigns c ON c.id = s.campaign_id
WHERE s.workflow_status || '' IN ('running', 'waiting')  -- by id, not by the index of due states
ORDER BY s.id
FOR UPDATE OF s;

-- name: settle_sent
-- Settles accepted deliveries as sent. The event has the delivery's own id, so it can be logged only once, and the
-- message gets an outcome row. A shared post is no message to a contact: it gets events and no outcome rows.
-- `commit_transitions` stores the time of the last email. Returns each delivery that was not settled before with the
-- state that waits for it, locked, in the columns of `lock_states_of_deliveries`. Deliveries whose run ended or moved
-- on meanwhile have nulls in place of a state.
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = 'sent', due_at = NULL, leased_until = NULL, lease_token = NULL, last_error = NULL, error_code = NULL,
        settled_at = CAST(%(now)s AS timestamptz), provider_message_id = r.provider_message_id,
        attempts = CASE d.status WHEN 'pending' THEN d.attempts + 1 ELSE d.attempts END,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM (
        -- In the order of an index that is written, so that each of its pages is visited once. Saves a twentieth of a
        -- drip's time with 150,000 enrollments.
        SELECT *
        FROM unnest(
            CAST(%(ids)s AS uuid []), CAST(%(provider_ids)s AS text []), CAST(%(details)s AS text [])
        ) AS u (id, provider_message_id, details)
        ORDER BY u.id
    ) r
    WHERE d.id = r.id AND d.status || '' IN ('pending', 'sending', 'unknown')
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.channel, d.split_node_id, d.variant_group, d.transport, r.details
),

logged AS (
    INSERT INTO campaign_events (
        id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        t.id, t.campaign_id, t.enrollment_id, t.contact_id, CAST(%(event_type)s AS text), 'system', t.step_id,
        t.node_id,
        CASE CAST(%(certainty)s AS text)
            WHEN 'unknown' THEN coalesce(CAST(t.details AS jsonb), '{}') || '{"certainty": "unknown"}'
            ELSE coalesce(CAST(t.details AS jsonb), '{}')
        END,
        CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.variant_group, t.id
    FROM settled t
),

triggered AS (
    -- A recorded webhook was never marked as being sent; its log gets the same event here.
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        t.campaign_id, t.enrollment_id, t.contact_id, 'webhook_triggered', 'system', t.step_id, t.node_id,
        '{"attempt": 1}', CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.variant_group, t.id
    FROM settled t
    WHERE t.channel = 'webhook' AND t.transport IS NULL
),

counted AS (
    INSERT INTO campaign_message_outcomes (
        message_id, workspace_id, campaign_id, campaign_version, enrollment_id, contact_id, node_id, step_id, channel,
        split_node_id, variant_group, certainty, sent_at
    )
    SELECT
        t.id, t.workspace_id, t.campaign_id, t.campaign_version, t.enrollment_id, t.contact_id, t.node_id, t.step_id,
        t.channel, t.split_node_id, t.variant_group, CAST(%(certainty)s AS text), CAST(%(now)s AS timestamptz)
    FROM settled t
    WHERE t.channel <> 'social'
    -- A delivery that an operator made due again has its outcome row already.
    ON CONFLICT (message_id) DO NOTHING
),

parked AS MATERIALIZED (
    -- Starts from the settled rows: deliveries are locked before states, as everywhere.
    SELECT
        s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
        s.max_retries, s.steps_taken, e.status AS enrollment_status, s.pending_delivery_id, c.status AS campaign_status
    FROM settled t
    JOIN campaign_workflow_states s ON s.id = t.enrollment_id AND s.pending_delivery_id = t.id
    JOIN campaign_enrollments e ON e.id = s.id
    JOIN drip_campaigns c ON c.id = s.campaign_id
    WHERE s.workflow_status || '' IN ('running', 'waiting')
    ORDER BY s.id
    FOR UPDATE OF s
)

SELECT
    p.id, p.campaign_id, p.campaign_version, p.contact_id, p.current_node_id, p.resume_port, p.retry_count,
    p.max_retries, p.steps_taken, p.enrollment_status, p.pending_delivery_id AS delivery_id, p.campaign_status
FROM parked p
UNION ALL
-- Not a join: a generic plan, made without knowing the row counts, compared each row with each (10,000 deliveries: 6 s,
-- from the eleventh batch of a connection on).
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, o.id, NULL
FROM (SELECT t.id FROM settled t EXCEPT SELECT p.pending_delivery_id FROM parked p) o;

-- name: record_last_email
-- Stores the time of the last email of enrollments that do not advance with the message.
UPDATE campaign_enrollments e
SET last_email_sent_at = CAST(%(now)s AS timestamptz), current_step = coalesce(e.current_step, 0) + 1,
    updated_at = CAST(%(now)s AS timestamptz)
WHERE e.id = ANY(CAST(%(enrollment_ids)s AS uuid []));

-- name: settle_not_sent
-- Settles deliveries that will not be sent, with the reason: not eligible (skipped) or permanently refused (failed). A
-- result of an earlier attempt does not settle the attempt that is in progress.
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = r.status, due_at = NULL, leased_until = NULL, lease_token = NULL,
        settled_at = CAST(%(now)s AS timestamptz), error_code = r.error_code, last_error = r.error,
        attempts = CASE WHEN d.status = 'pending' AND r.status = 'failed' THEN d.attempts + 1 ELSE d.attempts END,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM unnest(
        CAST(%(id)s AS uuid []), CAST(%(status)s AS text []), CAST(%(error_code)s AS text []),
        CAST(%(error)s AS text []), CAST(%(event_type)s AS text []), CAST(%(attempt)s AS integer []),
        CAST(%(details)s AS text [])
    ) AS r (id, status, error_code, error, event_type, attempt, details)
    WHERE d.id = r.id
      AND (
          d.status || '' = 'pending'
          OR (d.status || '' IN ('sending', 'unknown') AND d.attempts = coalesce(r.attempt, d.attempts))
      )
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.variant_group, d.error_code, d.last_error, r.event_type, r.details
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        t.campaign_id, t.enrollment_id, t.contact_id, t.event_type, 'system', t.step_id, t.node_id,
        coalesce(CAST(t.details AS jsonb), '{}') || jsonb_strip_nulls(
            jsonb_build_object('reason', t.error_code, 'error', t.last_error, 'channel', CAST(%(channel)s AS text))
        ),
        CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.variant_group, t.id
    FROM settled t
),

-- Daily metrics also count skipped and failed deliveries.
marked AS (
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT w.id, CAST(CAST(%(now)s AS timestamptz) AT TIME ZONE w.time_zone AS date)
    FROM workspaces w
    WHERE w.id IN (SELECT t.workspace_id FROM settled t)
)

SELECT id FROM settled;

-- name: reschedule_deliveries
-- Makes deliveries due again after a temporary failure, with the provider's error and a retry event.
WITH later AS (
    UPDATE campaign_deliveries d
    SET status = 'pending', due_at = r.due_at, leased_until = NULL, lease_token = NULL, error_code = r.error_code,
        last_error = r.error, attempts = CASE d.status WHEN 'pending' THEN d.attempts + 1 ELSE d.attempts END
    FROM unnest(
        CAST(%(id)s AS uuid []), CAST(%(due_at)s AS timestamptz []), CAST(%(error_code)s AS text []),
        CAST(%(error)s AS text []), CAST(%(attempt)s AS integer []), CAST(%(details)s AS text [])
    ) AS r (id, due_at, error_code, error, attempt, details)
    WHERE d.id = r.id
      AND (
          d.status || '' = 'pending'
          OR (d.status || '' IN ('sending', 'unknown') AND d.attempts = coalesce(r.attempt, d.attempts))
      )
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.error_code, d.last_error, d.attempts, d.due_at, r.details
)

INSERT INTO campaign_events (
    campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
    workspace_id, campaign_version, message_id
)
SELECT
    t.campaign_id, t.enrollment_id, t.contact_id, 'retry_scheduled', 'system', t.step_id, t.node_id,
    coalesce(CAST(t.details AS jsonb), '{}') || jsonb_strip_nulls(
        jsonb_build_object('reason', t.error_code, 'error', t.last_error, 'attempt', t.attempts, 'due_at', t.due_at)
    ),
    CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.id
FROM later t;

-- name: mark_unknown
-- Marks deliveries that were handed over without an answer. Without a grace time they wait for a provider event or an
-- operator.
UPDATE campaign_deliveries d
SET status = 'unknown', lease_token = NULL, last_error = r.error, error_code = r.error_code,
    leased_until = CAST(%(grace_until)s AS timestamptz)
FROM unnest(
    CAST(%(id)s AS uuid []), CAST(%(error_code)s AS text []), CAST(%(error)s AS text []),
    CAST(%(attempt)s AS integer [])
) AS r (id, error_code, error, attempt)
WHERE d.id = r.id AND d.status || '' IN ('sending', 'unknown') AND d.attempts = coalesce(r.attempt, d.attempts);

-- name: expired_leases
-- Deliveries whose sender stopped between handing over and settling, with their contacts.
SELECT d.id, d.contact_id
FROM campaign_deliveries d
WHERE d.status = 'sending' AND d.leased_until <= CAST(%(now)s AS timestamptz)
ORDER BY d.id;

-- name: recover_expired_leases
-- Releases deliveries whose sender stopped between handing over and settling. Where the transport recognizes repeated
-- messages they are due again; elsewhere their outcome is unknown, and the grace time runs from the end of the lease.
-- With `ids`, only these.
WITH expired AS (
    SELECT d.id, coalesce(f.on_unknown, 'assume_sent') AS on_unknown
    FROM campaign_deliveries d
    LEFT JOIN channel_flow f ON f.transport = d.transport
    WHERE d.status = 'sending' AND d.leased_until <= CAST(%(now)s AS timestamptz)
      AND (CAST(%(ids)s AS uuid []) IS NULL OR d.id = ANY(CAST(%(ids)s AS uuid [])))
    FOR UPDATE OF d SKIP LOCKED
),

recovered AS (
    UPDATE campaign_deliveries d
    SET status = CASE x.on_unknown WHEN 'retry' THEN 'pending' ELSE 'unknown' END,
        due_at = CASE x.on_unknown WHEN 'retry' THEN CAST(%(now)s AS timestamptz) END,
        leased_until = CASE x.on_unknown
            WHEN 'assume_sent'
                THEN d.leased_until + make_interval(secs => CAST(%(grace_seconds)s AS double precision))
        END,
        lease_token = NULL, error_code = 'outcome_unknown', last_error = 'the sender stopped before settling'
    FROM expired x
    WHERE d.id = x.id
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.status, d.attempts, d.error_code, d.last_error
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, message_id
    )
    SELECT
        t.campaign_id, t.enrollment_id, t.contact_id, 'retry_scheduled', 'system', t.step_id, t.node_id,
        jsonb_build_object('reason', t.error_code, 'error', t.last_error, 'attempt', t.attempts),
        CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.id
    FROM recovered t
    WHERE t.status = 'pending'
)

SELECT
    count(*) FILTER (WHERE t.status = 'unknown') AS unknown, count(*) FILTER (WHERE t.status = 'pending') AS retried
FROM recovered t;

-- name: deliveries_past_grace
-- Locks deliveries whose outcome is still unknown after the grace time.
SELECT d.id, d.enrollment_id, d.channel
FROM campaign_deliveries d
WHERE d.status = 'unknown' AND d.leased_until <= CAST(%(now)s AS timestamptz)
ORDER BY d.leased_until
LIMIT CAST(%(batch_size)s AS integer)
FOR UPDATE SKIP LOCKED;

-- name: suppress_contacts
-- Puts contacts on the suppression list once; an existing entry keeps its reason. `numbers` are the phone numbers in
-- E.164 form, for the channel sms.
INSERT INTO campaign_suppressions (
    workspace_id, contact_id, address, channel, campaign_id, reason, source, created_at
)
SELECT
    k.workspace_id, k.id, CASE CAST(%(channel)s AS text) WHEN 'sms' THEN r.number ELSE k.email END,
    CAST(%(channel)s AS text), NULL, r.reason, CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(contact_ids)s AS uuid []), CAST(%(reasons)s AS text []), CAST(%(numbers)s AS text [])
) AS r (contact_id, reason, number)
JOIN contacts k ON k.id = r.contact_id
WHERE coalesce(CASE CAST(%(channel)s AS text) WHEN 'sms' THEN r.number ELSE k.email END, '') <> ''
ON CONFLICT DO NOTHING;

-- name: phones_of_contacts
-- The phone numbers of contacts as written, with the country of those without a country code.
SELECT k.id, k.phone, w.default_region AS region
FROM contacts k
JOIN workspaces w ON w.id = k.workspace_id
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid [])) AND k.phone IS NOT NULL;

-- name: lock_unknown_deliveries
-- Locks deliveries of unknown outcome for an operator's decision: by id, of a campaign, or of a channel.
SELECT d.id, d.enrollment_id, d.channel
FROM campaign_deliveries d
WHERE d.status = 'unknown'
  AND (CAST(%(ids)s AS uuid []) IS NULL OR d.id = ANY(CAST(%(ids)s AS uuid [])))
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid))
  AND (CAST(%(channel)s AS text) IS NULL OR d.channel = CAST(%(channel)s AS text))
ORDER BY d.id
LIMIT CAST(%(batch_size)s AS integer)
FOR UPDATE SKIP LOCKED;

-- name: list_deliveries
-- Deliveries of a status for operators, without addresses.
SELECT
    d.id, c.name AS campaign, d.campaign_version AS version, d.node_id, d.channel, d.status, d.transport, d.attempts,
    d.error_code, d.last_error, d.due_at, d.leased_until, d.settled_at
FROM campaign_deliveries d
JOIN drip_campaigns c ON c.id = d.campaign_id
WHERE d.status = CAST(%(status)s AS text)
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid))
  AND (CAST(%(channel)s AS text) IS NULL OR d.channel = CAST(%(channel)s AS text))
ORDER BY coalesce(d.settled_at, d.leased_until, d.due_at, d.created_at) DESC, d.id
LIMIT CAST(%(count_limit)s AS integer);

-- name: record_messages
-- Stores messages that are recorded and not sent, one array per column: as fast as COPY, at half of the client's time.
INSERT INTO recorded_messages (
    delivery_id, workspace_id, campaign_id, enrollment_id, node_id, channel, recipient, subject, preheader, body,
    body_html, payload, recorded_at
)
SELECT
    r.delivery_id, r.workspace_id, r.campaign_id, r.enrollment_id, r.node_id, CAST(%(channel)s AS text), r.recipient,
    r.subject, r.preheader, r.body, r.body_html, CAST(r.payload AS jsonb), CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(delivery_ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []), CAST(%(campaign_ids)s AS uuid []),
    CAST(%(enrollment_ids)s AS uuid []), CAST(%(node_ids)s AS text []), CAST(%(recipients)s AS text []),
    CAST(%(subjects)s AS text []), CAST(%(preheaders)s AS text []), CAST(%(bodies)s AS text []),
    CAST(%(html_bodies)s AS text []), CAST(%(payloads)s AS text [])
) AS r (
    delivery_id, workspace_id, campaign_id, enrollment_id, node_id, recipient, subject, preheader, body, body_html,
    payload
);

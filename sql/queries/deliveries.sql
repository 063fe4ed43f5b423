-- name: due_places
-- Where something is due: nodes of versions of active campaigns, found by jumping through the index from place to place,
-- so that a backlog of millions costs no more than one row. `due` is counted up to a limit.
WITH RECURSIVE places AS (
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
    SELECT l.campaign_id, p.node_id, p.campaign_version
    FROM places l
    CROSS JOIN LATERAL (
        SELECT d.node_id, d.campaign_version
        FROM campaign_deliveries d
        WHERE d.campaign_id = l.campaign_id AND d.status = 'pending'
          AND (d.node_id, d.campaign_version) > (l.node_id, l.campaign_version)
        ORDER BY d.node_id, d.campaign_version
        LIMIT 1
    ) p
)

SELECT l.campaign_id, l.campaign_version, l.node_id, f.workspace_id, f.channel, n.due
FROM places l
CROSS JOIN LATERAL (
    SELECT d.workspace_id, d.channel
    FROM campaign_deliveries d
    WHERE d.campaign_id = l.campaign_id AND d.node_id = l.node_id AND d.campaign_version = l.campaign_version
      AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
    ORDER BY d.due_at
    LIMIT 1
) f
CROSS JOIN LATERAL (
    SELECT count(*) AS due
    FROM (
        SELECT
        FROM campaign_deliveries d
        WHERE d.campaign_id = l.campaign_id AND d.node_id = l.node_id AND d.campaign_version = l.campaign_version
          AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
        LIMIT CAST(%(count_limit)s AS integer)
    ) x
) n
WHERE CAST(%(channel)s AS text) IS NULL OR f.channel = CAST(%(channel)s AS text)
ORDER BY l.campaign_id, l.node_id, l.campaign_version;

-- name: lease_deliveries
-- The last gate: takes due deliveries of these places, so many of each, and says in the same statement who must not be
-- written to and why (gate). The rows stay locked until the transaction ends; `mark_sending` turns them into a lease that
-- outlives it. People of a paused enrollment are held: their delivery is looked at again later.
WITH wanted AS MATERIALIZED (
    SELECT w.*
    FROM unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text []),
        CAST(%(quotas)s AS integer []), CAST(%(blocks)s AS text []), CAST(%(needs_consent)s AS boolean [])
    ) AS w (campaign_id, campaign_version, node_id, quota, blocked, needs_consent)
    JOIN drip_campaigns c ON c.id = w.campaign_id AND c.status = 'active'
),

picked AS MATERIALIZED (
    SELECT p.*, w.blocked, w.needs_consent
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT
            d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id,
            d.step_id, d.split_node_id, d.variant_group, d.attempts, d.due_at
        FROM campaign_deliveries d
        WHERE d.campaign_id = w.campaign_id AND d.node_id = w.node_id AND d.campaign_version = w.campaign_version
          AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
          AND d.channel = CAST(%(channel)s AS text)
        ORDER BY d.due_at
        LIMIT w.quota
        FOR UPDATE SKIP LOCKED
    ) p
    -- The sum of the quotas. It cuts nothing off, but tells the planner how few rows these are: without it, leasing a
    -- dozen read all contacts and all enrollments.
    LIMIT CAST(%(most)s AS integer)
)

SELECT
    p.id, p.workspace_id, p.campaign_id, p.campaign_version, p.enrollment_id, p.contact_id, p.node_id, p.step_id,
    p.split_node_id, p.variant_group, p.attempts, p.due_at,
    CASE
        WHEN k.id IS NULL OR e.id IS NULL THEN 'removed'
        WHEN e.status = 'unsubscribed' THEN 'unsubscribed'
        WHEN e.status = 'bounced' THEN 'bounced'
        WHEN e.status = 'completed' THEN 'removed'
        WHEN e.status = 'paused' THEN 'paused'
        WHEN b.reason IS NOT NULL THEN substr(b.reason, 3)
        WHEN p.blocked IS NOT NULL THEN p.blocked
        WHEN CAST(%(channel)s AS text) = 'email' AND coalesce(k.email, '') = '' THEN 'no_address'
        WHEN CAST(%(channel)s AS text) = 'sms' AND coalesce(k.phone, '') = '' THEN 'no_address'
        WHEN lower(k.custom_fields ->> ('consent_' || CAST(%(channel)s AS text))) IN ('false', 'no', '0')
            THEN 'no_consent'
        WHEN p.needs_consent
            AND coalesce(
                lower(k.custom_fields ->> ('consent_' || CAST(%(channel)s AS text))) NOT IN ('true', 'yes', '1'), true
            )
            THEN 'no_consent'
    END AS gate,
    -- What no message reads is not sent.
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
    -- What a suppression says of this delivery: by contact or by either address, for this channel or all, for this
    -- campaign or all. One that forbids a whole person (any, or email) ends the run, an unsubscription before the rest;
    -- one for another channel alone only skips its messages. Looked up for each delivery in the indexes: as a set of its
    -- own, joined afterwards, it was taken for one row and compared with every delivery (10,000 suppressed: 5 s).
    SELECT
        min(
            CASE
                WHEN x.channel IS NOT NULL AND x.channel <> 'email' THEN CASE x.reason
                    WHEN 'bounced' THEN 'c:unreachable' WHEN 'manual' THEN 'c:suppressed' ELSE 'c:opted_out'
                END
                WHEN x.reason = 'unsubscribed' THEN 'a:unsubscribed'
                ELSE 'b:' || x.reason
            END
        ) AS reason
    FROM (
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        WHERE s.workspace_id = p.workspace_id AND lower(s.address) = lower(k.email)
        UNION ALL
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        WHERE s.workspace_id = p.workspace_id AND lower(s.address) = suppressed_phone(k.phone)
        UNION ALL
        SELECT s.channel, s.campaign_id, s.reason
        FROM campaign_suppressions s
        WHERE s.contact_id = k.id  -- which is of one workspace; naming that, too, led to reading all of it
    ) x
    WHERE (x.channel IS NULL OR x.channel = CAST(%(channel)s AS text))
      AND (x.campaign_id IS NULL OR x.campaign_id = p.campaign_id)
) b;

-- name: mark_sending
-- From here on a row is in doubt if the process dies: marked in small groups, just before they go out. Calls of webhooks
-- leave an event of their own, one per attempt.
-- Here and below, where deliveries or states are looked up by id, `|| ''` keeps the planner off the partial indexes by
-- status: with statistics from before a campaign began it takes those for empty, and reads all that is due for each dozen
-- that is sent (20,000 mails: 13 ms instead of 1 for each dozen, and more with more).
WITH marked AS (
    UPDATE campaign_deliveries d
    SET status = 'sending', due_at = NULL, leased_until = CAST(%(leased_until)s AS timestamptz),
        lease_token = CAST(%(lease_token)s AS uuid), attempts = d.attempts + 1, transport = CAST(%(transport)s AS text),
        channel_id = CAST(%(channel_id)s AS uuid)
    WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' = 'pending'
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

SELECT count(*) FROM marked;

-- name: hold_deliveries
-- Deliveries of paused enrollments are looked at again later; until then they do not stand at the head of the queue.
UPDATE campaign_deliveries d
SET due_at = CAST(%(due_at)s AS timestamptz)
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' = 'pending';

-- name: settle_sent
-- What a channel accepted: the delivery is sent, the event carries the delivery's own id (so that it can stand in the log
-- once only), and the message has an outcome row. People pass a post for everybody: their events point at it, and it
-- counts as no message to them. That the enrollment shows when it was last written to is left to `commit_transitions`.
-- Gives back each delivery that was open until now with the state that was parked on it, locked, to be carried on from
-- there: as `lock_states_of_deliveries`, whose columns these are. Without a state, the run ended or moved on meanwhile.
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = 'sent', due_at = NULL, leased_until = NULL, lease_token = NULL, last_error = NULL, error_code = NULL,
        settled_at = CAST(%(now)s AS timestamptz), provider_message_id = r.provider_message_id,
        attempts = CASE d.status WHEN 'pending' THEN d.attempts + 1 ELSE d.attempts END,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM (
        -- In the order of an index that is written: each of its pages is at hand while it is. A twentieth of a drip's
        -- time where 150,000 people are on their way.
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
    -- A recorded webhook never was on its way; its log reads the same.
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
    -- A delivery that an operator made due again by hand has its outcome already.
    ON CONFLICT (message_id) DO NOTHING
),

parked AS MATERIALIZED (
    -- From what was settled: deliveries are locked before states, as everywhere.
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
-- Not joined: a plan made without knowing how many they are compared each with each (10,000 deliveries: 6 s, from the
-- eleventh batch of a connection on).
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, o.id, NULL
FROM (SELECT t.id FROM settled t EXCEPT SELECT p.pending_delivery_id FROM parked p) o;

-- name: show_emailed
-- Enrollments show when they were last written to; for people who do not move on with the message.
UPDATE campaign_enrollments e
SET last_email_sent_at = CAST(%(now)s AS timestamptz), current_step = coalesce(e.current_step, 0) + 1,
    updated_at = CAST(%(now)s AS timestamptz)
WHERE e.id = ANY(CAST(%(enrollment_ids)s AS uuid []));

-- name: settle_not_sent
-- What will not go out, with the reason: held back at the gate (skipped) or refused for good (failed). A verdict on an
-- earlier attempt says nothing about the one that is on its way now.
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = r.status, due_at = NULL, leased_until = NULL, lease_token = NULL,
        settled_at = CAST(%(now)s AS timestamptz), error_code = r.error_code, last_error = r.error,
        attempts = CASE WHEN d.status = 'pending' AND r.status = 'failed' THEN d.attempts + 1 ELSE d.attempts END,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(statuses)s AS text []), CAST(%(error_codes)s AS text []),
        CAST(%(errors)s AS text []), CAST(%(event_types)s AS text []), CAST(%(attempts)s AS integer []),
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

-- The figures of the day count what was held back or failed, too.
marked AS (
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT w.id, CAST(CAST(%(now)s AS timestamptz) AT TIME ZONE w.time_zone AS date)
    FROM workspaces w
    WHERE w.id IN (SELECT t.workspace_id FROM settled t)
)

SELECT id FROM settled;

-- name: reschedule_deliveries
-- Transient failures: back to due later, with the provider's words, and an event that says so.
WITH later AS (
    UPDATE campaign_deliveries d
    SET status = 'pending', due_at = r.due_at, leased_until = NULL, lease_token = NULL, error_code = r.error_code,
        last_error = r.error, attempts = CASE d.status WHEN 'pending' THEN d.attempts + 1 ELSE d.attempts END
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(due_at)s AS timestamptz []), CAST(%(error_codes)s AS text []),
        CAST(%(errors)s AS text []), CAST(%(attempts)s AS integer []), CAST(%(details)s AS text [])
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
-- In doubt: handed over, but the answer never came. Without a grace time it waits for the provider or an operator.
UPDATE campaign_deliveries d
SET status = 'unknown', lease_token = NULL, last_error = r.error, error_code = r.error_code,
    leased_until = CAST(%(grace_until)s AS timestamptz)
FROM unnest(
    CAST(%(ids)s AS uuid []), CAST(%(error_codes)s AS text []), CAST(%(errors)s AS text []),
    CAST(%(attempts)s AS integer [])
) AS r (id, error_code, error, attempt)
WHERE d.id = r.id AND d.status || '' IN ('sending', 'unknown') AND d.attempts = coalesce(r.attempt, d.attempts);

-- name: rescue_expired_leases
-- Rows whose sender died between handing over and settling. What their way out can recognize is due again; the others
-- are in doubt, and their grace time runs from the end of the lease.
WITH expired AS (
    SELECT d.id, coalesce(f.on_unknown, 'assume_sent') AS on_unknown
    FROM campaign_deliveries d
    LEFT JOIN channel_flow f ON f.transport = d.transport
    WHERE d.status = 'sending' AND d.leased_until <= CAST(%(now)s AS timestamptz)
    FOR UPDATE OF d SKIP LOCKED
),

rescued AS (
    UPDATE campaign_deliveries d
    SET status = CASE x.on_unknown WHEN 'retry' THEN 'pending' ELSE 'unknown' END,
        due_at = CASE x.on_unknown WHEN 'retry' THEN CAST(%(now)s AS timestamptz) END,
        leased_until = CASE x.on_unknown
            WHEN 'assume_sent'
                THEN d.leased_until + make_interval(secs => CAST(%(grace_seconds)s AS double precision))
        END,
        lease_token = NULL, error_code = 'in_doubt', last_error = 'the sender stopped before settling'
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
    FROM rescued t
    WHERE t.status = 'pending'
)

SELECT
    count(*) FILTER (WHERE t.status = 'unknown') AS in_doubt, count(*) FILTER (WHERE t.status = 'pending') AS retried
FROM rescued t;

-- name: deliveries_past_grace
-- In doubt for longer than the grace time: nobody hangs.
SELECT d.id, d.enrollment_id, d.channel
FROM campaign_deliveries d
WHERE d.status = 'unknown' AND d.leased_until <= CAST(%(now)s AS timestamptz)
ORDER BY d.leased_until
LIMIT CAST(%(batch_size)s AS integer)
FOR UPDATE SKIP LOCKED;

-- name: deliveries_by_status
-- How many deliveries stand where, per channel.
SELECT d.channel, d.status, count(*) AS deliveries
FROM campaign_deliveries d
GROUP BY d.channel, d.status
ORDER BY d.channel, d.status;

-- name: suppress_contacts
-- Puts contacts on the suppression list, once; the oldest reason stays.
INSERT INTO campaign_suppressions (
    workspace_id, contact_id, address, channel, campaign_id, reason, source, created_at
)
SELECT
    k.workspace_id, k.id, CASE CAST(%(channel)s AS text) WHEN 'sms' THEN suppressed_phone(k.phone) ELSE k.email END,
    CAST(%(channel)s AS text), NULL, r.reason, CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(reasons)s AS text [])) AS r (contact_id, reason)
JOIN contacts k ON k.id = r.contact_id
WHERE coalesce(CASE CAST(%(channel)s AS text) WHEN 'sms' THEN suppressed_phone(k.phone) ELSE k.email END, '') <> ''
ON CONFLICT DO NOTHING;

-- name: lock_doubtful_deliveries
-- Deliveries in doubt that an operator can speak for: some by id, or all of a campaign or a channel.
SELECT d.id, d.enrollment_id, d.contact_id, d.channel, d.attempts
FROM campaign_deliveries d
WHERE d.status = 'unknown'
  AND (CAST(%(ids)s AS uuid []) IS NULL OR d.id = ANY(CAST(%(ids)s AS uuid [])))
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid))
  AND (CAST(%(channel)s AS text) IS NULL OR d.channel = CAST(%(channel)s AS text))
ORDER BY d.id
LIMIT CAST(%(batch_size)s AS integer)
FOR UPDATE SKIP LOCKED;

-- name: list_deliveries
-- Deliveries for an operator to look at, without anybody's address: in doubt, failed, or whatever is asked for.
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
-- Keeps messages that are recorded and not sent, one array a column: as fast as COPY, at half of the client's time.
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

-- name: lease_deliveries
-- The last gate: takes due deliveries of one channel, campaign by campaign in turns, and says in the same statement who
-- must not be written to and why (gate). The rows stay locked until the transaction ends; `mark_sending` turns them into
-- a lease that outlives it. People of a paused enrolment are held: their delivery is looked at again later.
WITH due AS MATERIALIZED (
    SELECT c.id
    FROM drip_campaigns c
    WHERE c.status = 'active'
      AND EXISTS (
          SELECT FROM campaign_deliveries d
          WHERE d.campaign_id = c.id AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
            AND d.channel = CAST(%(channel)s AS text)
      )
),

picked AS MATERIALIZED (
    SELECT p.*
    FROM due
    CROSS JOIN LATERAL (
        SELECT
            d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id,
            d.step_id, d.split_node_id, d.variant_group, d.attempts, d.channel_id
        FROM campaign_deliveries d
        WHERE d.campaign_id = due.id AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
          AND d.channel = CAST(%(channel)s AS text)
        ORDER BY d.due_at
        LIMIT greatest(1, CAST(%(batch_size)s AS integer) / greatest(1, (SELECT count(*) FROM due)))
        FOR UPDATE SKIP LOCKED
    ) p
    LIMIT CAST(%(batch_size)s AS integer)
),

blocked AS MATERIALIZED (
    -- One row per delivery that a suppression stops: by contact or by address, for this channel or all, for this
    -- campaign or all. An unsubscription outranks the rest, since it also ends the enrolment.
    SELECT p.id, min(CASE x.reason WHEN 'unsubscribed' THEN 'a:unsubscribed' ELSE 'b:' || x.reason END) AS reason
    FROM picked p
    JOIN contacts k ON k.id = p.contact_id
    JOIN campaign_suppressions x
        ON x.workspace_id = p.workspace_id AND lower(x.address) = lower(
            CASE CAST(%(channel)s AS text) WHEN 'sms' THEN k.phone ELSE k.email END
        )
    WHERE (x.channel IS NULL OR x.channel = CAST(%(channel)s AS text))
      AND (x.campaign_id IS NULL OR x.campaign_id = p.campaign_id)
    GROUP BY p.id
)

SELECT
    p.id, p.workspace_id, p.campaign_id, p.campaign_version, p.enrollment_id, p.contact_id, p.node_id, p.step_id,
    p.split_node_id, p.variant_group, p.attempts, p.channel_id,
    CASE
        WHEN k.id IS NULL THEN 'removed'
        WHEN e.status = 'unsubscribed' THEN 'unsubscribed'
        WHEN e.status = 'bounced' THEN 'bounced'
        WHEN e.status = 'completed' THEN 'removed'
        WHEN e.status = 'paused' THEN 'paused'
        WHEN b.reason IS NOT NULL THEN substr(b.reason, 3)
        WHEN CAST(%(channel)s AS text) = 'email' AND coalesce(k.email, '') = '' THEN 'no_address'
        WHEN CAST(%(channel)s AS text) = 'sms' AND coalesce(k.phone, '') = '' THEN 'no_address'
    END AS gate,
    k.name, k.email, k.company, k.phone, k.job_title, k.ai_score, k.status, k.tags, k.custom_fields,
    k.last_interaction, k.created_at, k.updated_at
FROM picked p
LEFT JOIN contacts k ON k.id = p.contact_id
LEFT JOIN campaign_enrollments e ON e.id = p.enrollment_id
LEFT JOIN blocked b ON b.id = p.id;

-- name: mark_sending
-- From here on a row is in doubt if the process dies: marked in small groups, just before they go out.
UPDATE campaign_deliveries d
SET status = 'sending', due_at = NULL, leased_until = CAST(%(leased_until)s AS timestamptz),
    lease_token = CAST(%(lease_token)s AS uuid), attempts = d.attempts + 1
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status = 'pending'
RETURNING d.id;

-- name: hold_deliveries
-- Deliveries of paused enrolments are looked at again later; until then they do not stand at the head of the queue.
UPDATE campaign_deliveries d
SET due_at = CAST(%(due_at)s AS timestamptz)
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status = 'pending';

-- name: settle_sent
-- What a channel accepted: the delivery is sent, the event carries the delivery's own id (so that it can stand in the log
-- once only), the message has an outcome row, and the enrolment shows when it was last written to.
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = 'sent', due_at = NULL, leased_until = NULL, lease_token = NULL, last_error = NULL, error_code = NULL,
        settled_at = CAST(%(now)s AS timestamptz), provider_message_id = r.provider_message_id,
        attempts = CASE d.status WHEN 'pending' THEN d.attempts + 1 ELSE d.attempts END,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(provider_ids)s AS text [])) AS r (id, provider_message_id)
    WHERE d.id = r.id AND d.status IN ('pending', 'sending', 'unknown')
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.channel, d.split_node_id, d.variant_group
),

logged AS (
    INSERT INTO campaign_events (
        id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        t.id, t.campaign_id, t.enrollment_id, t.contact_id, CAST(%(event_type)s AS text), 'system', t.step_id,
        t.node_id,
        CASE CAST(%(certainty)s AS text) WHEN 'unknown' THEN '{"certainty": "unknown"}'::jsonb ELSE '{}'::jsonb END,
        CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.variant_group, t.id
    FROM settled t
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
    ON CONFLICT (message_id) DO NOTHING
),

shown AS (
    UPDATE campaign_enrollments e
    SET last_email_sent_at = CAST(%(now)s AS timestamptz), current_step = coalesce(e.current_step, 0) + 1,
        updated_at = CAST(%(now)s AS timestamptz)
    FROM settled t
    WHERE e.id = t.enrollment_id AND t.channel = 'email'
)

SELECT id FROM settled;

-- name: settle_not_sent
-- What will not go out, with the reason: held back at the gate (skipped) or refused for good (failed).
WITH settled AS (
    UPDATE campaign_deliveries d
    SET status = r.status, due_at = NULL, leased_until = NULL, lease_token = NULL,
        settled_at = CAST(%(now)s AS timestamptz), error_code = r.error_code, last_error = r.error,
        batch_id = CAST(%(batch_id)s AS uuid)
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(statuses)s AS text []), CAST(%(error_codes)s AS text []),
        CAST(%(errors)s AS text []), CAST(%(event_types)s AS text [])
    ) AS r (id, status, error_code, error, event_type)
    WHERE d.id = r.id AND d.status IN ('pending', 'sending', 'unknown')
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.variant_group, d.error_code, d.last_error, r.event_type
),

logged AS (
    INSERT INTO campaign_events (
        campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
        workspace_id, campaign_version, variant_group, message_id
    )
    SELECT
        t.campaign_id, t.enrollment_id, t.contact_id, t.event_type, 'system', t.step_id, t.node_id,
        jsonb_strip_nulls(
            jsonb_build_object('reason', t.error_code, 'error', t.last_error, 'channel', CAST(%(channel)s AS text))
        ),
        CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.variant_group, t.id
    FROM settled t
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
        CAST(%(errors)s AS text [])
    ) AS r (id, due_at, error_code, error)
    WHERE d.id = r.id AND d.status IN ('pending', 'sending')
    RETURNING
        d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.enrollment_id, d.contact_id, d.node_id, d.step_id,
        d.error_code, d.last_error, d.attempts, d.due_at
)

INSERT INTO campaign_events (
    campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
    workspace_id, campaign_version, message_id
)
SELECT
    t.campaign_id, t.enrollment_id, t.contact_id, 'retry_scheduled', 'system', t.step_id, t.node_id,
    jsonb_strip_nulls(
        jsonb_build_object('reason', t.error_code, 'error', t.last_error, 'attempt', t.attempts, 'due_at', t.due_at)
    ),
    CAST(%(now)s AS timestamptz), t.workspace_id, t.campaign_version, t.id
FROM later t;

-- name: mark_unknown
-- In doubt: handed over, but the answer never came.
UPDATE campaign_deliveries d
SET status = 'unknown', lease_token = NULL, last_error = r.error, error_code = 'in_doubt',
    leased_until = CAST(%(grace_until)s AS timestamptz)
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(errors)s AS text [])) AS r (id, error)
WHERE d.id = r.id AND d.status = 'sending';

-- name: rescue_expired_leases
-- Rows whose sender died between handing over and settling are in doubt; the grace time runs from the end of the lease.
UPDATE campaign_deliveries d
SET status = 'unknown', lease_token = NULL, error_code = 'in_doubt', last_error = 'the sender stopped before settling',
    leased_until = d.leased_until + make_interval(secs => CAST(%(grace_seconds)s AS double precision))
WHERE d.status = 'sending' AND d.leased_until <= CAST(%(now)s AS timestamptz)
RETURNING d.id;

-- name: deliveries_past_grace
-- In doubt for longer than the grace time: nobody hangs.
SELECT d.id, d.enrollment_id, d.channel
FROM campaign_deliveries d
WHERE d.status = 'unknown' AND d.leased_until <= CAST(%(now)s AS timestamptz)
ORDER BY d.leased_until
LIMIT CAST(%(batch_size)s AS integer)
FOR UPDATE SKIP LOCKED;

-- name: due_channels
-- Channels that have due deliveries of active campaigns.
SELECT DISTINCT d.channel
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.status = 'active' AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz);

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
    k.workspace_id, k.id, CASE CAST(%(channel)s AS text) WHEN 'sms' THEN k.phone ELSE k.email END,
    CAST(%(channel)s AS text), NULL, r.reason, CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(reasons)s AS text [])) AS r (contact_id, reason)
JOIN contacts k ON k.id = r.contact_id
WHERE coalesce(CASE CAST(%(channel)s AS text) WHEN 'sms' THEN k.phone ELSE k.email END, '') <> ''
ON CONFLICT DO NOTHING;

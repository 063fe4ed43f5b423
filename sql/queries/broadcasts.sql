-- name: open_broadcasts
-- Creates the posts that the first states have reached; existing posts are kept.
INSERT INTO campaign_broadcasts (
    id, workspace_id, campaign_id, campaign_version, node_id, step_id, schedule_time, due_at, created_at
)
SELECT
    r.id, r.workspace_id, r.campaign_id, r.campaign_version, r.node_id, r.step_id, r.schedule_time, r.due_at,
    CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(id)s AS uuid []), CAST(%(workspace_id)s AS uuid []), CAST(%(campaign_id)s AS uuid []),
    CAST(%(campaign_version)s AS integer []), CAST(%(node_id)s AS text []), CAST(%(step_id)s AS uuid []),
    CAST(%(schedule_time)s AS timestamptz []), CAST(%(due_at)s AS timestamptz [])
) AS r (id, workspace_id, campaign_id, campaign_version, node_id, step_id, schedule_time, due_at)
ON CONFLICT DO NOTHING;

-- name: lock_broadcasts
-- Locks these posts in the order of ids.
SELECT
    b.id, b.status, b.due_at, b.leased_until, b.settled_at, b.attempts, b.certainty, b.provider_message_id, b.details,
    b.error_code, b.last_error
FROM campaign_broadcasts b
WHERE b.id = ANY(CAST(%(ids)s AS uuid []))
ORDER BY b.id
FOR UPDATE;

-- name: claim_broadcast
-- Marks a due post as being sent; its outcome is unknown if the process dies from here on.
UPDATE campaign_broadcasts b
SET status = 'sending', due_at = NULL, leased_until = CAST(%(leased_until)s AS timestamptz), attempts = b.attempts + 1,
    transport = CAST(%(transport)s AS text), retry_until = coalesce(b.retry_until, CAST(%(retry_until)s AS timestamptz))
WHERE b.id = CAST(%(id)s AS uuid) AND b.status = 'pending';

-- name: reopen_broadcast
-- Makes a failed post due again for states that arrive, or are requeued, after the failure.
UPDATE campaign_broadcasts b
SET status = 'pending', due_at = CAST(%(now)s AS timestamptz), settled_at = NULL, attempts = 0, retry_until = NULL
WHERE b.id = CAST(%(id)s AS uuid) AND b.status = 'failed';

-- name: settle_broadcast
-- Stores the result of sending a post.
UPDATE campaign_broadcasts b
SET status = CAST(%(status)s AS text),
    due_at = CAST(%(due_at)s AS timestamptz),
    leased_until = CAST(%(grace_until)s AS timestamptz),
    certainty = CAST(%(certainty)s AS text),
    provider_message_id = coalesce(CAST(%(provider_message_id)s AS text), b.provider_message_id),
    details = b.details || coalesce(CAST(%(details)s AS jsonb), '{}'),
    error_code = CAST(%(error_code)s AS text),
    last_error = CAST(%(error)s AS text),
    settled_at = CASE WHEN CAST(%(status)s AS text) IN ('sent', 'failed') THEN CAST(%(now)s AS timestamptz) END
WHERE b.id = CAST(%(id)s AS uuid) AND b.status IN ('pending', 'sending', 'unknown');

-- name: recover_broadcasts
-- Releases posts whose sender stopped: due again while the provider still recognizes a repetition, otherwise of unknown
-- outcome. Posts of unknown outcome past the grace time count as sent. With `ids`, only these.
UPDATE campaign_broadcasts b
SET status = CASE
        WHEN b.status = 'unknown' THEN 'sent'
        WHEN b.retry_until > CAST(%(now)s AS timestamptz) THEN 'pending'
        ELSE 'unknown'
    END,
    due_at = CASE
        WHEN b.status = 'sending' AND b.retry_until > CAST(%(now)s AS timestamptz) THEN CAST(%(now)s AS timestamptz)
    END,
    leased_until = CASE
        WHEN b.status = 'sending' AND coalesce(b.retry_until <= CAST(%(now)s AS timestamptz), true)
            THEN b.leased_until + make_interval(secs => CAST(%(grace_seconds)s AS double precision))
    END,
    certainty = CASE b.status WHEN 'unknown' THEN 'unknown' ELSE b.certainty END,
    settled_at = CASE b.status WHEN 'unknown' THEN CAST(%(now)s AS timestamptz) END,
    error_code = 'outcome_unknown',
    last_error = CASE b.status WHEN 'sending' THEN 'the sender stopped before settling' ELSE b.last_error END
WHERE b.status IN ('sending', 'unknown') AND b.leased_until <= CAST(%(now)s AS timestamptz)
  AND (CAST(%(ids)s AS uuid []) IS NULL OR b.id = ANY(CAST(%(ids)s AS uuid [])));

-- name: expired_broadcasts
-- Posts whose sender stopped, and posts of unknown outcome past the grace time.
SELECT b.id
FROM campaign_broadcasts b
WHERE b.status IN ('sending', 'unknown') AND b.leased_until <= CAST(%(now)s AS timestamptz)
ORDER BY b.id;

-- name: settle_unknown_broadcasts
-- Settles posts of unknown outcome as an operator decides: sent, or not sent and due now.
UPDATE campaign_broadcasts b
SET status = CASE WHEN CAST(%(is_sent)s AS boolean) THEN 'sent' ELSE 'pending' END,
    due_at = CASE WHEN CAST(%(is_sent)s AS boolean) THEN NULL ELSE CAST(%(now)s AS timestamptz) END,
    settled_at = CASE WHEN CAST(%(is_sent)s AS boolean) THEN CAST(%(now)s AS timestamptz) END,
    leased_until = NULL
WHERE b.status = 'unknown'
  AND (CAST(%(ids)s AS uuid []) IS NULL OR b.id = ANY(CAST(%(ids)s AS uuid [])))
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR b.campaign_id = CAST(%(campaign_id)s AS uuid))
RETURNING b.id;

-- name: append_to_inbox
-- What came in over HTTP since the last time, in one statement.
INSERT INTO event_inbox (provider, payload, context, received_at, due_at)
SELECT r.provider, r.payload, r.context, r.received_at, r.received_at
FROM unnest(
    CAST(%(providers)s AS text []), CAST(%(payloads)s AS bytea []), CAST(%(contexts)s AS jsonb []),
    CAST(%(received)s AS timestamptz [])
) AS r (provider, payload, context, received_at);

-- name: claim_inbox
-- The next rows to read, the oldest first, locked until the transaction ends; no more than fit into memory.
WITH due AS MATERIALIZED (
    SELECT i.id
    FROM event_inbox i
    WHERE i.status = 'pending' AND i.due_at <= CAST(%(now)s AS timestamptz)
    ORDER BY i.due_at, i.id
    LIMIT CAST(%(batch_size)s AS integer)
    FOR UPDATE SKIP LOCKED
),

sized AS (
    SELECT
        i.id, i.provider, i.payload, i.context, i.received_at, i.attempts,
        sum(octet_length(i.payload)) OVER (ORDER BY i.id) - octet_length(i.payload) AS bytes_before
    FROM due d
    JOIN event_inbox i ON i.id = d.id
)

SELECT s.id, s.provider, s.payload, s.context, s.received_at, s.attempts
FROM sized s
WHERE s.bytes_before < CAST(%(most_bytes)s AS bigint)
ORDER BY s.id;

-- name: settle_inbox
-- What became of the claimed rows; those with a time are tried again then.
UPDATE event_inbox i
SET status = r.status,
    reason = r.reason,
    due_at = r.due_at,
    attempts = i.attempts + 1,
    settled_at = CASE WHEN r.status = 'pending' THEN NULL ELSE CAST(%(now)s AS timestamptz) END
FROM unnest(
    CAST(%(ids)s AS bigint []), CAST(%(statuses)s AS text []), CAST(%(reasons)s AS text []),
    CAST(%(due)s AS timestamptz [])
) AS r (id, status, reason, due_at)
WHERE i.id = r.id;

-- name: describe_pending_inbox
-- How much is due to be read (up to a limit), and when the oldest of it came.
SELECT count(*) AS due_rows, min(d.received_at) AS oldest_at
FROM (
    SELECT i.received_at
    FROM event_inbox i
    WHERE i.status = 'pending' AND i.due_at <= CAST(%(now)s AS timestamptz)
    ORDER BY i.due_at, i.id
    LIMIT CAST(%(count_limit)s AS integer)
) d;

-- name: inbox_by_status
-- How many rows stand where, by provider.
SELECT i.provider, i.status, count(*) AS rows, min(i.received_at) AS oldest_at, max(i.received_at) AS newest_at
FROM event_inbox i
GROUP BY i.provider, i.status
ORDER BY i.provider, i.status;

-- name: inbox_rejected
-- What could not be taken, the newest first; without the payload, which holds addresses.
SELECT i.id, i.provider, i.received_at, i.attempts, i.reason, octet_length(i.payload) AS bytes
FROM event_inbox i
WHERE i.status = 'rejected' AND (CAST(%(provider)s AS text) IS NULL OR i.provider = CAST(%(provider)s AS text))
ORDER BY i.id DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: retry_inbox
-- What could not be taken is due again. Events of it that were taken are known by their ids.
UPDATE event_inbox i
SET status = 'pending', due_at = CAST(%(now)s AS timestamptz), settled_at = NULL, attempts = 0
WHERE i.status = 'rejected'
  AND (CAST(%(ids)s AS bigint []) IS NULL OR i.id = ANY(CAST(%(ids)s AS bigint [])))
  AND (CAST(%(provider)s AS text) IS NULL OR i.provider = CAST(%(provider)s AS text));

-- name: prune_inbox
-- Rows that were taken long ago; their events stay in the log.
DELETE FROM event_inbox i
WHERE i.status = 'done' AND i.settled_at < CAST(%(before)s AS timestamptz);

-- name: add_receiver_counts
-- How often endpoints answered how since the last time.
INSERT INTO receiver_counts AS c (counted_on, endpoint, outcome, requests)
SELECT CAST(%(day)s AS date), r.endpoint, r.outcome, r.requests
FROM unnest(
    CAST(%(endpoints)s AS text []), CAST(%(outcomes)s AS text []), CAST(%(requests)s AS bigint [])
) AS r (endpoint, outcome, requests)
ON CONFLICT (counted_on, endpoint, outcome) DO UPDATE SET requests = c.requests + excluded.requests;

-- name: receiver_counts_since
-- How often endpoints answered how, since a day.
SELECT c.endpoint, c.outcome, sum(c.requests)::bigint AS requests
FROM receiver_counts c
WHERE c.counted_on >= CAST(%(since)s AS date)
GROUP BY c.endpoint, c.outcome
ORDER BY c.endpoint, c.outcome;

-- name: recipient_of_delivery
-- Whose message this is, and whether they are off the list for its channel already.
SELECT
    m.contact_id, m.channel,
    EXISTS (
        SELECT FROM campaign_suppressions x
        WHERE x.workspace_id = m.workspace_id AND x.contact_id = m.contact_id AND x.campaign_id IS NULL
          AND (x.channel IS NULL OR x.channel = m.channel)
    ) AS is_unsubscribed
FROM (
    SELECT d.contact_id, d.workspace_id, CASE d.channel WHEN 'sms' THEN 'sms' ELSE 'email' END AS channel
    FROM campaign_deliveries d
    WHERE d.id = CAST(%(id)s AS uuid)
) m;

-- name: trigger_call
-- The answer that a call of a trigger webhook got before.
SELECT c.body_hash, c.answer
FROM trigger_calls c
WHERE c.campaign_id = CAST(%(campaign_id)s AS uuid) AND c.call_key = CAST(%(call_key)s AS text);

-- name: lock_trigger_call
-- Two calls of one key at once: the second waits, and finds what the first did.
SELECT pg_advisory_xact_lock(hashtextextended(CAST(%(campaign_id)s AS text) || CAST(%(call_key)s AS text), 0));

-- name: keep_trigger_call
-- What a call was answered, for when it comes again.
INSERT INTO trigger_calls (campaign_id, call_key, workspace_id, body_hash, answer, called_at)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(call_key)s AS text), CAST(%(workspace_id)s AS uuid),
    CAST(%(body_hash)s AS text), CAST(%(answer)s AS jsonb), CAST(%(now)s AS timestamptz)
);

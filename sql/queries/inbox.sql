-- name: append_to_inbox
-- Appends the payloads that arrived since the previous statement.
INSERT INTO event_inbox (provider, payload, context, received_at, due_at)
SELECT r.provider, r.payload, r.context, r.received_at, r.received_at
FROM unnest(
    CAST(%(providers)s AS text []), CAST(%(payloads)s AS bytea []), CAST(%(contexts)s AS jsonb []),
    CAST(%(received)s AS timestamptz [])
) AS r (provider, payload, context, received_at);

-- name: claim_inbox
-- Locks the next due payloads until the transaction ends, oldest first. The total size is limited because the payloads
-- are held in memory.
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
-- Stores the results of claimed payloads; pending ones are due again at `due_at`.
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
-- The number of due payloads (up to a limit), and when the oldest of them arrived.
SELECT count(*) AS due_rows, min(d.received_at) AS oldest_at
FROM (
    SELECT i.received_at
    FROM event_inbox i
    WHERE i.status = 'pending' AND i.due_at <= CAST(%(now)s AS timestamptz)
    ORDER BY i.due_at, i.id
    LIMIT CAST(%(count_limit)s AS integer)
) d;

-- name: inbox_by_status
-- The number of payloads by provider and status.
SELECT i.provider, i.status, count(*) AS rows, min(i.received_at) AS oldest_at, max(i.received_at) AS newest_at
FROM event_inbox i
GROUP BY i.provider, i.status
ORDER BY i.provider, i.status;

-- name: inbox_rejected
-- Rejected payloads, newest first; without the payload itself, which contains addresses.
SELECT i.id, i.provider, i.received_at, i.attempts, i.reason, octet_length(i.payload) AS bytes
FROM event_inbox i
WHERE i.status = 'rejected' AND (CAST(%(provider)s AS text) IS NULL OR i.provider = CAST(%(provider)s AS text))
ORDER BY i.id DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: retry_inbox
-- Makes rejected payloads due again. Events that were ingested before are duplicates by their ids.
UPDATE event_inbox i
SET status = 'pending', due_at = CAST(%(now)s AS timestamptz), settled_at = NULL, attempts = 0
WHERE i.status = 'rejected'
  AND (CAST(%(ids)s AS bigint []) IS NULL OR i.id = ANY(CAST(%(ids)s AS bigint [])))
  AND (CAST(%(provider)s AS text) IS NULL OR i.provider = CAST(%(provider)s AS text));

-- name: discard_inbox
-- Settles payloads that an operator gives up; returns those that were not done.
UPDATE event_inbox i
SET status = 'done', due_at = NULL, settled_at = CAST(%(now)s AS timestamptz),
    reason = concat_ws(': ', 'discarded', i.reason)
WHERE i.status IN ('pending', 'rejected') AND i.id = ANY(CAST(%(ids)s AS bigint []))
RETURNING i.id;

-- name: prune_inbox
-- Deletes payloads that were done before a time; their events stay in the log.
DELETE FROM event_inbox i
WHERE i.status = 'done' AND i.settled_at < CAST(%(before)s AS timestamptz);

-- name: add_receiver_counts
-- Adds to the numbers of requests by endpoint and outcome.
INSERT INTO receiver_counts AS c (counted_on, endpoint, outcome, requests)
SELECT CAST(%(day)s AS date), r.endpoint, r.outcome, r.requests
FROM unnest(
    CAST(%(endpoints)s AS text []), CAST(%(outcomes)s AS text []), CAST(%(requests)s AS bigint [])
) AS r (endpoint, outcome, requests)
ON CONFLICT (counted_on, endpoint, outcome) DO UPDATE SET requests = c.requests + excluded.requests;

-- name: receiver_counts_since
-- The numbers of requests by endpoint and outcome, since a day.
SELECT c.endpoint, c.outcome, sum(c.requests)::bigint AS requests
FROM receiver_counts c
WHERE c.counted_on >= CAST(%(since)s AS date)
GROUP BY c.endpoint, c.outcome
ORDER BY c.endpoint, c.outcome;

-- name: recipient_of_delivery
-- The contact and channel of a message, and whether the contact is on the suppression list of the channel.
SELECT r.contact_id, r.channel, r.is_unsubscribed, r.phone, r.region
FROM receiver_recipient(CAST(%(id)s AS uuid)) r;

-- name: recipient_left_at
-- Since when the recipient of a message is on the suppression list of its channel.
SELECT CAST(receiver_left_at(CAST(%(id)s AS uuid)) AS text) AS left_at;

-- name: unsubscribe_recipient
-- Suppresses the recipient of a message on the message's channel.
SELECT receiver_unsubscribe(
    CAST(%(id)s AS uuid), CAST(%(number)s AS text), CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
);

-- name: trigger_call
-- The answer to an earlier call of a trigger webhook.
SELECT c.body_hash, c.answer FROM trigger_earlier_call(CAST(%(campaign_id)s AS uuid), CAST(%(call_key)s AS text)) c;

-- name: lock_trigger_call
-- Locks the key of a call until the transaction ends: a second call with the same key waits for the first.
SELECT pg_advisory_xact_lock(hashtextextended(CAST(%(campaign_id)s AS text) || CAST(%(call_key)s AS text), 0));

-- name: save_trigger_call
-- Stores a call of a trigger webhook with its answer, for repetitions of the call.
INSERT INTO trigger_calls (campaign_id, call_key, workspace_id, body_hash, answer, called_at)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(call_key)s AS text), CAST(%(workspace_id)s AS uuid),
    CAST(%(body_hash)s AS text), CAST(%(answer)s AS jsonb), CAST(%(now)s AS timestamptz)
);

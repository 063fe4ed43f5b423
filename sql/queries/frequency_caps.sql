-- name: lock_capped_contacts
-- Locks contacts for counting. Returns those that this transaction may count; others are counted by another one, or an
-- application is deleting them. Inserting a lock waits for a transaction that inserts the same one. It happens before any
-- existing row is locked and in the order of ids, so no two transactions wait for each other.
WITH made AS (
    INSERT INTO contact_cap_locks (contact_id, workspace_id)
    SELECT k.id, k.workspace_id
    FROM contacts k
    WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
      AND NOT EXISTS (SELECT FROM contact_cap_locks l WHERE l.contact_id = k.id)
    ORDER BY k.id
    FOR KEY SHARE OF k SKIP LOCKED
    ON CONFLICT DO NOTHING
    RETURNING contact_id
),

locked AS MATERIALIZED (
    SELECT l.contact_id
    FROM contact_cap_locks l
    WHERE l.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
    FOR UPDATE SKIP LOCKED
)

SELECT m.contact_id FROM made m
UNION ALL
SELECT l.contact_id FROM locked l;

-- name: messages_of_contacts
-- What counts for these contacts (without a priority), and the messages that are due for them by a time. Runs after
-- `lock_capped_contacts`, so that it sees what every earlier transaction has reserved.
SELECT s.contact_id, s.delivery_id AS id, s.channel, s.counted_at, CAST(NULL AS integer) AS priority
FROM contact_sends s
WHERE s.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
UNION ALL
SELECT d.contact_id, d.id, d.channel, d.due_at, d.cap_priority
FROM campaign_deliveries d
WHERE d.contact_id = ANY(CAST(%(contact_ids)s AS uuid [])) AND d.status = 'pending' AND d.cap_priority IS NOT NULL
  AND d.due_at <= CAST(%(due_by)s AS timestamptz)
  AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = d.campaign_id AND c.status = 'active');

-- name: messages_not_sent
-- Which of these messages were skipped or have failed, so that their reservations do not count.
SELECT d.id
FROM campaign_deliveries d
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' IN ('skipped', 'failed');

-- name: reserve_messages
-- Counts messages from now on. One that was reserved before, and is sent again, counts from the later time.
INSERT INTO contact_sends AS s (contact_id, delivery_id, workspace_id, channel, counted_at)
SELECT
    u.contact_id, u.id, CAST(%(workspace_id)s AS uuid), CAST(%(channel)s AS text), CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(contact_ids)s AS uuid [])) AS u (id, contact_id)
ON CONFLICT (contact_id, delivery_id) DO UPDATE SET counted_at = greatest(s.counted_at, excluded.counted_at);

-- name: store_cap_priorities
-- Stores the priorities of messages that were queued before the workspace had caps, or for another version.
UPDATE campaign_deliveries d
SET cap_priority = u.priority
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(priorities)s AS integer [])) AS u (id, priority)
WHERE d.id = u.id;

-- name: plan_each_statement
-- Plans the statements of this transaction for their parameters: thousands of contacts at once need another plan than a
-- dozen.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: capped_nodes
-- The nodes with emails or SMS of a workspace that were sent since a time, are being sent, or are in the outbox.
SELECT o.campaign_id, o.campaign_version, o.node_id
FROM campaign_message_outcomes o
WHERE o.workspace_id = CAST(%(workspace_id)s AS uuid) AND o.sent_at > CAST(%(since)s AS timestamptz)
  AND o.channel IN ('email', 'sms')
UNION
SELECT d.campaign_id, d.campaign_version, d.node_id
FROM drip_campaigns c
JOIN campaign_deliveries d ON d.campaign_id = c.id
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND d.status IN ('pending', 'sending', 'unknown')
  AND d.channel IN ('email', 'sms');

-- name: mark_capped_messages
-- Stores the priority of the messages in the outbox that caps may hold. Without nodes of a workspace, caps hold none.
UPDATE campaign_deliveries d
SET cap_priority = n.priority
FROM unnest(
    CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text []),
    CAST(%(priorities)s AS integer [])
) AS n (campaign_id, campaign_version, node_id, priority)
WHERE d.campaign_id = n.campaign_id AND d.campaign_version = n.campaign_version AND d.node_id = n.node_id
  AND d.status = 'pending' AND d.cap_priority IS DISTINCT FROM n.priority;

-- name: unmark_capped_messages
-- Forgets the priorities of a workspace that has no caps any more.
UPDATE campaign_deliveries d
SET cap_priority = NULL
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid) AND d.campaign_id = c.id AND d.status = 'pending'
  AND d.cap_priority IS NOT NULL;

-- name: create_cap_locks
-- Creates the locks of the contacts that messages of these nodes were sent to, in the order in which all create them.
INSERT INTO contact_cap_locks (contact_id, workspace_id)
SELECT k.id, k.workspace_id
FROM contacts k
WHERE k.id IN (
    SELECT o.contact_id
    FROM campaign_message_outcomes o
    JOIN unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text [])
    ) AS n (campaign_id, campaign_version, node_id)
        ON n.campaign_id = o.campaign_id AND n.campaign_version = o.campaign_version AND n.node_id = o.node_id
    WHERE o.sent_at > CAST(%(since)s AS timestamptz)
    UNION
    SELECT d.contact_id
    FROM campaign_deliveries d
    JOIN unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text [])
    ) AS n (campaign_id, campaign_version, node_id)
        ON n.campaign_id = d.campaign_id AND n.campaign_version = d.campaign_version AND n.node_id = d.node_id
    WHERE d.status IN ('sending', 'unknown')
)
  AND NOT EXISTS (SELECT FROM contact_cap_locks l WHERE l.contact_id = k.id)
ORDER BY k.id
FOR KEY SHARE OF k SKIP LOCKED
ON CONFLICT DO NOTHING;

-- name: count_earlier_sends
-- Counts the messages of these nodes that were sent since a time, and those that may have been.
INSERT INTO contact_sends (contact_id, delivery_id, workspace_id, channel, counted_at)
SELECT x.contact_id, x.delivery_id, l.workspace_id, x.channel, x.counted_at
FROM (
    SELECT o.contact_id, o.message_id AS delivery_id, o.channel, o.sent_at AS counted_at
    FROM campaign_message_outcomes o
    JOIN unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text [])
    ) AS n (campaign_id, campaign_version, node_id)
        ON n.campaign_id = o.campaign_id AND n.campaign_version = o.campaign_version AND n.node_id = o.node_id
    WHERE o.sent_at > CAST(%(since)s AS timestamptz)
    UNION ALL
    SELECT d.contact_id, d.id, d.channel, CAST(%(now)s AS timestamptz)
    FROM campaign_deliveries d
    JOIN unnest(
        CAST(%(campaign_ids)s AS uuid []), CAST(%(versions)s AS integer []), CAST(%(node_ids)s AS text [])
    ) AS n (campaign_id, campaign_version, node_id)
        ON n.campaign_id = d.campaign_id AND n.campaign_version = d.campaign_version AND n.node_id = d.node_id
    WHERE d.status IN ('sending', 'unknown')
) x
JOIN contact_cap_locks l ON l.contact_id = x.contact_id
ON CONFLICT DO NOTHING;

-- name: transactions_in_outbox
-- The transactions of other sessions that write to the outbox.
SELECT l.virtualtransaction
FROM pg_locks l
WHERE l.locktype = 'relation' AND l.relation = 'campaign_deliveries'::regclass
  AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
  AND l.pid <> pg_backend_pid() AND l.mode <> 'AccessShareLock' AND l.granted;

-- name: count_as_sent_at
-- Counts messages of unknown outcome, which are now assumed to be sent, from that time on.
UPDATE contact_sends s
SET counted_at = greatest(s.counted_at, CAST(%(now)s AS timestamptz))
FROM campaign_deliveries d
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND s.contact_id = d.contact_id AND s.delivery_id = d.id;

-- name: release_reservations
-- Releases the reservations of messages that are known not to be sent.
DELETE FROM contact_sends s
USING campaign_deliveries d
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND s.contact_id = d.contact_id AND s.delivery_id = d.id;

-- name: cap_rules
-- The caps of all workspaces.
SELECT r.config FROM workspace_rules r WHERE r.kind = 'cap';

-- name: delete_old_sends
-- Deletes a chunk of the messages that no cap counts any more.
DELETE FROM contact_sends s
WHERE (s.contact_id, s.delivery_id) IN (
    SELECT x.contact_id, x.delivery_id
    FROM contact_sends x
    WHERE x.counted_at < CAST(%(before)s AS timestamptz)
    LIMIT CAST(%(chunk_size)s AS integer)
);

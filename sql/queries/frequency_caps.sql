-- name: lock_capped_contacts
-- Locks the contacts of these messages for counting, and stores the priority of each message. Returns the contacts that
-- this transaction may count; another one is counting the others, or an application is deleting them. Inserting a lock
-- waits for a transaction that inserts the same one. It happens before any existing row is locked and in the order of
-- ids, so no two transactions wait for each other.
WITH asked AS MATERIALIZED (
    SELECT *
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(contact_ids)s AS uuid []), CAST(%(priorities)s AS integer [])
    ) AS u (id, contact_id, priority)
),

marked AS (
    UPDATE campaign_deliveries d
    SET cap_priority = a.priority
    FROM asked a
    WHERE d.id = a.id AND d.cap_priority IS DISTINCT FROM a.priority
),

made AS (
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

-- name: reserve_capped_messages
-- Reserves the messages that all caps allow, and returns the refusals of the others. Runs after `lock_capped_contacts`,
-- so that it sees what every earlier transaction has reserved for these contacts. A message is refused by a cap
-- (`is_full`) whose number of messages is used up, or because messages with a higher priority are due for the contact
-- that would use it up. `oldest` is when the message was counted that has to leave the
-- period first, if the cap is full.
WITH asked AS MATERIALIZED (
    SELECT
        u.*,
        row_number() OVER (PARTITION BY u.contact_id ORDER BY u.priority DESC, u.id) - 1 AS before_it
    FROM unnest(
        CAST(%(ids)s AS uuid []), CAST(%(contact_ids)s AS uuid []), CAST(%(priorities)s AS integer []),
        CAST(%(zone_nos)s AS integer [])
    ) AS u (id, contact_id, priority, zone_no)
    -- Cuts nothing off, but tells the planner how few rows these are.
    LIMIT CAST(%(most)s AS integer)
),

periods AS MATERIALIZED (
    SELECT *
    FROM unnest(
        CAST(%(rule_nos)s AS integer []), CAST(%(rule_zones)s AS integer []), CAST(%(limits)s AS integer []),
        CAST(%(afters)s AS timestamptz []), CAST(%(count_emails)s AS boolean []), CAST(%(count_sms)s AS boolean [])
    ) AS p (rule_no, zone_no, most, after, counts_email, counts_sms)
),

counted AS MATERIALIZED (
    SELECT
        a.id, p.rule_no, p.zone_no,
        count(*) FILTER (
            WHERE s.delivery_id <> a.id AND s.counted_at > p.after
            AND ((s.channel = 'email' AND p.counts_email) OR (s.channel = 'sms' AND p.counts_sms))
        ) AS used,
        coalesce(bool_or(s.delivery_id = a.id AND s.counted_at > p.after), false) AS is_reserved
    FROM asked a
    LEFT JOIN contact_sends s ON s.contact_id = a.contact_id
    JOIN periods p ON p.zone_no = a.zone_no
    GROUP BY a.id, p.rule_no, p.zone_no
),

ahead AS MATERIALIZED (
    -- What else is due for the contact and goes first. Messages of this batch are ranked in `asked`: whether their
    -- campaign is still active does not matter for them, because they are sent.
    SELECT a.id, r.emails, r.sms
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE d.channel = 'email') AS emails, count(*) FILTER (WHERE d.channel = 'sms') AS sms
        FROM campaign_deliveries d
        WHERE d.contact_id = a.contact_id AND d.status = 'pending' AND d.cap_priority IS NOT NULL
          AND d.due_at <= CAST(%(due_by)s AS timestamptz)
          AND (d.cap_priority > a.priority OR (d.cap_priority = a.priority AND d.id < a.id))
          AND d.id <> ALL(CAST(%(ids)s AS uuid []))
          AND NOT EXISTS (
              SELECT FROM contact_sends s WHERE s.contact_id = d.contact_id AND s.delivery_id = d.id
          )
          AND EXISTS (SELECT FROM drip_campaigns c WHERE c.id = d.campaign_id AND c.status = 'active')
    ) r
),

judged AS MATERIALIZED (
    -- A reserved message that was skipped or failed later does not count. Looked up only where it matters.
    SELECT
        a.id, a.contact_id, p.rule_no, p.most, p.after, p.counts_email, p.counts_sms, c.is_reserved, c.used - v.void AS used,
        a.before_it + CASE WHEN p.counts_email THEN h.emails ELSE 0 END + CASE WHEN p.counts_sms THEN h.sms ELSE 0 END
            AS before_it
    FROM counted c
    JOIN asked a ON a.id = c.id
    JOIN ahead h ON h.id = c.id
    JOIN periods p ON p.rule_no = c.rule_no AND p.zone_no = c.zone_no
    CROSS JOIN LATERAL (
        SELECT count(*) AS void
        FROM contact_sends s
        JOIN campaign_deliveries d ON d.id = s.delivery_id
        WHERE s.contact_id = a.contact_id AND s.delivery_id <> a.id AND s.counted_at > p.after
          AND ((s.channel = 'email' AND p.counts_email) OR (s.channel = 'sms' AND p.counts_sms))
          AND d.status || '' IN ('skipped', 'failed')
    ) v
    WHERE c.used + a.before_it + CASE WHEN p.counts_email THEN h.emails ELSE 0 END
        + CASE WHEN p.counts_sms THEN h.sms ELSE 0 END >= p.most
),

refused AS MATERIALIZED (
    SELECT b.*, b.used >= b.most AS is_full
    FROM judged b
    WHERE b.used >= b.most OR (NOT b.is_reserved AND b.used + b.before_it >= b.most)
),

reserved AS (
    INSERT INTO contact_sends AS s (contact_id, delivery_id, workspace_id, channel, counted_at)
    SELECT
        a.contact_id, a.id, CAST(%(workspace_id)s AS uuid), CAST(%(channel)s AS text), CAST(%(now)s AS timestamptz)
    FROM asked a
    WHERE NOT EXISTS (SELECT FROM refused r WHERE r.id = a.id)
    ON CONFLICT (contact_id, delivery_id) DO UPDATE SET counted_at = greatest(s.counted_at, excluded.counted_at)
)

SELECT
    r.id, r.rule_no, r.is_full,
    CASE
        WHEN r.is_full THEN (
            SELECT s.counted_at
            FROM contact_sends s
            LEFT JOIN campaign_deliveries d ON d.id = s.delivery_id
            WHERE s.contact_id = r.contact_id AND s.delivery_id <> r.id AND s.counted_at > r.after
              AND ((s.channel = 'email' AND r.counts_email) OR (s.channel = 'sms' AND r.counts_sms))
              AND coalesce(d.status || '' NOT IN ('skipped', 'failed'), true)
            ORDER BY s.counted_at
            OFFSET r.used - r.most
            LIMIT 1
        )
    END AS oldest,
    (SELECT d.created_at FROM campaign_deliveries d WHERE d.id = r.id) AS queued_at
FROM refused r;

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

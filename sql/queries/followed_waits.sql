-- name: followed_work
-- Whether contacts are queued whose waits are to be checked, and whether new listeners can be opened.
SELECT
    EXISTS (SELECT FROM campaign_wait_queue) AS has_queue,
    EXISTS (
        SELECT FROM campaign_wait_listeners w
        WHERE NOT w.is_open
          AND (
              w.opens_after IS NULL
              OR NOT EXISTS (
                  SELECT FROM pg_locks l
                  WHERE l.locktype = 'virtualxid' AND l.virtualtransaction = ANY(w.opens_after)
              )
              -- A transaction that runs for longer than an hour is not awaited.
              OR w.opens_since < CAST(%(now)s AS timestamptz) - interval '1 hour'
          )
    ) AS can_open;

-- name: begin_to_open_listeners
-- Records which transactions may change contacts without seeing the listeners. By their locks, because a transaction that
-- has only read has no transaction id yet, and may have the snapshot of its beginning.
UPDATE campaign_wait_listeners w
SET opens_after = ARRAY(
        SELECT l.virtualtransaction
        FROM pg_locks l
        JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND l.pid <> pg_backend_pid()
    ),
    opens_since = CAST(%(now)s AS timestamptz)
WHERE NOT w.is_open AND w.opens_after IS NULL;

-- name: open_listeners
-- Opens the listeners for which these transactions have ended, and queues the contacts in waits of their campaigns, or
-- inside versions with exit rules on fields.
WITH opened AS (
    UPDATE campaign_wait_listeners w
    SET is_open = true
    WHERE NOT w.is_open
      AND (
          NOT EXISTS (
              SELECT FROM pg_locks l
              WHERE l.locktype = 'virtualxid' AND l.virtualtransaction = ANY(w.opens_after)
          )
          OR w.opens_since < CAST(%(now)s AS timestamptz) - interval '1 hour'
      )
    RETURNING w.campaign_id
)

INSERT INTO campaign_wait_queue (contact_id, workspace_id)
SELECT DISTINCT s.contact_id, s.workspace_id
FROM campaign_workflow_states s
WHERE s.campaign_id IN (SELECT o.campaign_id FROM opened o)
  AND s.wait_for_event LIKE 'field:%%' AND s.workflow_status IN ('waiting', 'paused')
UNION
SELECT s.contact_id, s.workspace_id
FROM campaign_versions v
JOIN campaign_workflow_states s ON s.campaign_id = v.campaign_id AND s.campaign_version = v.version
WHERE v.exits_follow_contacts AND v.campaign_id IN (SELECT o.campaign_id FROM opened o)
  AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed');

-- name: take_changed_contacts
-- Deletes a chunk from the queue in the transaction that moves the waits. Two concurrent ticks take different entries.
WITH taken AS MATERIALIZED (
    SELECT q.id
    FROM campaign_wait_queue q
    ORDER BY q.id
    LIMIT CAST(%(chunk_size)s AS integer)
    FOR UPDATE SKIP LOCKED
)

DELETE FROM campaign_wait_queue q
USING taken t
WHERE q.id = t.id
RETURNING q.contact_id;

-- name: queue_changed_contacts
-- Queues contacts whose waits are to be checked (again).
INSERT INTO campaign_wait_queue (contact_id, workspace_id)
SELECT k.id, k.workspace_id FROM contacts k WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: lock_followed_waits
-- Locks the waits of these contacts that follow them. Waits for batches that hold some of them, in the order of ids.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.wait_until
FROM campaign_workflow_states s
WHERE s.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.wait_for_event IS NOT NULL AND s.wait_for_event LIKE 'field:%%'
  AND s.workflow_status IN ('waiting', 'paused')
ORDER BY s.id
FOR UPDATE OF s;

-- name: followed_waits_of_version
-- Locks the waits of a version that follow their contacts.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.wait_until
FROM campaign_workflow_states s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.campaign_version = CAST(%(version)s AS integer)
  AND s.wait_for_event LIKE 'field:%%' AND s.workflow_status IN ('waiting', 'paused')
ORDER BY s.id
FOR UPDATE OF s;

-- name: move_followed_waits
-- Lets waits end at another time, or leave at once by a port. A wait that ends at another time is logged.
WITH judged AS MATERIALIZED (
    SELECT *
    FROM unnest(
        CAST(%(state_ids)s AS uuid []), CAST(%(ports)s AS text []), CAST(%(untils)s AS timestamptz [])
    ) AS j (state_id, port, until)
),

changed AS (
    UPDATE campaign_workflow_states s
    SET resume_port = coalesce(j.port, s.resume_port),
        wait_for_event = CASE WHEN j.port IS NULL THEN s.wait_for_event END,
        wait_until = CASE WHEN j.port IS NULL THEN j.until END,
        next_execution_at = CASE WHEN j.port IS NULL THEN j.until ELSE CAST(%(now)s AS timestamptz) END,
        workflow_status = CASE
            WHEN j.port IS NOT NULL AND s.workflow_status = 'waiting' THEN 'running' ELSE s.workflow_status
        END
    FROM judged j
    WHERE s.id = j.state_id AND s.workflow_status IN ('waiting', 'paused')
    RETURNING
        s.id, s.campaign_id, s.contact_id, s.workspace_id, s.campaign_version, s.current_step_id, s.current_node_id,
        j.port, j.until
)

INSERT INTO campaign_events (
    campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, created_at,
    workspace_id, campaign_version
)
SELECT
    c.campaign_id, c.id, c.contact_id, 'wait_moved', 'system', c.current_step_id, c.current_node_id,
    jsonb_build_object('until', c.until), CAST(%(now)s AS timestamptz), c.workspace_id, c.campaign_version
FROM changed c
WHERE c.port IS NULL;

-- name: share_contacts
-- Locks contacts against changes until the transaction ends; those that somebody else is changing are left out.
SELECT k.id
FROM contacts k
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
ORDER BY k.id
FOR SHARE SKIP LOCKED;

-- Incidents: conditions that need attention, stored incidents, and the notices that report them.

-- name: oldest_due_work
-- For each kind of work, the campaign with the longest overdue workflow state or message, and its due time.
SELECT o.work, o.campaign_id, o.campaign, o.workspace_id, greatest(o.due_at, '0001-01-01 00:00:00+00') AS due_at
FROM (
    SELECT DISTINCT ON (oldest.work) oldest.work, c.id AS campaign_id, c.name AS campaign, c.workspace_id, oldest.due_at
    FROM drip_campaigns c
    CROSS JOIN LATERAL (
        (
            SELECT 'people' AS work, s.next_execution_at AS due_at
            FROM campaign_workflow_states s
            WHERE s.campaign_id = c.id AND s.workflow_status IN ('running', 'waiting')
                AND s.next_execution_at <= CAST(%(now)s AS timestamptz)
            ORDER BY s.next_execution_at
            LIMIT 1
        )
        UNION ALL
        (
            SELECT 'messages' AS work, d.due_at
            FROM campaign_deliveries d
            WHERE d.campaign_id = c.id AND d.status = 'pending' AND d.due_at <= CAST(%(now)s AS timestamptz)
            ORDER BY d.due_at
            LIMIT 1
        )
    ) oldest
    WHERE c.status = 'active' AND c.published_version IS NOT NULL
    ORDER BY oldest.work, oldest.due_at
) o
ORDER BY o.work;

-- name: messages_with_unknown_outcome
-- Messages of unknown outcome by channel. Public posts count as social messages.
SELECT d.channel, count(*) AS messages, min(d.created_at) AS oldest_at
FROM (
    SELECT d.channel, d.created_at FROM campaign_deliveries d WHERE d.status = 'unknown'
    UNION ALL
    SELECT 'social', b.created_at FROM campaign_broadcasts b WHERE b.status = 'unknown'
) d
GROUP BY d.channel
ORDER BY d.channel;

-- name: failing_transports
-- Transports whose breaker is open or half open, and those that are disabled because their endpoint is gone.
SELECT f.transport, f.channel, f.open_until, f.disabled_at, f.times_opened, f.last_error
FROM channel_flow f
WHERE f.open_until IS NOT NULL OR f.disabled_at IS NOT NULL
ORDER BY f.transport;

-- name: tests_with_sample_ratio_mismatch
-- Running A/B tests that a sample ratio mismatch blocks.
SELECT t.id AS ab_test_id, t.workspace_id, c.name AS campaign, t.split_node_id AS split
FROM campaign_ab_tests t
JOIN drip_campaigns c ON c.id = t.campaign_id
WHERE t.status = 'running' AND t.state = 'srm_blocked'
ORDER BY c.name, t.split_node_id;

-- name: unpublished_with_enrollments
-- Active campaigns without a version, which an application made active, with their waiting enrollments (counted up to
-- 10,000).
SELECT c.id AS campaign_id, c.workspace_id, c.name AS campaign, w.enrollments
FROM drip_campaigns c
CROSS JOIN LATERAL (
    SELECT count(*) AS enrollments
    FROM (
        SELECT
        FROM campaign_enrollments e
        WHERE e.campaign_id = c.id AND e.status = 'active'
        LIMIT 10000
    ) e
) w
WHERE c.status = 'active' AND c.published_version IS NULL AND w.enrollments > 0
ORDER BY c.name, c.id;

-- name: decisions_since
-- Decisions of A/B tests after a timestamp, oldest first.
SELECT
    d.id AS decision_id, d.workspace_id, c.name AS campaign, d.split_node_id AS split, d.outcome, d.winner_variant,
    d.decided_by, d.reason
FROM campaign_ab_decisions d
JOIN drip_campaigns c ON c.id = d.campaign_id
WHERE d.decided_at > CAST(%(since)s AS timestamptz)
ORDER BY d.decided_at, d.id;

-- name: rejections_since
-- Sources with at least so many event lines, or payloads of the inbox, rejected after a timestamp. Events whose message,
-- contact or campaign is unknown are not counted.
WITH rejected AS (
    SELECT 'lines' AS kind, r.source, r.reason
    FROM rejected_events r
    WHERE r.rejected_at > CAST(%(since)s AS timestamptz)
    UNION ALL
    SELECT 'payloads' AS kind, i.provider, i.reason
    FROM event_inbox i
    WHERE i.status = 'rejected' AND i.settled_at > CAST(%(since)s AS timestamptz)
)

SELECT r.kind, r.source, count(*) AS rejected, mode() WITHIN GROUP (ORDER BY r.reason) AS reason
FROM rejected r
WHERE r.reason NOT IN (
    'no such message', 'the message was never sent', 'no such campaign', 'several campaigns have this name',
    'no such contact', 'the contact is not enrolled in this campaign', 'there are several workspaces, and none is named'
)
GROUP BY r.kind, r.source
HAVING count(*) >= CAST(%(at_least)s AS bigint)
ORDER BY r.kind, r.source;

-- name: lock_incidents
-- Serialize the watchers: two that see the same condition at once would both send a notice.
SELECT pg_advisory_xact_lock(hashtext('drip incidents'));

-- name: refresh_incidents
-- Update the texts of open incidents that are seen again.
UPDATE campaign_incidents i
SET
    seen_at = greatest(i.seen_at, CAST(%(now)s AS timestamptz)), sentence = n.sentence, what_to_do = n.what_to_do,
    details = CAST(n.details AS jsonb)
FROM unnest(
    CAST(%(keys)s AS text []), CAST(%(sentences)s AS text []), CAST(%(what_to_dos)s AS text []),
    CAST(%(details)s AS text [])
) AS n (incident_key, sentence, what_to_do, details)
WHERE i.incident_key = n.incident_key AND i.resolved_at IS NULL;

-- name: reopen_incidents
-- Reopen incidents that recur soon after they were resolved. A second notice is sent only if the first resolution was
-- reported (see reopen_notices).
UPDATE campaign_incidents i
SET resolved_at = NULL, seen_at = greatest(i.seen_at, CAST(%(now)s AS timestamptz))
WHERE i.id IN (
    SELECT DISTINCT ON (p.incident_key) p.id
    FROM campaign_incidents p
    WHERE p.incident_key = ANY(CAST(%(keys)s AS text []))
        AND p.resolved_at > CAST(%(since)s AS timestamptz)
        AND NOT EXISTS (
            SELECT FROM campaign_incidents o WHERE o.incident_key = p.incident_key AND o.resolved_at IS NULL
        )
    ORDER BY p.incident_key, p.opened_at DESC
);

-- name: reopen_notices
-- Notices of a resolution whose incident is open again: one that was sent is followed by a notice of the incident, one that
-- was not is dropped, because the incident was reported already.
UPDATE campaign_incident_notices n
SET reports = 'opened', number = n.number + 1, attempts = 0, last_error = NULL,
    notified_at = CASE WHEN n.notified_at IS NULL THEN CAST(%(now)s AS timestamptz) END,
    next_attempt_at = CAST(%(now)s AS timestamptz)
FROM campaign_incidents i
WHERE i.id = n.incident_id AND i.incident_key = ANY(CAST(%(keys)s AS text [])) AND i.resolved_at IS NULL
    AND n.reports = 'resolved';

-- name: open_incidents
-- Insert incidents whose key has no open incident; a condition that happens once must have no incident at all. Insert a
-- notice for each route.
WITH opened AS (
    INSERT INTO campaign_incidents (
        incident_key, kind, workspace_id, sentence, what_to_do, details, opened_at, seen_at, resolved_at
    )
    SELECT
        n.incident_key, n.kind, n.workspace_id, n.sentence, n.what_to_do, CAST(n.details AS jsonb),
        CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz),
        CASE WHEN n.is_over THEN CAST(%(now)s AS timestamptz) END
    FROM unnest(
        CAST(%(keys)s AS text []), CAST(%(kinds)s AS text []), CAST(%(workspace_ids)s AS uuid []),
        CAST(%(sentences)s AS text []), CAST(%(what_to_do)s AS text []), CAST(%(details)s AS text []),
        CAST(%(over)s AS boolean [])
    ) AS n (incident_key, kind, workspace_id, sentence, what_to_do, details, is_over)
    WHERE NOT EXISTS (
        SELECT FROM campaign_incidents i
        WHERE i.incident_key = n.incident_key AND (n.is_over OR i.resolved_at IS NULL)
    )
    RETURNING id
),

noticed AS (
    INSERT INTO campaign_incident_notices (incident_id, route, next_attempt_at)
    SELECT o.id, r.route, CAST(%(now)s AS timestamptz)
    FROM opened o
    CROSS JOIN unnest(CAST(%(routes)s AS text [])) AS r (route)
)

SELECT count(*) FROM opened;

-- name: resolve_unseen
-- Resolve open incidents that are not seen any more.
UPDATE campaign_incidents i
SET resolved_at = CAST(%(now)s AS timestamptz)
WHERE i.resolved_at IS NULL AND i.kind = ANY(CAST(%(kinds)s AS text []))
    AND i.incident_key <> ALL(CAST(%(keys)s AS text []));

-- name: resolve_incident
-- Resolve the open incident of a key.
UPDATE campaign_incidents i
SET resolved_at = CAST(%(now)s AS timestamptz)
WHERE i.resolved_at IS NULL AND i.incident_key = CAST(%(incident_key)s AS text);

-- name: report_resolutions
-- Turn the sent notices of incidents that are over into notices of their resolution, due after a delay in which an incident
-- may recur. Incidents that happened once, and those resolved before a timestamp, are not reported as resolved.
UPDATE campaign_incident_notices n
SET reports = 'resolved', number = n.number + 1, attempts = 0, last_error = NULL, notified_at = NULL,
    next_attempt_at = i.resolved_at + CAST(%(delay)s AS interval)
FROM campaign_incidents i
WHERE i.id = n.incident_id AND i.resolved_at > i.opened_at
    AND i.resolved_at > CAST(%(since)s AS timestamptz)
    AND n.reports = 'opened' AND n.notified_at IS NOT NULL;

-- name: take_notices
-- Notices that are due, postponed to their next attempt before this one is made: a process that crashes loses none, and no
-- other process takes it in the meantime. After the last attempt a notice stays unsent, with its error.
UPDATE campaign_incident_notices n
SET attempts = n.attempts + 1,
    next_attempt_at = CAST(%(now)s AS timestamptz) + least(60 * power(2, n.attempts), 3600) * interval '1 second'
FROM campaign_incidents i
WHERE i.id = n.incident_id
    AND (n.incident_id, n.route) IN (
        SELECT d.incident_id, d.route
        FROM campaign_incident_notices d
        WHERE d.notified_at IS NULL AND d.next_attempt_at <= CAST(%(now)s AS timestamptz)
            AND d.attempts < CAST(%(max_attempts)s AS integer) AND d.route = ANY(CAST(%(routes)s AS text []))
        ORDER BY d.next_attempt_at
        LIMIT CAST(%(row_limit)s AS integer)
        FOR UPDATE SKIP LOCKED
    )
RETURNING
    i.id AS incident_id, n.route, i.kind, i.sentence, i.what_to_do, i.opened_at, i.resolved_at, n.reports, n.number;

-- name: record_notice_result
-- Store the result of an attempt to send a notice.
UPDATE campaign_incident_notices n
SET notified_at = CASE WHEN CAST(%(error)s AS text) IS NULL THEN CAST(%(now)s AS timestamptz) END,
    last_error = CAST(%(error)s AS text)
WHERE n.incident_id = CAST(%(incident_id)s AS uuid) AND n.route = CAST(%(route)s AS text);

-- name: list_incidents
-- Incidents with their notices, open ones first, then the newest.
SELECT
    i.id AS incident_id, i.kind, i.sentence, i.what_to_do, i.details, i.opened_at, i.seen_at, i.resolved_at,
    coalesce(
        (
            SELECT jsonb_agg(
                jsonb_build_object(
                    'route', n.route, 'reports', n.reports, 'notified_at', n.notified_at, 'attempts', n.attempts, 'last_error', n.last_error
                ) ORDER BY n.route
            )
            FROM campaign_incident_notices n
            WHERE n.incident_id = i.id
        ),
        '[]'
    ) AS notices
FROM campaign_incidents i
WHERE CAST(%(is_all)s AS boolean) OR i.resolved_at IS NULL
ORDER BY i.resolved_at IS NOT NULL, i.opened_at DESC
LIMIT CAST(%(row_limit)s AS integer);

-- name: open_incident_keys
-- Keys of the open incidents of a kind, with their times.
SELECT i.incident_key, i.opened_at, i.seen_at
FROM campaign_incidents i
WHERE i.resolved_at IS NULL AND i.kind = CAST(%(kind)s AS text)
ORDER BY i.incident_key;

-- Guards of volume: numbers of enrollments by campaign and day, stopped entry triggers, and rates that pause campaigns.

-- name: ensure_campaign_guard
-- Creates the row of a campaign's guard.
INSERT INTO campaign_guards (campaign_id, workspace_id)
VALUES (CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid))
ON CONFLICT (campaign_id) DO NOTHING;

-- name: lock_campaign_guard
-- Locks the row of a campaign's guard: enrollments in a campaign that limits them follow each other.
SELECT g.campaign_id
FROM campaign_guards g
WHERE g.campaign_id = CAST(%(campaign_id)s AS uuid)
FOR UPDATE;

-- name: entry_guard
-- What the guard of a campaign knows about its enrollments, with the time zone and the rule of the workspace.
SELECT w.time_zone, r.config AS rule, g.entry_day, g.entries, coalesce(g.trigger_entries, 0) AS trigger_entries,
    g.entries_confirmed
FROM drip_campaigns c
JOIN workspaces w ON w.id = c.workspace_id
LEFT JOIN campaign_guards g ON g.campaign_id = c.id
LEFT JOIN workspace_rules r ON r.workspace_id = c.workspace_id AND r.kind = 'guard' AND r.name = 'guard'
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: entries_since
-- Counts the enrollments of a campaign that started at a time or later.
SELECT count_entries_since(CAST(%(campaign_id)s AS uuid), CAST(%(since)s AS timestamptz)) AS entries;

-- name: contacts_of_campaign
-- Counts the contacts that ever entered a campaign.
SELECT count_contacts_entered(CAST(%(campaign_id)s AS uuid)) AS contacts;

-- name: add_entries
-- Adds enrollments to the numbers of a day; the first ones of a day replace those of an earlier day. `entries` is null
-- unless all enrollments of the day are counted.
INSERT INTO campaign_guards AS g (campaign_id, workspace_id, entry_day, entries, trigger_entries)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(entry_day)s AS date),
    CAST(%(entries)s AS bigint), CAST(%(trigger_entries)s AS bigint)
)
ON CONFLICT (campaign_id) DO UPDATE
SET entry_day = excluded.entry_day,
    entries = excluded.entries,
    trigger_entries = excluded.trigger_entries
        + CASE WHEN g.entry_day = excluded.entry_day THEN g.trigger_entries ELSE 0 END;

-- name: queued_contacts
-- Counts the distinct contacts in the queue of a trigger, up to a limit; with `once` those that are not enrolled yet.
SELECT count(*) AS contacts
FROM (
    SELECT DISTINCT n.contact_id
    FROM campaign_entry_queue n
    WHERE n.trigger_id = CAST(%(trigger_id)s AS bigint)
      AND (
          NOT CAST(%(once)s AS boolean)
          OR NOT EXISTS (
              SELECT FROM campaign_enrollments e
              WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid) AND e.contact_id = n.contact_id
          )
      )
) q;

-- name: has_queued_more_than
-- Whether the queue of a trigger has more entries than this.
SELECT EXISTS (
    SELECT FROM campaign_entry_queue n
    WHERE n.trigger_id = CAST(%(trigger_id)s AS bigint)
    ORDER BY n.id
    OFFSET CAST(%(size)s AS bigint)
) AS has_more;

-- name: stop_entries
-- Stores that the entry trigger of a campaign waits, and what for.
INSERT INTO campaign_guards (campaign_id, workspace_id, waits_until, waits_for, waits_version, waiting, agreed)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(until)s AS timestamptz),
    CAST(%(waits_for)s AS text), CAST(%(version)s AS integer), CAST(%(waiting)s AS bigint), CAST(%(agreed)s AS bigint)
)
ON CONFLICT (campaign_id) DO UPDATE
SET waits_until = excluded.waits_until, waits_for = excluded.waits_for, waits_version = excluded.waits_version,
    waiting = excluded.waiting, agreed = excluded.agreed;

-- name: confirm_entries
-- Stores the enrollments a day that an operator confirms; the trigger goes on.
INSERT INTO campaign_guards AS g (campaign_id, workspace_id, entries_confirmed)
VALUES (CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(size)s AS bigint))
ON CONFLICT (campaign_id) DO UPDATE
SET entries_confirmed = excluded.entries_confirmed,
    waits_until = CASE WHEN g.waits_for = 'confirm_above' THEN NULL ELSE g.waits_until END
WHERE g.entries_confirmed IS DISTINCT FROM excluded.entries_confirmed
   OR g.waits_for = 'confirm_above' AND g.waits_until IS NOT NULL;

-- name: continue_entries
-- The triggers of a workspace that wait for a confirmation are checked again, because its rule has changed.
UPDATE campaign_guards g
SET waits_until = NULL
WHERE g.workspace_id = CAST(%(workspace_id)s AS uuid) AND g.waits_for = 'confirm_above' AND g.waits_until IS NOT NULL;

-- name: guard_of_campaign
-- What the guard of a campaign has stopped, for the details of the campaign.
SELECT
    CASE
        WHEN g.waits_version = c.published_version
            AND g.waits_until > coalesce(CAST(%(now)s AS timestamptz), '-infinity') THEN g.waits_until
    END AS waits_until,
    g.waits_for, g.waiting, g.agreed, g.entries_confirmed, g.paused_by, g.paused_at
FROM campaign_guards g
JOIN drip_campaigns c ON c.id = g.campaign_id
WHERE g.campaign_id = CAST(%(campaign_id)s AS uuid);

-- name: stopped_entries
-- Entry triggers that wait for a confirmation.
SELECT g.campaign_id, g.workspace_id, c.name AS campaign, g.waiting, g.agreed
FROM campaign_guards g
JOIN drip_campaigns c ON c.id = g.campaign_id
WHERE g.waits_for = 'confirm_above' AND g.waits_until > CAST(%(now)s AS timestamptz)
  AND g.waits_version = c.published_version AND c.status = 'active'
ORDER BY c.name, c.id;

-- name: paused_by_guard
-- Campaigns that their guard has paused and nobody has resumed.
SELECT g.campaign_id, g.workspace_id, c.name AS campaign, g.paused_by, g.paused_at
FROM campaign_guards g
JOIN drip_campaigns c ON c.id = g.campaign_id
WHERE g.paused_at IS NOT NULL AND c.status = 'paused'
ORDER BY c.name, c.id;

-- name: campaigns_with_messages
-- Active campaigns with messages since a time, with their numbers; campaigns with fewer messages than `at_least` are
-- left out. Reads the outcomes by the index on their times.
SELECT
    c.id AS campaign_id, c.workspace_id, c.name AS campaign, c.published_version AS version, f.sent, f.complained,
    f.bounced, f.failed + f.never_sent AS failed, f.never_sent
FROM (
    SELECT
        x.campaign_id, sum(x.sent)::bigint AS sent, sum(x.complained)::bigint AS complained,
        sum(x.bounced)::bigint AS bounced, sum(x.failed)::bigint AS failed, sum(x.never_sent)::bigint AS never_sent
    FROM (
        SELECT
            o.campaign_id, count(*) AS sent, count(o.complained_at) AS complained, count(o.bounced_at) AS bounced,
            count(o.failed_at) AS failed, 0 AS never_sent
        FROM campaign_message_outcomes o
        LEFT JOIN campaign_guards g ON g.campaign_id = o.campaign_id
        WHERE o.sent_at > CAST(%(since)s AS timestamptz)
          AND (g.counted_from IS NULL OR o.sent_at > g.counted_from)
          AND (CAST(%(campaign_id)s AS uuid) IS NULL OR o.campaign_id = CAST(%(campaign_id)s AS uuid))
        GROUP BY o.campaign_id
        UNION ALL
        SELECT d.campaign_id, 0, 0, 0, 0, count(*)
        FROM campaign_deliveries d
        LEFT JOIN campaign_guards g ON g.campaign_id = d.campaign_id
        WHERE d.status = 'failed' AND d.settled_at > CAST(%(since)s AS timestamptz)
          AND (g.counted_from IS NULL OR d.settled_at > g.counted_from)
          AND (CAST(%(campaign_id)s AS uuid) IS NULL OR d.campaign_id = CAST(%(campaign_id)s AS uuid))
          AND NOT EXISTS (SELECT FROM campaign_message_outcomes o WHERE o.message_id = d.id)
        GROUP BY d.campaign_id
    ) x
    GROUP BY x.campaign_id
) f
JOIN drip_campaigns c ON c.id = f.campaign_id
WHERE c.status = 'active' AND c.published_version IS NOT NULL
  AND f.sent + f.never_sent >= CAST(%(at_least)s AS bigint)
ORDER BY c.id;

-- name: store_pause_of_guard
-- Stores why the guard has paused a campaign.
INSERT INTO campaign_guards (campaign_id, workspace_id, paused_by, paused_at)
VALUES (
    CAST(%(campaign_id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(paused_by)s AS jsonb),
    CAST(%(now)s AS timestamptz)
)
ON CONFLICT (campaign_id) DO UPDATE
SET paused_by = excluded.paused_by, paused_at = excluded.paused_at;

-- name: end_pause_of_guard
-- The guard counts the messages from now on.
UPDATE campaign_guards g
SET paused_by = NULL, paused_at = NULL, counted_from = CAST(%(now)s AS timestamptz)
WHERE g.campaign_id = CAST(%(campaign_id)s AS uuid) AND g.paused_at IS NOT NULL;

-- name: lock_ingestion
-- Locks an ingestion partition across all processes until the transaction ends. The search for stored keys and their
-- insertion are two statements, and two transactions must not update the outcomes of the same messages.
SELECT pg_advisory_xact_lock(CAST(%(lock_key)s AS integer), CAST(%(partition)s AS integer));

-- name: workspaces_for_events
-- The workspaces with this name or id; without one, all but those of the demo. Two rows show that the choice is
-- ambiguous.
SELECT w.id
FROM workspaces w
WHERE w.name = CAST(%(name)s AS text)
   OR w.id::text = lower(CAST(%(name)s AS text))
   OR (
       CAST(%(name)s AS text) IS NULL AND NOT EXISTS (SELECT FROM demo_workspaces d WHERE d.workspace_id = w.id)
   )
ORDER BY w.name, w.id
LIMIT 2;

-- name: create_staging
-- The table for the events of a chunk as parsed. Dropped with the transaction.
CREATE TEMPORARY TABLE staged_events (
    event_key uuid NOT NULL,
    line_number bigint NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    message_id uuid,
    provider_ref text,
    email text,
    campaign text,
    is_machine boolean NOT NULL,
    -- Why the event forbids to write to its recipient; null for most events.
    suppression_reason text,
    value numeric(14, 2),
    currency text,
    user_agent text,
    ip_address inet,
    device_type text,
    location_data jsonb,
    event_data jsonb NOT NULL
) ON COMMIT DROP;

-- name: limit_statistics_sample
-- A small sample suffices for a table that lives for one transaction; nothing else is analyzed in this transaction.
SELECT set_config('default_statistics_target', '10', true);

-- name: analyze_staging
-- A temporary table has no statistics, and the joins that follow depend on its size.
ANALYZE staged_events (event_key, message_id, email, campaign);

-- name: create_arrivals
-- The table for events of the chunk that are new and whose message, enrollment or contact is resolved. Dropped with the
-- transaction.
CREATE TEMPORARY TABLE arrived_events (
    event_key uuid NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    is_machine boolean NOT NULL,
    -- Why the event forbids to write to its recipient; null for most events.
    suppression_reason text,
    value numeric(14, 2),
    currency text,
    user_agent text,
    ip_address inet,
    device_type text,
    location_data jsonb,
    event_data jsonb NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid,
    campaign_version integer,
    enrollment_id uuid,
    contact_id uuid NOT NULL,
    node_id text,
    step_id uuid,
    message_id uuid,
    variant_group text,
    -- A conversion that was derived from another event of the chunk.
    is_derived boolean NOT NULL DEFAULT false
) ON COMMIT DROP;

-- name: resolve_provider_refs
-- Sets our message id for events that name a message by the provider's id.
UPDATE staged_events s
SET message_id = d.id
FROM campaign_deliveries d
WHERE s.message_id IS NULL AND s.provider_ref IS NOT NULL AND d.provider_message_id = s.provider_ref;

-- name: resolve_by_message
-- Resolves events that name their message. Returns the other ones, with the reason.
WITH resolved AS MATERIALIZED (
    SELECT
        s.*, o.workspace_id, o.campaign_id, o.campaign_version, o.enrollment_id, o.contact_id, o.node_id, o.step_id,
        o.message_id AS known_message_id, o.variant_group,
        CASE
            WHEN k.event_key IS NOT NULL THEN 'duplicate'
            WHEN o.message_id IS NULL THEN 'no such message'
        END AS problem
    FROM staged_events s
    LEFT JOIN ingested_event_keys k ON k.event_key = s.event_key
    LEFT JOIN campaign_message_outcomes o
        ON o.message_id = s.message_id
        AND (CAST(%(workspace_id)s AS uuid) IS NULL OR o.workspace_id = CAST(%(workspace_id)s AS uuid))
    WHERE (s.message_id IS NOT NULL OR s.provider_ref IS NOT NULL)
      AND (CAST(%(lines)s AS bigint []) IS NULL OR s.line_number = ANY(CAST(%(lines)s AS bigint [])))
),

taken AS (
    INSERT INTO arrived_events
    SELECT
        r.event_key, r.event_type, r.occurred_at, r.is_machine, r.suppression_reason, r.value, r.currency, r.user_agent,
        r.ip_address, r.device_type, r.location_data, r.event_data, r.workspace_id, r.campaign_id, r.campaign_version,
        r.enrollment_id, r.contact_id, r.node_id, r.step_id, r.known_message_id, r.variant_group
    FROM resolved r
    WHERE r.problem IS NULL
)

SELECT r.line_number, r.problem AS reason, r.message_id FROM resolved r WHERE r.problem IS NOT NULL;

-- name: lock_reported_deliveries
-- Locks deliveries that events name although no outcome row exists. The event proves that a delivery with an unknown
-- outcome was sent, so that the caller settles it.
SELECT d.id, d.enrollment_id, d.channel, d.status
FROM campaign_deliveries d
WHERE d.id = ANY(CAST(%(ids)s AS uuid []))
  AND (CAST(%(workspace_id)s AS uuid) IS NULL OR d.workspace_id = CAST(%(workspace_id)s AS uuid))
ORDER BY d.id
FOR UPDATE OF d;

-- name: resolve_by_campaign
-- Resolves events that name an address and a campaign: the contact's latest enrollment at that time, and its latest
-- message at that time, if any. Enrollments and messages that started later count only if there is no earlier one; a
-- conversion is never attributed to a message that was sent after it.
WITH candidates AS (
    SELECT
        n.campaign, c.id, c.workspace_id,
        dense_rank() OVER (
            PARTITION BY n.campaign ORDER BY (c.id::text = lower(n.campaign)) DESC, c.status = 'archived'
        ) AS choice
    FROM (SELECT DISTINCT s.campaign FROM staged_events s WHERE s.email IS NOT NULL AND s.campaign IS NOT NULL) n
    JOIN drip_campaigns c ON c.name = n.campaign OR c.id::text = lower(n.campaign)
    WHERE CAST(%(workspace_id)s AS uuid) IS NULL OR c.workspace_id = CAST(%(workspace_id)s AS uuid)
),

campaigns AS MATERIALIZED (
    SELECT
        d.campaign, count(*) AS matches, (array_agg(d.id))[1] AS id, (array_agg(d.workspace_id))[1] AS workspace_id
    FROM candidates d
    WHERE d.choice = 1
    GROUP BY d.campaign
),

resolved AS MATERIALIZED (
    SELECT
        s.*, c.workspace_id, c.id AS campaign_id, coalesce(o.campaign_version, w.campaign_version) AS campaign_version,
        e.id AS enrollment_id, p.id AS contact_id,
        o.node_id, o.step_id, o.message_id AS known_message_id,
        coalesce(o.variant_group, w.assigned_variant) AS variant_group,
        CASE
            WHEN k.event_key IS NOT NULL THEN 'duplicate'
            WHEN c.id IS NULL THEN 'no such campaign'
            WHEN c.matches > 1 THEN 'several campaigns have this name'
            WHEN p.id IS NULL THEN 'no such contact'
            WHEN e.id IS NULL THEN 'the contact is not enrolled in this campaign'
        END AS problem
    FROM staged_events s
    LEFT JOIN ingested_event_keys k ON k.event_key = s.event_key
    LEFT JOIN campaigns c ON c.campaign = s.campaign
    LEFT JOIN LATERAL (
        SELECT x.id
        FROM contacts x
        WHERE x.workspace_id = c.workspace_id AND canonical_email(x.email) = canonical_email(s.email)
        ORDER BY x.email = s.email DESC, x.created_at, x.id
        LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT x.id
        FROM campaign_enrollments x
        WHERE x.campaign_id = c.id AND x.contact_id = p.id
        ORDER BY x.started_at <= s.occurred_at + CAST(%(tolerance)s AS interval) DESC, x.started_at DESC, x.id
        LIMIT 1
    ) e ON true
    LEFT JOIN campaign_workflow_states w ON w.id = e.id
    LEFT JOIN campaign_event_types t ON t.event_type = s.event_type
    LEFT JOIN LATERAL (
        SELECT x.message_id, x.node_id, x.step_id, x.variant_group, x.campaign_version
        FROM campaign_message_outcomes x
        WHERE x.enrollment_id = e.id
          -- An own event has no channel, and belongs to any message.
          AND (coalesce(t.channel, 'contact') NOT IN ('email', 'sms', 'social') OR x.channel = t.channel)
          AND (s.event_type <> 'converted' OR date_trunc('second', x.sent_at) <= s.occurred_at)
        ORDER BY x.sent_at <= s.occurred_at + CAST(%(tolerance)s AS interval) DESC, x.sent_at DESC, x.message_id
        LIMIT 1
    ) o ON true
    WHERE s.email IS NOT NULL AND s.campaign IS NOT NULL
),

taken AS (
    INSERT INTO arrived_events
    SELECT
        r.event_key, r.event_type, r.occurred_at, r.is_machine, r.suppression_reason, r.value, r.currency, r.user_agent,
        r.ip_address, r.device_type, r.location_data, r.event_data, r.workspace_id, r.campaign_id, r.campaign_version,
        r.enrollment_id, r.contact_id, r.node_id, r.step_id, r.known_message_id, r.variant_group
    FROM resolved r
    WHERE r.problem IS NULL
)

SELECT r.line_number, r.problem AS reason FROM resolved r WHERE r.problem IS NOT NULL;

-- name: resolve_by_address
-- Resolves events that name only an address to the contact.
WITH resolved AS MATERIALIZED (
    SELECT
        s.*, p.id AS contact_id,
        CASE
            WHEN k.event_key IS NOT NULL THEN 'duplicate'
            WHEN CAST(%(workspace_id)s AS uuid) IS NULL THEN 'there are several workspaces, and none is named'
            WHEN p.id IS NULL THEN 'no such contact'
        END AS problem
    FROM staged_events s
    LEFT JOIN ingested_event_keys k ON k.event_key = s.event_key
    LEFT JOIN LATERAL (
        SELECT x.id
        FROM contacts x
        WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid) AND canonical_email(x.email) = canonical_email(s.email)
        ORDER BY x.email = s.email DESC, x.created_at, x.id
        LIMIT 1
    ) p ON true
    WHERE s.email IS NOT NULL AND s.campaign IS NULL AND s.message_id IS NULL AND s.provider_ref IS NULL
),

taken AS (
    INSERT INTO arrived_events (
        event_key, event_type, occurred_at, is_machine, suppression_reason, value, currency, user_agent, ip_address,
        device_type, location_data, event_data, workspace_id, contact_id
    )
    SELECT
        r.event_key, r.event_type, r.occurred_at, r.is_machine, r.suppression_reason, r.value, r.currency, r.user_agent,
        r.ip_address, r.device_type, r.location_data, r.event_data, CAST(%(workspace_id)s AS uuid), r.contact_id
    FROM resolved r
    WHERE r.problem IS NULL
)

SELECT r.line_number, r.problem AS reason FROM resolved r WHERE r.problem IS NOT NULL;

-- name: suppress_refused_addresses
-- Suppresses the addresses of events that forbid to write to a recipient who is not known, in this workspace or, without
-- one, in all.
INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason, source, created_at)
SELECT DISTINCT ON (w.id, canonical_email(s.email))
    w.id, p.id, s.email, 'email', s.suppression_reason, CAST(%(source)s AS text), CAST(%(now)s AS timestamptz)
FROM staged_events s
CROSS JOIN workspaces w
LEFT JOIN LATERAL (
    SELECT x.id
    FROM contacts x
    WHERE x.workspace_id = w.id AND canonical_email(x.email) = canonical_email(s.email)
    ORDER BY x.email = s.email DESC, x.created_at, x.id
    LIMIT 1
) p ON true
WHERE s.line_number = ANY(CAST(%(lines)s AS bigint []))
  AND s.suppression_reason IS NOT NULL AND s.event_type <> 'sms_opted_out' AND s.email LIKE '%%@%%'
  AND (CAST(%(workspace_id)s AS uuid) IS NULL OR w.id = CAST(%(workspace_id)s AS uuid))
ORDER BY w.id, canonical_email(s.email), s.line_number
ON CONFLICT DO NOTHING;

-- name: resolve_refusals
-- Resolves the same events to the contacts with their addresses, if there are any, and stores the keys of the others.
-- Returns the lines with the number of their contacts.
WITH refused AS MATERIALIZED (
    SELECT s.*
    FROM staged_events s
    WHERE s.line_number = ANY(CAST(%(lines)s AS bigint []))
      AND s.suppression_reason IS NOT NULL AND s.event_type <> 'sms_opted_out' AND s.email LIKE '%%@%%'
),

resolved AS MATERIALIZED (
    SELECT
        r.*, c.workspace_id, c.id AS contact_id,
        row_number() OVER (PARTITION BY r.event_key ORDER BY c.workspace_id) AS contact_number
    FROM refused r
    CROSS JOIN workspaces w
    CROSS JOIN LATERAL (
        SELECT x.workspace_id, x.id
        FROM contacts x
        WHERE x.workspace_id = w.id AND canonical_email(x.email) = canonical_email(r.email)
        ORDER BY x.email = r.email DESC, x.created_at, x.id
        LIMIT 1
    ) c
    WHERE CAST(%(workspace_id)s AS uuid) IS NULL OR w.id = CAST(%(workspace_id)s AS uuid)
),

taken AS (
    INSERT INTO arrived_events (
        event_key, event_type, occurred_at, is_machine, suppression_reason, value, currency, user_agent, ip_address,
        device_type, location_data, event_data, workspace_id, contact_id
    )
    SELECT
        -- One event about contacts of several workspaces is one event in each.
        CASE
            WHEN r.contact_number = 1 THEN r.event_key ELSE CAST(md5(r.event_key || '/' || r.workspace_id) AS uuid)
        END,
        r.event_type, r.occurred_at, r.is_machine, r.suppression_reason, r.value, r.currency, r.user_agent, r.ip_address,
        r.device_type, r.location_data, r.event_data, r.workspace_id, r.contact_id
    FROM resolved r
),

keyed AS (
    INSERT INTO ingested_event_keys (event_key, recorded_at)
    SELECT s.event_key, CAST(%(now)s AS timestamptz)
    FROM refused s
    WHERE NOT EXISTS (SELECT FROM resolved r WHERE r.event_key = s.event_key)
    ORDER BY s.event_key
)

SELECT s.line_number, (SELECT count(*) FROM resolved r WHERE r.event_key = s.event_key) AS contacts
FROM refused s;

-- name: months_of_arrivals
-- The months of the resolved events, and whether the log has a partition for each.
SELECT m.month, to_regclass('campaign_events_' || replace(m.month, '-', '_')) IS NOT NULL AS has_partition
FROM (SELECT DISTINCT to_char(a.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month FROM arrived_events a) m;

-- name: insert_event_keys
-- Stores the keys of the resolved events; repetitions are duplicates from now on. Sorted by the index: neighbors find
-- its pages in the cache, which saves a fifth of the time.
INSERT INTO ingested_event_keys (event_key, recorded_at)
SELECT a.event_key, CAST(%(now)s AS timestamptz)
FROM arrived_events a
ORDER BY a.event_key;

-- name: goal_candidates
-- Returns the events of the chunk that are of the type of a goal which asks for more, with the versions of that goal; for
-- a goal that is tied to the entry data of a run, with the runs.
SELECT DISTINCT
    a.event_key AS event_id, a.event_type, a.occurred_at, a.event_data, v.campaign_id, v.version,
    CASE WHEN v.goal_is_per_run THEN e.id END AS enrollment_id,
    CASE WHEN v.goal_is_per_run THEN e.personalization_data END AS entry
FROM arrived_events a
JOIN campaign_enrollments e ON e.contact_id = a.contact_id
JOIN campaign_versions v
    ON v.campaign_id = e.campaign_id AND v.goal_event_type = a.event_type AND v.goal_is_narrowed
WHERE NOT a.is_machine AND v.compiled_graph IS NOT NULL;

-- name: add_conversions
-- Adds the conversions that follow from the events of the chunk: one per campaign with such an event as its goal that
-- sent to the contact (or assigned it to a holdout) within the goal's time window. An event that names a campaign
-- counts in that campaign only.
INSERT INTO arrived_events (
    event_key, event_type, occurred_at, is_machine, is_derived, value, currency, event_data, workspace_id,
    campaign_id, campaign_version, enrollment_id, contact_id, node_id, step_id, message_id, variant_group
)
SELECT
    conversion_id(t.campaign_id, a.event_key), 'converted', a.occurred_at, false, true, a.value, a.currency,
    jsonb_strip_nulls(
        jsonb_build_object(
            'event_type', a.event_type, 'event_id', a.event_key, 'value', a.value, 'currency', a.currency
        )
    ),
    t.workspace_id, t.campaign_id, t.campaign_version, t.enrollment_id, a.contact_id, t.node_id, t.step_id,
    t.message_id, t.variant_group
FROM arrived_events a
LEFT JOIN (
    SELECT u.event_key, array_agg(u.version) AS versions
    FROM unnest(CAST(%(refused_events)s AS uuid []), CAST(%(refused_versions)s AS text [])) AS u (event_key, version)
    GROUP BY u.event_key
) r ON r.event_key = a.event_key
CROSS JOIN LATERAL conversion_touches(a.contact_id, a.event_type, a.occurred_at, a.campaign_id, r.versions) t
WHERE NOT a.is_machine
  AND a.event_type IN (SELECT v.goal_event_type FROM campaign_versions v WHERE v.goal_event_type IS NOT NULL);

-- name: log_arrivals
-- Inserts the events of enrollments into the log. The id is the event's key.
INSERT INTO campaign_events (
    id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data, user_agent,
    ip_address, device_type, location_data, created_at, workspace_id, campaign_version, variant_group, message_id
)
SELECT
    a.event_key, a.campaign_id, a.enrollment_id, a.contact_id, a.event_type,
    CASE
        WHEN a.is_derived THEN 'system' WHEN a.event_type LIKE 'email\_%%' THEN 'email_provider' ELSE 'webhook'
    END,
    a.step_id, a.node_id,
    a.event_data, a.user_agent, a.ip_address, a.device_type, a.location_data, a.occurred_at, a.workspace_id,
    a.campaign_version, a.variant_group, a.message_id
FROM arrived_events a
WHERE a.enrollment_id IS NOT NULL
ORDER BY a.event_key;

-- name: log_contact_arrivals
-- Inserts events of contacts that belong to no enrollment.
INSERT INTO contact_events (
    id, workspace_id, contact_id, event_type, value, currency, event_data, occurred_at, recorded_at
)
SELECT
    a.event_key, a.workspace_id, a.contact_id, a.event_type, a.value, a.currency, a.event_data, a.occurred_at,
    CAST(%(now)s AS timestamptz)
FROM arrived_events a
WHERE a.enrollment_id IS NULL;

-- name: register_event_names
-- Registers the names of the chunk's own events, with their number, their times, and the names and types of their
-- properties; no values. Names of properties that can be addresses or are not plain words are left out. At most 5,000
-- names of a workspace and 200 properties of a name are registered, because a product may build names from ids. In the
-- order of the key, so that two transactions lock the rows in the same order.
WITH own AS MATERIALIZED (
    SELECT a.workspace_id, a.event_type, a.occurred_at, a.event_data
    FROM arrived_events a
    WHERE NOT EXISTS (SELECT FROM campaign_event_types t WHERE t.event_type = a.event_type)
),

properties AS (
    SELECT p.workspace_id, p.event_type, jsonb_object_agg(p.name, p.type) AS types
    FROM (
        SELECT
            o.workspace_id, o.event_type, d.name, min(jsonb_typeof(d.value)) AS type,
            row_number() OVER (PARTITION BY o.workspace_id, o.event_type ORDER BY d.name) AS place
        FROM own o
        CROSS JOIN LATERAL jsonb_each(o.event_data) AS d (name, value)
        WHERE d.name <> 'machine'
        GROUP BY o.workspace_id, o.event_type, d.name
        HAVING d.name ~ '^[[:alpha:]_][[:alnum:]_ .-]{0,63}$'
    ) p
    WHERE p.place <= 200
    GROUP BY p.workspace_id, p.event_type
),

names AS (
    SELECT
        o.workspace_id, o.event_type, min(o.occurred_at) AS first_seen_at, max(o.occurred_at) AS last_seen_at,
        count(*) AS events
    FROM own o
    GROUP BY o.workspace_id, o.event_type
)

INSERT INTO event_names AS e (workspace_id, event_type, first_seen_at, last_seen_at, events, properties)
SELECT n.workspace_id, n.event_type, n.first_seen_at, n.last_seen_at, n.events, coalesce(p.types, '{}')
FROM names n
LEFT JOIN properties p ON p.workspace_id = n.workspace_id AND p.event_type = n.event_type
WHERE EXISTS (SELECT FROM event_names x WHERE x.workspace_id = n.workspace_id AND x.event_type = n.event_type)
   OR (SELECT count(*) FROM event_names x WHERE x.workspace_id = n.workspace_id) < 5000
ORDER BY n.workspace_id, n.event_type
ON CONFLICT (workspace_id, event_type) DO UPDATE
SET first_seen_at = least(e.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(e.last_seen_at, excluded.last_seen_at),
    events = e.events + excluded.events,
    properties = CASE
        WHEN e.properties @> excluded.properties THEN e.properties
        WHEN (SELECT count(*) FROM jsonb_object_keys(e.properties)) < 200 THEN e.properties || excluded.properties
        ELSE e.properties
    END;

-- name: reject_events
-- Stores rejected lines with their reasons; the same line of the same file once.
INSERT INTO rejected_events (workspace_id, source, provider, line_number, reason, raw, rejected_at)
SELECT
    CAST(%(workspace_id)s AS uuid), CAST(%(source)s AS text), CAST(%(provider)s AS text), r.line_number, r.reason, r.raw,
    CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(line_numbers)s AS bigint []), CAST(%(reasons)s AS text []), CAST(%(raws)s AS text [])) AS r (
    line_number, reason, raw
)
ON CONFLICT DO NOTHING;

-- name: rejected_events_to_retry
-- The next rejected lines after an id, with their raw text, optionally of one source or reason.
SELECT r.id, r.source, r.provider, r.workspace_id, r.raw
FROM rejected_events r
WHERE r.id > CAST(%(after)s AS bigint) AND r.id <= CAST(%(last_id)s AS bigint)
  AND (CAST(%(source)s AS text) IS NULL OR r.source = CAST(%(source)s AS text))
  AND (CAST(%(reason)s AS text) IS NULL OR r.reason = CAST(%(reason)s AS text))
ORDER BY r.id
LIMIT CAST(%(row_limit)s AS integer);

-- name: last_rejected_event
-- The id of the line rejected last; 0 if there is none.
SELECT coalesce(max(r.id), 0) AS id FROM rejected_events r;

-- name: delete_rejected_events
-- Deletes rejected lines that were accepted when they were retried.
DELETE FROM rejected_events r WHERE r.id = ANY(CAST(%(ids)s AS bigint []));

-- name: reject_events_again
-- Stores the reasons for which lines were rejected when they were retried.
UPDATE rejected_events r
SET reason = n.reason, rejected_at = CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(ids)s AS bigint []), CAST(%(reasons)s AS text [])) AS n (id, reason)
WHERE r.id = n.id;

-- name: update_message_outcomes
-- Applies new events to the outcomes of their messages: earliest times, and counts of new events only, so that neither
-- the order nor the chunks matter. Opens and clicks of machines are stored separately. A bounce that is not permanent
-- counts unless the message was delivered later; soft_bounced_at tells it from a permanent one.
WITH changes AS (
    SELECT
        a.message_id,
        min(a.occurred_at) FILTER (WHERE a.event_type IN ('email_delivered', 'sms_delivered')) AS delivered_at,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'email_opened' AND NOT a.is_machine) AS opened_at,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'email_opened' AND a.is_machine) AS machine_opened_at,
        count(*) FILTER (WHERE a.event_type = 'email_opened' AND NOT a.is_machine) AS opens,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'email_clicked' AND NOT a.is_machine) AS clicked_at,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'email_clicked' AND a.is_machine) AS machine_clicked_at,
        count(*) FILTER (WHERE a.event_type = 'email_clicked' AND NOT a.is_machine) AS clicks,
        min(a.occurred_at) FILTER (
            WHERE a.event_type IN ('email_replied', 'sms_replied') AND NOT a.is_machine
        ) AS replied_at,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'converted') AS converted_at,
        coalesce(sum(a.value) FILTER (WHERE a.event_type = 'converted'), 0) AS conversion_value,
        min(a.occurred_at) FILTER (
            WHERE a.event_type IN ('email_unsubscribed', 'sms_opted_out', 'topic_unsubscribed')
        ) AS unsubscribed_at,
        min(a.occurred_at) FILTER (WHERE a.event_type = 'email_complained') AS complained_at,
        min(a.occurred_at) FILTER (
            WHERE a.event_type = 'email_bounced' AND a.suppression_reason IS NOT NULL
        ) AS bounced_at,
        max(a.occurred_at) FILTER (
            WHERE a.event_type = 'email_bounced' AND a.suppression_reason IS NULL
        ) AS soft_bounced_at,
        min(a.occurred_at) FILTER (
            WHERE a.event_type IN ('email_failed', 'email_suppressed', 'sms_failed', 'social_failed')
        ) AS failed_at
    FROM arrived_events a
    WHERE a.message_id IS NOT NULL AND a.event_type <> ALL(ARRAY['email_deferred', 'social_engaged'])
    GROUP BY a.message_id
)

UPDATE campaign_message_outcomes o
SET delivered_at = least(o.delivered_at, n.delivered_at),
    first_opened_at = least(o.first_opened_at, n.opened_at),
    first_machine_opened_at = least(o.first_machine_opened_at, n.machine_opened_at),
    open_count = o.open_count + n.opens,
    first_clicked_at = least(o.first_clicked_at, n.clicked_at),
    first_machine_clicked_at = least(o.first_machine_clicked_at, n.machine_clicked_at),
    click_count = o.click_count + n.clicks,
    first_replied_at = least(o.first_replied_at, n.replied_at),
    first_converted_at = least(o.first_converted_at, n.converted_at),
    conversion_value = o.conversion_value + n.conversion_value,
    unsubscribed_at = least(o.unsubscribed_at, n.unsubscribed_at),
    complained_at = least(o.complained_at, n.complained_at),
    bounced_at = CASE
        WHEN n.bounced_at IS NOT NULL OR (o.bounced_at IS NOT NULL AND o.soft_bounced_at IS NULL)
            THEN least(CASE WHEN o.soft_bounced_at IS NULL THEN o.bounced_at END, n.bounced_at)
        WHEN greatest(o.soft_bounced_at, n.soft_bounced_at) <= least(o.delivered_at, n.delivered_at) THEN NULL
        ELSE greatest(o.soft_bounced_at, n.soft_bounced_at)
    END,
    soft_bounced_at = CASE
        WHEN n.bounced_at IS NULL AND (o.bounced_at IS NULL OR o.soft_bounced_at IS NOT NULL)
            THEN greatest(o.soft_bounced_at, n.soft_bounced_at)
    END,
    failed_at = least(o.failed_at, n.failed_at)
FROM changes n
WHERE o.message_id = n.message_id;

-- name: update_split_assignments
-- Applies conversions to split assignments, with or without a message. What happened before the assignment does not
-- count, and does not hide what happens later; times of other applications have whole seconds.
WITH changes AS (
    SELECT r.enrollment_id, r.split_node_id, min(a.occurred_at) AS converted_at, coalesce(sum(a.value), 0) AS value
    FROM arrived_events a
    JOIN campaign_split_assignments r
        ON r.enrollment_id = a.enrollment_id AND a.occurred_at >= date_trunc('second', r.assigned_at)
    WHERE a.event_type = 'converted' AND a.enrollment_id IS NOT NULL
    GROUP BY r.enrollment_id, r.split_node_id
)

UPDATE campaign_split_assignments s
SET first_converted_at = least(s.first_converted_at, n.converted_at),
    conversion_value = s.conversion_value + n.value
FROM changes n
WHERE s.enrollment_id = n.enrollment_id AND s.split_node_id = n.split_node_id;

-- name: lock_affected_states
-- Locks the states that these events may resume or end, in the order of ids, and counts them and those whose wait
-- judges events one by one. Returns also whether any goal judges events one by one, whether any ends runs, and whether any
-- exit rule names events. Waits for a transaction
-- that is suspending such a state: the statements after this one see the suspended state. The event types that are
-- waited for are read here and not earlier, so that a version published meanwhile is included. States of campaigns with
-- these events as their goal are locked even if completed: one of their messages may be in the process of being sent.
WITH goals AS MATERIALIZED (
    SELECT DISTINCT v.campaign_id, v.goal_event_type AS event_type, v.goal_is_narrowed, v.goal_ends_runs
    FROM campaign_versions v
    WHERE v.goal_event_type IS NOT NULL
),

waited AS MATERIALIZED (
    SELECT DISTINCT v.campaign_id, t.event_type
    FROM campaign_versions v
    CROSS JOIN unnest(v.waits_for) AS t (event_type)
    WHERE v.compiled_graph IS NOT NULL
)

SELECT
    count(*) AS states,
    count(*) FILTER (WHERE locked.wait_for_event LIKE 'match:%%') AS matched_waits,
    EXISTS (SELECT FROM goals g WHERE g.goal_is_narrowed) AS has_narrowed_goals,
    EXISTS (SELECT FROM goals g WHERE g.goal_ends_runs) AS has_goals_that_exit,
    EXISTS (SELECT FROM campaign_versions v WHERE v.exit_events <> '{}') AS has_exits
FROM (
    SELECT s.id, s.wait_for_event
    FROM (
        SELECT u.id, bool_or(u.is_goal) AS is_goal
        FROM (
            SELECT a.enrollment_id AS id, false AS is_goal
            FROM arrived_events a
            JOIN waited w
                ON w.campaign_id = a.campaign_id
                AND w.event_type = CASE WHEN a.is_machine THEN 'machine:' || a.event_type ELSE a.event_type END
            WHERE a.enrollment_id IS NOT NULL
            UNION ALL
            SELECT e.id, false
            FROM arrived_events a
            JOIN campaign_enrollments e ON e.contact_id = a.contact_id
            JOIN waited w
                ON w.campaign_id = e.campaign_id
                AND w.event_type = CASE WHEN a.is_machine THEN 'machine:' || a.event_type ELSE a.event_type END
            WHERE a.enrollment_id IS NULL
            UNION ALL
            SELECT e.id, false
            FROM waited w
            JOIN arrived_events a
                ON w.event_type = 'any:' || CASE WHEN a.is_machine THEN 'machine:' ELSE '' END || a.event_type
            JOIN campaign_enrollments e ON e.campaign_id = w.campaign_id AND e.contact_id = a.contact_id
            WHERE a.enrollment_id IS NOT NULL
            UNION ALL
            SELECT a.enrollment_id, false
            FROM arrived_events a
            WHERE a.enrollment_id IS NOT NULL
              AND a.suppression_reason IS NOT NULL AND a.event_type <> 'sms_opted_out'
            UNION ALL
            SELECT e.id, false
            FROM arrived_events a
            JOIN campaign_enrollments e ON e.contact_id = a.contact_id
            WHERE a.enrollment_id IS NULL
              AND a.suppression_reason IS NOT NULL AND a.event_type <> 'sms_opted_out'
            UNION ALL
            SELECT e.id, true
            FROM arrived_events a
            JOIN campaign_enrollments e ON e.contact_id = a.contact_id
            JOIN goals g ON g.campaign_id = e.campaign_id AND g.event_type = a.event_type
            WHERE NOT a.is_machine AND (a.campaign_id IS NULL OR a.campaign_id = e.campaign_id)
        ) u
        GROUP BY u.id
    ) n
    JOIN campaign_workflow_states s ON s.id = n.id
    WHERE n.is_goal OR s.workflow_status NOT IN ('completed', 'exited')
    ORDER BY s.id
    FOR UPDATE OF s
) locked;

-- name: resume_waiting_states
-- Resumes the states that wait for these events. An event that belongs to a message counts if it is about the latest
-- message of the run. Other events from before the latest message (or, without one, from before the wait's node was
-- entered) do not count; the look-back of the wait itself uses the same limits.
WITH waited AS MATERIALIZED (
    SELECT DISTINCT v.campaign_id, t.event_type
    FROM campaign_versions v
    CROSS JOIN unnest(v.waits_for) AS t (event_type)
    WHERE v.compiled_graph IS NOT NULL
)

UPDATE campaign_workflow_states s
SET resume_port = 'event',
    wait_for_event = NULL,
    wait_until = NULL,
    next_execution_at = CAST(%(now)s AS timestamptz),
    workflow_status = CASE s.workflow_status WHEN 'paused' THEN 'paused' ELSE 'running' END
FROM (
    SELECT a.enrollment_id AS state_id, a.event_type, a.message_id, max(a.occurred_at) AS latest_at
    FROM arrived_events a
    JOIN waited v ON v.campaign_id = a.campaign_id AND v.event_type = a.event_type
    WHERE a.enrollment_id IS NOT NULL AND NOT a.is_machine
    GROUP BY a.enrollment_id, a.event_type, a.message_id
    UNION ALL
    SELECT w.id, a.event_type, NULL, max(a.occurred_at)
    FROM arrived_events a
    JOIN campaign_workflow_states w
        ON w.contact_id = a.contact_id AND w.wait_for_event IS NOT NULL AND w.wait_for_event = a.event_type
    WHERE a.enrollment_id IS NULL AND NOT a.is_machine
    GROUP BY w.id, a.event_type
) n
WHERE s.id = n.state_id
  AND s.wait_for_event = n.event_type
  AND s.workflow_status IN ('waiting', 'paused')
  AND CASE
      WHEN message_channel_of(n.event_type) IS NULL
          THEN n.latest_at
              >= coalesce(s.last_message_at, s.node_entered_at, s.started_at) - CAST(%(tolerance)s AS interval)
      WHEN n.message_id IS NOT NULL
          THEN n.message_id = (SELECT m.message_id FROM latest_message(s.id, message_channel_of(n.event_type)) m)
      ELSE n.latest_at >= coalesce(s.last_message_at, s.node_entered_at, s.started_at)
  END;

-- name: arrivals_of_matched_waits
-- Returns this transaction's events for the waiting states whose wait judges events one by one, with what the wait reads
-- of the state. The caller has locked the states. What a state waits for lists event types; `machine:` precedes those
-- that count from machines, too, and `any:` those that count from other runs of the contact.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.started_at,
    coalesce(s.last_message_at, s.node_entered_at, s.started_at) AS since,
    n.event_key AS event_id, n.event_type, n.occurred_at, n.event_data, n.is_machine, n.message_id, n.node_id,
    n.belongs_to
FROM (
    SELECT a.enrollment_id AS state_id, '' AS prefix, 'run' AS belongs_to, a.*
    FROM arrived_events a
    WHERE a.enrollment_id IS NOT NULL
    UNION ALL
    SELECT
        w.id, CASE WHEN a.enrollment_id IS NULL THEN '' ELSE 'any:' END,
        CASE WHEN a.enrollment_id IS NULL THEN 'contact' ELSE 'other run' END, a.*
    FROM arrived_events a
    JOIN campaign_workflow_states w ON w.contact_id = a.contact_id AND w.wait_for_event IS NOT NULL
    WHERE a.enrollment_id IS DISTINCT FROM w.id
) n
JOIN campaign_workflow_states s ON s.id = n.state_id
WHERE s.wait_for_event LIKE 'match:%%'
  AND n.prefix || CASE WHEN n.is_machine THEN 'machine:' ELSE '' END || n.event_type
  = ANY(string_to_array(substr(s.wait_for_event, 7), ','))
  AND s.workflow_status IN ('waiting', 'paused');

-- name: contacts_to_suppress
-- The contacts that these events forbid to write to, with the channel and the reason; the most severe reason if there
-- are several. Contacts with a soft bounce have the reason `soft_bounced`: only repeated ones suppress. Those that
-- subscribed again have rows of their own with the reason `resubscribed`.
SELECT
    a.contact_id,
    CASE WHEN a.event_type IN ('sms_opted_out', 'sms_opted_in') THEN 'sms' ELSE 'email' END AS channel,
    (ARRAY['unsubscribed', 'complained', 'bounced', 'manual', 'soft_bounced', 'resubscribed'])[
        min(
            CASE
                WHEN a.event_type IN ('email_resubscribed', 'sms_opted_in') THEN 6
                WHEN a.suppression_reason = 'unsubscribed' THEN 1
                WHEN a.suppression_reason = 'complained' THEN 2
                WHEN a.suppression_reason = 'bounced' THEN 3
                WHEN a.suppression_reason = 'manual' THEN 4
                ELSE 5
            END
        )
    ] AS reason
FROM arrived_events a
WHERE a.suppression_reason IS NOT NULL
  OR a.event_type IN ('email_resubscribed', 'sms_opted_in')
  OR (a.event_type = 'email_bounced' AND a.event_data ->> 'bounce_type' = 'soft')
GROUP BY a.contact_id, channel, a.event_type IN ('email_resubscribed', 'sms_opted_in')
ORDER BY a.contact_id, channel;

-- name: readmit_contacts
-- Lifts what contacts asked for when they unsubscribed, if they subscribed again later: the event log decides, because
-- events arrive in any order. An entry for all channels stays for the other one. Their runs that ended because of it no
-- longer keep them from entering again.
WITH latest AS MATERIALIZED (
    SELECT
        r.contact_id, r.channel,
        max(x.happened_at) FILTER (WHERE x.event_type IN ('sms_opted_in', 'email_resubscribed')) AS again_at
    FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(channels)s AS text [])) AS r (contact_id, channel)
    CROSS JOIN LATERAL (
        SELECT c.event_type, c.occurred_at AS happened_at
        FROM contact_events c
        WHERE c.contact_id = r.contact_id
        UNION ALL
        SELECT v.event_type, v.created_at
        FROM campaign_enrollments n
        JOIN campaign_events v ON v.enrollment_id = n.id
        WHERE n.contact_id = r.contact_id
    ) x
    GROUP BY r.contact_id, r.channel
    HAVING max(x.happened_at) FILTER (
        WHERE x.event_type = CASE r.channel WHEN 'sms' THEN 'sms_opted_in' ELSE 'email_resubscribed' END
    ) > coalesce(
        max(x.happened_at) FILTER (
            WHERE x.event_type = CASE r.channel WHEN 'sms' THEN 'sms_opted_out' ELSE 'email_unsubscribed' END
        ),
        '-infinity'
    )
),

removed AS (
    DELETE FROM campaign_suppressions s
    USING latest r
    JOIN contacts k ON k.id = r.contact_id
    WHERE s.workspace_id = k.workspace_id
      AND s.reason = 'unsubscribed'
      AND (s.channel IS NULL OR s.channel = r.channel)
      -- A list that was imported later may know of a later no, and so does a link that was followed later.
      AND (s.source NOT IN ('import', 'receiver') OR s.created_at <= r.again_at)
      AND (
          s.contact_id = k.id
          OR canonical_address(s.address)
          = CASE r.channel WHEN 'sms' THEN canonical_phone(k.phone) ELSE canonical_email(k.email) END
      )
    RETURNING s.*, r.channel AS lifted_channel
),

kept AS (
    INSERT INTO campaign_suppressions (
        workspace_id, contact_id, address, channel, campaign_id, reason, note, source, created_at
    )
    SELECT
        r.workspace_id, r.contact_id, r.address, CASE r.lifted_channel WHEN 'sms' THEN 'email' ELSE 'sms' END,
        r.campaign_id, r.reason, r.note, r.source, r.created_at
    FROM removed r
    WHERE r.channel IS NULL
    ON CONFLICT DO NOTHING
),

reopened AS (
    UPDATE campaign_enrollments e
    SET status = 'completed'
    FROM latest r
    WHERE e.contact_id = r.contact_id AND e.status = 'unsubscribed' AND r.channel = 'email'
      AND EXISTS (SELECT FROM campaign_workflow_states w WHERE w.id = e.id AND w.completed_at IS NOT NULL)
)

SELECT count(*) AS lifted FROM removed;

-- name: repeatedly_soft_bounced
-- Of these contacts with a new soft bounce: those whose address has bounced that often within the time span.
WITH since AS MATERIALIZED (
    SELECT a.contact_id, min(a.occurred_at) - CAST(%(time_span)s AS interval) AS since
    FROM arrived_events a
    WHERE a.contact_id = ANY(CAST(%(contact_ids)s AS uuid [])) AND a.event_type = 'email_bounced'
    GROUP BY a.contact_id
)

SELECT r.contact_id
FROM repeatedly_soft_bounced(
    ARRAY(SELECT s.contact_id FROM since s ORDER BY s.contact_id),
    ARRAY(SELECT s.since FROM since s ORDER BY s.contact_id),
    CAST(%(time_span)s AS interval), CAST(%(threshold)s AS integer)
) AS r (contact_id);

-- name: states_at_goal
-- The states whose run reached its goal by these events, each with the first one since it began; failed ones, too, because
-- requeueing would continue them. `refused_events` do not reach the goals of `refused_versions` (campaign/version, or
-- campaign/version/enrollment). The first ten columns are those of a claimed state.
SELECT DISTINCT ON (s.id)
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count, s.max_retries,
    s.steps_taken, e.status AS enrollment_status, a.event_type, s.assigned_variant
FROM arrived_events a
JOIN campaign_enrollments e ON e.contact_id = a.contact_id
JOIN campaign_workflow_states s ON s.id = e.id
JOIN campaign_versions v
    ON v.campaign_id = s.campaign_id AND v.version = s.campaign_version AND v.goal_ends_runs
    AND v.goal_event_type = a.event_type
WHERE NOT a.is_machine AND NOT a.is_derived
  AND (a.campaign_id IS NULL OR a.campaign_id = s.campaign_id)
  -- Times of other applications often have whole seconds.
  AND a.occurred_at >= date_trunc('second', s.started_at)
  AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
  AND NOT EXISTS (
      SELECT
      FROM unnest(CAST(%(refused_events)s AS uuid []), CAST(%(refused_versions)s AS text [])) AS r (event_id, version)
      WHERE r.event_id = a.event_key
        AND r.version IN (
            s.campaign_id || '/' || s.campaign_version, s.campaign_id || '/' || s.campaign_version || '/' || s.id
        )
  )
ORDER BY s.id, a.occurred_at, a.event_key;

-- name: states_of_exit_events
-- The open and failed states whose campaign version evaluates its exit rules on one of these events. The columns are those
-- of a claimed state.
WITH named AS MATERIALIZED (
    SELECT v.campaign_id, v.version, t.name
    FROM campaign_versions v
    CROSS JOIN unnest(v.exit_events) AS t (name)
    WHERE v.compiled_graph IS NOT NULL
)

SELECT DISTINCT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count, s.max_retries,
    s.steps_taken, e.status AS enrollment_status
FROM arrived_events a
JOIN campaign_enrollments e ON e.contact_id = a.contact_id
JOIN named n
    ON n.campaign_id = e.campaign_id
    AND n.name = CASE WHEN a.enrollment_id <> e.id THEN 'any:' ELSE '' END
    || CASE WHEN a.is_machine THEN 'machine:' ELSE '' END || a.event_type
JOIN campaign_workflow_states s ON s.id = e.id AND s.campaign_version = n.version
WHERE NOT a.is_derived AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
ORDER BY s.id;

-- name: lock_states_of_changed
-- Locks the open and failed states of changed contacts whose campaign version has exit rules on fields. The columns are
-- those of a claimed state.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count, s.max_retries,
    s.steps_taken, e.status AS enrollment_status
FROM campaign_enrollments e
JOIN campaign_workflow_states s ON s.id = e.id
WHERE EXISTS (SELECT FROM campaign_versions v WHERE v.exits_follow_contacts)
  AND e.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
  AND (s.campaign_id, s.campaign_version) IN (
      SELECT v.campaign_id, v.version FROM campaign_versions v WHERE v.exits_follow_contacts
  )
ORDER BY s.id
FOR UPDATE OF s;

-- name: states_to_exit
-- The open states that these events end: the state of the enrollment, or all states of a contact if no campaign is
-- named. The first ten columns are those of a claimed state.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
    s.max_retries, s.steps_taken, e.status AS enrollment_status, n.cause
FROM (
    -- The last in the alphabet: an unsubscription takes precedence.
    SELECT x.state_id, max(x.cause) AS cause
    FROM (
        SELECT a.enrollment_id AS state_id, a.suppression_reason AS cause
        FROM arrived_events a
        WHERE a.enrollment_id IS NOT NULL
          AND a.suppression_reason IS NOT NULL AND a.event_type <> 'sms_opted_out'
        UNION ALL
        SELECT m.id, a.suppression_reason
        FROM arrived_events a
        JOIN campaign_enrollments m ON m.contact_id = a.contact_id
        WHERE a.enrollment_id IS NULL
          AND a.suppression_reason IS NOT NULL AND a.event_type <> 'sms_opted_out'
    ) x
    GROUP BY x.state_id
) n
JOIN campaign_workflow_states s ON s.id = n.state_id
JOIN campaign_enrollments e ON e.id = s.id
WHERE s.workflow_status IN ('running', 'waiting', 'paused')
ORDER BY s.id;

-- name: contacts_leaving_topics
-- The contacts of this transaction's events that left a topic, and have not joined it again.
SELECT DISTINCT a.contact_id, c.topic
FROM arrived_events a
JOIN topic_consents c
    ON c.contact_id = a.contact_id AND c.topic = a.event_data ->> 'topic' AND c.status = 'unsubscribed'
WHERE a.event_type = 'topic_unsubscribed';

-- name: apply_topic_events
-- Sets the consents of this transaction's events about topics, in the order of their times. What was decided later, or
-- has been set by the sender of the event already, stays.
SELECT sum(
    set_topic_consent(
        e.workspace_id, e.topic, e.contact_id, e.addresses,
        CASE e.event_type WHEN 'topic_subscribed' THEN 'subscribed' ELSE 'unsubscribed' END, 'person', e.occurred_at
    )
) AS changed
FROM (
    SELECT a.workspace_id, t.name AS topic, a.contact_id, ARRAY[k.email, k.phone] AS addresses, a.event_type, a.occurred_at
    FROM arrived_events a
    JOIN workspace_topics t ON t.workspace_id = a.workspace_id AND t.name = a.event_data ->> 'topic'
    JOIN contacts k ON k.id = a.contact_id
    WHERE a.event_type IN ('topic_subscribed', 'topic_unsubscribed')
      AND NOT EXISTS (
          SELECT FROM topic_consents c
          WHERE c.workspace_id = t.workspace_id AND c.topic = t.name AND c.changed_at >= a.occurred_at
            AND (c.contact_id = k.id OR c.address IN (canonical_email(k.email), canonical_phone(k.phone)))
      )
    ORDER BY a.occurred_at
    OFFSET 0
) e;

-- name: count_rejected_events
-- The number of rejected lines by source and reason.
SELECT r.source, r.reason, count(*) AS lines, max(r.rejected_at) AS latest_at
FROM rejected_events r
WHERE CAST(%(source)s AS text) IS NULL OR r.source = CAST(%(source)s AS text)
GROUP BY r.source, r.reason
ORDER BY r.source, r.reason;

-- name: erase_arrivals
-- Takes out of the chunk's events of erased persons what would identify them again; they count in metrics only.
UPDATE arrived_events a
SET user_agent = NULL, ip_address = NULL, device_type = NULL, location_data = NULL,
    event_data = erased_event_data(a.event_type, 'webhook', a.event_data)
FROM contact_erasures e
WHERE e.id = a.contact_id;

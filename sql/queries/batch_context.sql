-- name: contact_attributes
-- Returns what conditions and splits read of contacts. Columns that are not requested are null and are not sent.
SELECT
    k.id,
    CASE WHEN 'name' = ANY(w.names) THEN k.name END AS name,
    CASE WHEN 'email' = ANY(w.names) THEN k.email END AS email,
    CASE WHEN 'company' = ANY(w.names) THEN k.company END AS company,
    CASE WHEN 'phone' = ANY(w.names) THEN k.phone END AS phone,
    CASE WHEN 'job_title' = ANY(w.names) THEN k.job_title END AS job_title,
    CASE WHEN 'ai_score' = ANY(w.names) THEN k.ai_score END AS ai_score,
    CASE WHEN 'status' = ANY(w.names) THEN k.status END AS status,
    CASE WHEN 'tags' = ANY(w.names) THEN k.tags END AS tags,
    CASE WHEN 'custom_fields' = ANY(w.names) THEN k.custom_fields END AS custom_fields,
    CASE WHEN 'last_interaction' = ANY(w.names) THEN k.last_interaction END AS last_interaction,
    CASE WHEN 'created_at' = ANY(w.names) THEN k.created_at END AS created_at,
    CASE WHEN 'updated_at' = ANY(w.names) THEN k.updated_at END AS updated_at,
    CASE
        WHEN 'workspace_time_zone' = ANY(w.names)
            THEN (SELECT s.time_zone FROM workspaces s WHERE s.id = k.workspace_id)
    END AS workspace_time_zone
FROM contacts k
CROSS JOIN (SELECT CAST(%(columns)s AS text []) AS names) w
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: contact_zones
-- Returns the time zone of each contact, as written, and that of its workspace.
SELECT k.id, k.custom_fields ->> 'timezone' AS of_contact, w.time_zone AS of_workspace
FROM contacts k
JOIN workspaces w ON w.id = k.workspace_id
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: latest_events
-- Returns the latest time of each event type, in the enrollment or at contact level. Of the types that belong to a message,
-- events of the latest message count, and those that name no message and are later than that.
WITH asked AS MATERIALIZED (
    SELECT p.enrollment_id, p.contact_id, t.event_type, m.message_id, m.sent_at
    FROM unnest(CAST(%(enrollment_ids)s AS uuid []), CAST(%(contact_ids)s AS uuid [])) AS p (enrollment_id, contact_id)
    CROSS JOIN unnest(CAST(%(event_types)s AS text [])) AS t (event_type)
    LEFT JOIN LATERAL latest_message(p.enrollment_id, message_channel_of(t.event_type)) m
        ON message_channel_of(t.event_type) IS NOT NULL
)

SELECT e.enrollment_id, e.event_type, max(e.created_at) AS latest_at
FROM campaign_events e
JOIN asked q ON q.enrollment_id = e.enrollment_id AND q.event_type = e.event_type
WHERE e.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []))
  AND e.event_type = ANY(CAST(%(event_types)s AS text []))
  AND CASE
      WHEN q.message_id IS NOT NULL AND e.message_id IS NOT NULL THEN e.message_id = q.message_id
      ELSE q.sent_at IS NULL OR e.created_at >= q.sent_at
  END
  -- Opens and clicks by machines resume no wait and decide no condition.
  AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
GROUP BY e.enrollment_id, e.event_type
UNION ALL
SELECT q.enrollment_id, x.event_type, max(x.occurred_at) AS latest_at
FROM asked q
JOIN contact_events x ON x.contact_id = q.contact_id AND x.event_type = q.event_type
WHERE (q.sent_at IS NULL OR x.occurred_at >= q.sent_at)
  AND x.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
GROUP BY q.enrollment_id, x.event_type;

-- name: look_back_from
-- Returns the time from which events count for a wait: the latest message, or else the entry into the node before.
SELECT s.id, coalesce(s.last_message_at, s.node_entered_at, s.started_at) AS since
FROM campaign_workflow_states s
WHERE s.id = ANY(CAST(%(state_ids)s AS uuid []));

-- name: running_tests
-- Returns the tests of these campaigns that are not superseded, with the winner if decided.
SELECT t.id, t.campaign_id, t.split_node_id, t.campaign_versions, t.winner_variant
FROM campaign_ab_tests t
WHERE t.campaign_id = ANY(CAST(%(campaign_ids)s AS uuid [])) AND t.status <> 'superseded';

-- name: existing_assignments
-- Returns the variants assigned to these enrollments; repeating a split keeps them.
SELECT a.enrollment_id, a.split_node_id, a.variant_group, a.is_randomized
FROM campaign_split_assignments a
WHERE a.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []));

-- name: contact_assignments
-- Returns the variants assigned to these contacts in any run of the test: a contact has one variant per test.
SELECT a.contact_id, a.split_node_id, a.variant_group, a.is_randomized
FROM campaign_split_assignments a
WHERE a.ab_test_id = ANY(CAST(%(test_ids)s AS uuid [])) AND a.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: compiled_graph
-- Returns the compiled graph of a version.
SELECT v.compiled_graph, c.name AS campaign_name, c.workspace_id
FROM campaign_versions v
JOIN drip_campaigns c ON c.id = v.campaign_id
WHERE v.campaign_id = CAST(%(campaign_id)s AS uuid) AND v.version = CAST(%(version)s AS integer);

-- name: change_tags
-- Adds and removes tags. Each tag occurs once, and the order is kept.
UPDATE contacts k
SET tags = (
        SELECT coalesce(array_agg(u.tag ORDER BY u.position), '{}')
        FROM (
            SELECT t.tag, min(t.position) AS position
            FROM unnest(coalesce(k.tags, '{}') || CAST(%(add)s AS text [])) WITH ORDINALITY AS t (tag, position)
            WHERE t.tag <> ALL(CAST(%(remove)s AS text []))
            GROUP BY t.tag
        ) u
    ),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: change_score
-- Changes or sets the score, limited to 0..100.
UPDATE contacts k
SET ai_score = least(100, greatest(0, coalesce(CAST(%(set)s AS integer), coalesce(k.ai_score, 0) + coalesce(CAST(%(delta)s AS integer), 0)))),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: change_column
-- Sets one of the updatable columns.
UPDATE contacts k
SET name = CASE CAST(%(column)s AS text) WHEN 'name' THEN CAST(%(value)s AS text) ELSE k.name END,
    company = CASE CAST(%(column)s AS text) WHEN 'company' THEN CAST(%(value)s AS text) ELSE k.company END,
    phone = CASE CAST(%(column)s AS text) WHEN 'phone' THEN CAST(%(value)s AS text) ELSE k.phone END,
    job_title = CASE CAST(%(column)s AS text) WHEN 'job_title' THEN CAST(%(value)s AS text) ELSE k.job_title END,
    status = CASE CAST(%(column)s AS text) WHEN 'status' THEN CAST(%(value)s AS text) ELSE k.status END,
    updated_at = CAST(%(now)s AS timestamptz)
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: change_custom_field
-- Sets one custom field.
UPDATE contacts k
SET custom_fields = coalesce(k.custom_fields, '{}')
        || jsonb_build_object(CAST(%(field)s AS text), CAST(%(value)s AS jsonb)),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: set_column
-- Sets one of the updatable columns of each contact to its own value.
UPDATE contacts k
SET name = CASE CAST(%(column)s AS text) WHEN 'name' THEN n.value ELSE k.name END,
    company = CASE CAST(%(column)s AS text) WHEN 'company' THEN n.value ELSE k.company END,
    phone = CASE CAST(%(column)s AS text) WHEN 'phone' THEN n.value ELSE k.phone END,
    job_title = CASE CAST(%(column)s AS text) WHEN 'job_title' THEN n.value ELSE k.job_title END,
    updated_at = CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(values)s AS text [])) AS n (id, value)
WHERE k.id = n.id;

-- name: set_custom_field
-- Sets one custom field of each contact to its own value.
UPDATE contacts k
SET custom_fields = coalesce(k.custom_fields, '{}')
        || jsonb_build_object(CAST(%(field)s AS text), CAST(n.value AS jsonb)),
    updated_at = CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(values)s AS text [])) AS n (id, value)
WHERE k.id = n.id;

-- name: limit_lock_wait
-- Limits how long the statements of this transaction wait for a lock, in milliseconds.
SELECT set_config('lock_timeout', CAST(%(milliseconds)s AS text), true);

-- name: reset_lock_wait
-- Returns to the session's own limit.
SELECT set_config('lock_timeout', s.reset_val, true) FROM pg_settings s WHERE s.name = 'lock_timeout';

-- name: lock_contacts
-- Locks the contacts that are about to be changed. Sorted: two processes that change the same contacts must not deadlock.
SELECT k.id
FROM contacts k
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
ORDER BY k.id
FOR NO KEY UPDATE;

-- name: lock_free_contacts
-- Locks the contacts among these that nobody else has locked.
SELECT k.id
FROM contacts k
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
ORDER BY k.id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: existing_contacts
-- The contacts among these that exist.
SELECT k.id FROM contacts k WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

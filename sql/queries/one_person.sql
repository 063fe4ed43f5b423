-- name: person
-- The contacts with this id or address, of a workspace or of all; the address as written comes first.
SELECT
    k.id, k.workspace_id, w.name AS workspace, w.time_zone AS workspace_time_zone, w.default_region AS region, k.email,
    k.phone, k.name, k.company, k.job_title, k.ai_score, k.status, k.tags, k.custom_fields, k.last_interaction,
    k.created_at, k.updated_at
FROM contacts k
JOIN workspaces w ON w.id = k.workspace_id
WHERE (k.id = CAST(%(contact_id)s AS uuid) OR canonical_email(k.email) = canonical_email(CAST(%(email)s AS text)))
  AND (CAST(%(workspace)s AS text) IS NULL OR w.name = CAST(%(workspace)s AS text))
ORDER BY k.workspace_id, k.email = CAST(%(email)s AS text) DESC, k.created_at, k.id;

-- name: suppressions_of_person
-- The suppressions of these addresses in a workspace, and those stored with the contact. `applies`: a suppression of a
-- former address applies only if it is the person's own no.
SELECT
    s.address, s.channel, s.campaign_id, c.name AS campaign, s.reason, s.source, s.note, s.created_at,
    bool_or(s.is_of_address OR s.reason IN ('unsubscribed', 'complained')) AS applies
FROM (
    SELECT x.*, true AS is_of_address
    FROM campaign_suppressions x
    WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND canonical_address(x.address) = ANY(
          ARRAY(SELECT canonical_address(a.address) FROM unnest(CAST(%(addresses)s AS text [])) AS a (address))
      )
    UNION ALL
    SELECT x.*, false AS is_of_address
    FROM campaign_suppressions x
    WHERE x.contact_id = CAST(%(contact_id)s AS uuid)
) s
LEFT JOIN drip_campaigns c ON c.id = s.campaign_id
GROUP BY s.id, s.address, s.channel, s.campaign_id, c.name, s.reason, s.source, s.note, s.created_at
ORDER BY s.created_at, s.id;

-- name: topics_of_person
-- What a contact has decided about each topic of its workspace.
SELECT
    t.name, t.title,
    CASE
        WHEN d.has_left THEN 'unsubscribed'
        WHEN d.is_pending AND NOT d.has_joined THEN 'pending'
        WHEN d.has_joined OR NOT t.double_opt_in THEN 'subscribed'
        ELSE 'unconfirmed'
    END AS status,
    d.is_locked AS is_by_operator,
    (
        SELECT max(c.changed_at)
        FROM topic_consents c
        WHERE c.workspace_id = t.workspace_id AND c.topic = t.name AND c.contact_id = CAST(%(contact_id)s AS uuid)
    ) AS changed_at
FROM workspace_topics t
CROSS JOIN LATERAL topic_consent_of(
    t.workspace_id, t.name, CAST(%(contact_id)s AS uuid), CAST(%(email)s AS text), CAST(%(phone)s AS text)
) d
WHERE t.workspace_id = CAST(%(workspace_id)s AS uuid) AND t.archived_at IS NULL
ORDER BY t.name;

-- name: runs_of_person
-- The latest runs of a contact, with the place of each and the message that it waits for.
SELECT
    e.id, e.campaign_id, c.name AS campaign, c.status AS campaign_status, e.entry_key, e.status AS enrollment_status,
    coalesce(s.started_at, e.started_at) AS started_at, e.completed_at AS enrollment_ended_at,
    s.campaign_version AS version, s.workflow_status AS state, s.current_node_id AS node_id, s.resume_port,
    s.execution_path AS path, s.wait_until, s.wait_for_event, s.next_execution_at AS due_at, s.node_entered_at, s.retry_count, s.max_retries,
    s.last_error, s.exit_reason, s.completed_at AS ended_at, d.id AS delivery_id, d.node_id AS delivery_node_id,
    d.channel, d.status AS delivery_status, d.due_at AS delivery_due_at, d.held_by, d.held_until,
    d.attempts, d.last_error AS delivery_error, d.leased_until, g.paused_by, g.paused_at,
    row_number() OVER (PARTITION BY e.campaign_id ORDER BY e.started_at, e.id) AS number,
    count(*) OVER (PARTITION BY e.campaign_id) AS runs_in_campaign, count(*) OVER () AS all_runs
FROM campaign_enrollments e
JOIN drip_campaigns c ON c.id = e.campaign_id
LEFT JOIN campaign_workflow_states s ON s.id = e.id
LEFT JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
LEFT JOIN campaign_guards g ON g.campaign_id = e.campaign_id
WHERE e.contact_id = CAST(%(contact_id)s AS uuid)
  AND (CAST(%(campaign_id)s AS uuid) IS NULL OR e.campaign_id = CAST(%(campaign_id)s AS uuid))
ORDER BY coalesce(s.started_at, e.started_at) DESC, e.id
LIMIT CAST(%(count_limit)s AS integer);

-- name: log_of_runs
-- The latest events of these types of each run, in their order. Reads the index of enrollments.
SELECT l.*
FROM unnest(CAST(%(enrollment_ids)s AS uuid [])) AS r (id)
CROSS JOIN LATERAL (
    SELECT v.enrollment_id, v.event_type, v.created_at AS at, v.node_id, v.event_data AS data, v.message_id,
        v.campaign_version AS version, v.variant_group
    FROM campaign_events v
    WHERE v.enrollment_id = r.id AND v.event_type = ANY(CAST(%(event_types)s AS text []))
    ORDER BY v.created_at DESC, v.id
    LIMIT CAST(%(count_limit)s AS integer)
) l
ORDER BY l.enrollment_id, l.at, l.event_type;

-- name: messages_of_runs
-- The latest messages of each run, with what became of them.
SELECT m.*
FROM unnest(CAST(%(enrollment_ids)s AS uuid [])) AS r (id)
CROSS JOIN LATERAL (
    SELECT
        o.enrollment_id, o.message_id, o.node_id, o.campaign_version AS version, o.channel, o.variant_group,
        o.certainty, o.sent_at, o.delivered_at, o.first_opened_at, o.open_count, o.first_machine_opened_at,
        o.first_clicked_at, o.click_count, o.first_replied_at, o.first_converted_at, o.conversion_value,
        o.unsubscribed_at, o.complained_at, o.soft_bounced_at, o.bounced_at, o.failed_at,
        -- Without a transport a message was recorded, and not handed over.
        d.id IS NOT NULL AND d.transport IS NULL AS is_recorded
    FROM campaign_message_outcomes o
    LEFT JOIN campaign_deliveries d ON d.id = o.message_id
    WHERE o.enrollment_id = r.id
    ORDER BY o.sent_at DESC
    LIMIT CAST(%(count_limit)s AS integer)
) m
ORDER BY m.enrollment_id, m.sent_at;

-- name: variants_of_runs
-- The variants of these runs, and how their tests ended.
SELECT
    a.enrollment_id, a.split_node_id, a.campaign_version AS version, a.variant_group AS variant, a.is_holdout,
    a.is_randomized, a.assigned_at, t.status AS test_status, d.winner_variant AS winner, d.decided_at, d.reason
FROM campaign_split_assignments a
LEFT JOIN campaign_ab_tests t ON t.id = a.ab_test_id
LEFT JOIN campaign_ab_decisions d ON d.ab_test_id = t.id
WHERE a.enrollment_id = ANY(CAST(%(enrollment_ids)s AS uuid []))
ORDER BY a.enrollment_id, a.assigned_at, a.split_node_id;

-- name: events_of_person
-- The number and the latest time of the contact's own events, by type.
SELECT e.event_type, count(*) AS events, max(e.occurred_at) AS latest_at
FROM contact_events e
WHERE e.contact_id = CAST(%(contact_id)s AS uuid)
GROUP BY e.event_type
ORDER BY max(e.occurred_at) DESC, e.event_type;

-- name: entry_of_person
-- The entry trigger of a campaign, what its guard has stopped, and whether the contact is queued for it.
SELECT
    t.kind, t.since, t.has_backfill, t.completed_through,
    EXISTS (
        SELECT FROM campaign_entry_queue q
        WHERE q.trigger_id = t.id AND q.contact_id = CAST(%(contact_id)s AS uuid)
    ) AS is_queued,
    CASE WHEN g.waits_version = c.published_version THEN g.waits_until END AS waits_until, g.waits_for,
    (
        SELECT max(x.occurred_at)
        FROM contact_events x
        WHERE x.contact_id = CAST(%(contact_id)s AS uuid) AND x.event_type = t.event_type
    ) AS latest_event_at
FROM drip_campaigns c
LEFT JOIN campaign_entry_triggers t ON t.campaign_id = c.id
LEFT JOIN campaign_guards g ON g.campaign_id = c.id
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: lock_addresses_of_workspace
-- Keeps imports and other changes of addresses in the workspace waiting until the end of the transaction; the key is that
-- of merge_imported_contacts.
SELECT pg_advisory_xact_lock(hashtextextended('drip_pipeline.contacts ' || CAST(%(workspace_id)s AS text), 0));

-- name: other_contacts_of_address
-- The other contacts of a workspace that have this address in any spelling.
SELECT k.id
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND canonical_email(k.email) = canonical_email(CAST(%(email)s AS text))
  AND k.id <> CAST(%(contact_id)s AS uuid)
ORDER BY k.created_at, k.id;

-- name: set_contact_fields
-- Sets the fields in `names` of a contact to these values, merges `custom_fields`, and removes `removed` custom fields.
-- Returns the names of those that changed; without a change nothing is written.
WITH existing AS MATERIALIZED (
    SELECT k.* FROM contacts k WHERE k.id = CAST(%(contact_id)s AS uuid) FOR UPDATE
),

wanted AS MATERIALIZED (
    SELECT
        b.id,
        CASE WHEN 'email' = ANY(n.names) THEN CAST(%(email)s AS text) ELSE b.email END AS email,
        CASE WHEN 'name' = ANY(n.names) THEN CAST(%(name)s AS text) ELSE b.name END AS name,
        CASE WHEN 'company' = ANY(n.names) THEN CAST(%(company)s AS text) ELSE b.company END AS company,
        CASE WHEN 'phone' = ANY(n.names) THEN CAST(%(phone)s AS text) ELSE b.phone END AS phone,
        CASE WHEN 'job_title' = ANY(n.names) THEN CAST(%(job_title)s AS text) ELSE b.job_title END AS job_title,
        CASE WHEN 'ai_score' = ANY(n.names) THEN CAST(%(ai_score)s AS integer) ELSE b.ai_score END AS ai_score,
        CASE WHEN 'status' = ANY(n.names) THEN CAST(%(status)s AS text) ELSE b.status END AS status,
        CASE WHEN 'tags' = ANY(n.names) THEN CAST(%(tags)s AS text []) ELSE b.tags END AS tags,
        CASE
            WHEN 'last_interaction' = ANY(n.names) THEN CAST(%(last_interaction)s AS timestamptz)
            ELSE b.last_interaction
        END AS last_interaction,
        (coalesce(b.custom_fields, '{}') || CAST(%(custom_fields)s AS jsonb)) - CAST(%(removed)s AS text [])
            AS custom_fields
    FROM existing b
    CROSS JOIN (SELECT CAST(%(names)s AS text []) AS names) n
),

changes AS MATERIALIZED (
    SELECT array_remove(
        ARRAY[
            CASE WHEN b.email IS DISTINCT FROM a.email THEN 'email' END,
            CASE WHEN b.name IS DISTINCT FROM a.name THEN 'name' END,
            CASE WHEN b.company IS DISTINCT FROM a.company THEN 'company' END,
            CASE WHEN b.phone IS DISTINCT FROM a.phone THEN 'phone' END,
            CASE WHEN b.job_title IS DISTINCT FROM a.job_title THEN 'job_title' END,
            CASE WHEN b.ai_score IS DISTINCT FROM a.ai_score THEN 'ai_score' END,
            CASE WHEN b.status IS DISTINCT FROM a.status THEN 'status' END,
            CASE WHEN coalesce(b.tags, '{}') IS DISTINCT FROM coalesce(a.tags, '{}') THEN 'tags' END,
            CASE WHEN b.last_interaction IS DISTINCT FROM a.last_interaction THEN 'last_interaction' END
        ], NULL
    ) || ARRAY(
        SELECT u.key
        FROM (
            SELECT jsonb_object_keys(CAST(%(custom_fields)s AS jsonb)) AS key
            UNION
            SELECT unnest(CAST(%(removed)s AS text []))
        ) u
        WHERE b.custom_fields -> u.key IS DISTINCT FROM a.custom_fields -> u.key
        ORDER BY u.key
    ) AS names
    FROM existing b
    CROSS JOIN wanted a
),

written AS (
    UPDATE contacts k
    SET email = a.email, name = a.name, company = a.company, phone = a.phone, job_title = a.job_title,
        ai_score = a.ai_score, status = a.status, tags = a.tags, last_interaction = a.last_interaction,
        custom_fields = a.custom_fields, updated_at = CAST(%(now)s AS timestamptz)
    FROM wanted a
    CROSS JOIN changes c
    WHERE k.id = a.id AND cardinality(c.names) > 0
    RETURNING k.id
)

SELECT c.names, (SELECT count(*) FROM written) AS written FROM changes c;

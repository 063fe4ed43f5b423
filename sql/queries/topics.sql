-- name: topic_names
-- The topics of a workspace, and whether they are archived.
SELECT t.name, t.archived_at IS NOT NULL AS is_archived
FROM workspace_topics t
WHERE t.workspace_id = CAST(%(workspace_id)s AS uuid);

-- name: topics_of_workspace
-- The topics of a workspace, with the numbers of published campaigns and of addresses by their decision.
SELECT
    t.name, t.title, t.description, t.double_opt_in, t.archived_at, coalesce(v.campaigns, 0) AS campaigns,
    coalesce(c.subscribed, 0) AS subscribed, coalesce(c.pending, 0) AS pending,
    coalesce(c.unsubscribed, 0) AS unsubscribed
FROM workspace_topics t
LEFT JOIN (
    SELECT x.topic, count(*) AS campaigns
    FROM drip_campaigns k
    JOIN campaign_versions x ON x.campaign_id = k.id AND x.version = k.published_version
    WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid) AND k.status <> 'archived' AND x.topic IS NOT NULL
    GROUP BY x.topic
) v ON v.topic = t.name
LEFT JOIN (
    SELECT
        y.topic, count(*) FILTER (WHERE y.status = 'subscribed') AS subscribed,
        count(*) FILTER (WHERE y.status = 'pending') AS pending,
        count(*) FILTER (WHERE y.status = 'unsubscribed') AS unsubscribed
    FROM topic_consents y
    WHERE y.workspace_id = CAST(%(workspace_id)s AS uuid)
    GROUP BY y.topic
) c ON c.topic = t.name
WHERE t.workspace_id = CAST(%(workspace_id)s AS uuid)
ORDER BY t.archived_at IS NOT NULL, t.name;

-- name: store_topic
-- Adds a topic, or changes one that exists; an archived one is used again. Nulls leave what is stored.
INSERT INTO workspace_topics AS t (
    workspace_id, name, title, description, double_opt_in, created_at, updated_at
)
VALUES (
    CAST(%(workspace_id)s AS uuid), CAST(%(name)s AS text), coalesce(CAST(%(title)s AS text), CAST(%(name)s AS text)),
    CAST(%(description)s AS text), coalesce(CAST(%(double_opt_in)s AS boolean), false), CAST(%(now)s AS timestamptz),
    CAST(%(now)s AS timestamptz)
)
ON CONFLICT (workspace_id, name) DO UPDATE
SET title = coalesce(CAST(%(title)s AS text), t.title),
    description = coalesce(CAST(%(description)s AS text), t.description),
    double_opt_in = coalesce(CAST(%(double_opt_in)s AS boolean), t.double_opt_in),
    archived_at = NULL, updated_at = excluded.updated_at
WHERE (t.title, t.description, t.double_opt_in, t.archived_at) IS DISTINCT FROM (
    coalesce(CAST(%(title)s AS text), t.title), coalesce(CAST(%(description)s AS text), t.description),
    coalesce(CAST(%(double_opt_in)s AS boolean), t.double_opt_in), CAST(NULL AS timestamptz)
);

-- name: archive_topic
-- Archives a topic: no campaign can be published with it, and people no longer see it. Their decisions stay.
UPDATE workspace_topics t
SET archived_at = CAST(%(now)s AS timestamptz), updated_at = CAST(%(now)s AS timestamptz)
WHERE t.workspace_id = CAST(%(workspace_id)s AS uuid) AND t.name = CAST(%(name)s AS text) AND t.archived_at IS NULL;

-- name: topic_refusals
-- Of these messages, those whose contact left the topic or has not confirmed it.
SELECT d.id, c.has_left
FROM unnest(
    CAST(%(ids)s AS uuid []), CAST(%(contact_ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []),
    CAST(%(topics)s AS text [])
) AS d (id, contact_id, workspace_id, topic)
JOIN workspace_topics t ON t.workspace_id = d.workspace_id AND t.name = d.topic
JOIN contacts k ON k.id = d.contact_id
CROSS JOIN LATERAL topic_consent_of(d.workspace_id, d.topic, k.id, k.email, k.phone) c
WHERE c.has_left OR (t.double_opt_in AND NOT c.has_joined);

-- name: contacts_outside_topic
-- Of these contacts, those that left the topic.
SELECT x.id
FROM contacts_outside_topic(
    CAST(%(workspace_id)s AS uuid), CAST(%(topic)s AS text), CAST(%(contact_ids)s AS uuid [])
) AS x (id);

-- name: request_topic_confirmations
-- Asks contacts to confirm a topic, once for each address: the event enrolls them in the campaign that sends the
-- confirmation. Sorted, because concurrent requests of the same addresses would deadlock otherwise.
WITH requested AS (
    INSERT INTO topic_consents (workspace_id, topic, address, contact_id, status, decided_by, changed_at)
    SELECT DISTINCT ON (d.workspace_id, d.topic, canonical_email(k.email))
        d.workspace_id, d.topic, canonical_email(k.email), k.id, 'pending', 'person', CAST(%(now)s AS timestamptz)
    FROM unnest(
        CAST(%(contact_ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []), CAST(%(topics)s AS text [])
    ) AS d (contact_id, workspace_id, topic)
    JOIN contacts k ON k.id = d.contact_id
    WHERE k.email <> ''
    ORDER BY d.workspace_id, d.topic, canonical_email(k.email), k.id
    ON CONFLICT DO NOTHING
    RETURNING workspace_id, topic, contact_id
)

INSERT INTO contact_events (workspace_id, contact_id, event_type, event_data, occurred_at, recorded_at)
SELECT
    r.workspace_id, r.contact_id, 'topic_requested',
    jsonb_build_object('topic', r.topic, 'title', t.title, 'request', gen_random_uuid()),
    CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
FROM requested r
JOIN workspace_topics t ON t.workspace_id = r.workspace_id AND t.name = r.topic;

-- name: unconfirmed_messages
-- The consents of these messages' addresses. They are locked, so that a confirmation that follows finds the messages
-- that wait for it.
SELECT d.id, c.status, c.changed_at
FROM unnest(
    CAST(%(ids)s AS uuid []), CAST(%(contact_ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []),
    CAST(%(topics)s AS text [])
) AS d (id, contact_id, workspace_id, topic)
JOIN contacts k ON k.id = d.contact_id
JOIN topic_consents c
    ON c.workspace_id = d.workspace_id AND c.topic = d.topic AND c.address = canonical_email(k.email)
FOR SHARE OF c;

-- name: states_of_topics
-- Locks the open runs of contacts in campaigns of a topic, or in all campaigns without one. The first ten columns are
-- those of a claimed state.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
    s.max_retries, s.steps_taken, e.status AS enrollment_status
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(topics)s AS text [])) AS n (contact_id, topic)
JOIN campaign_enrollments e ON e.contact_id = n.contact_id
JOIN campaign_workflow_states s ON s.id = e.id
JOIN campaign_versions v ON v.campaign_id = s.campaign_id AND v.version = s.campaign_version
WHERE s.workflow_status IN ('running', 'waiting', 'paused') AND (n.topic IS NULL OR v.topic = n.topic)
ORDER BY s.id
FOR UPDATE OF s;

-- name: set_topic_consents
-- Sets the decision of an operator about contacts and addresses. Returns how many addresses changed.
SELECT coalesce(sum(set_topic_consent(
    CAST(%(workspace_id)s AS uuid), CAST(%(topic)s AS text), p.contact_id, ARRAY[p.address], CAST(%(status)s AS text),
    'operator', CAST(%(now)s AS timestamptz)
)), 0) AS changed
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(addresses)s AS text [])) AS p (contact_id, address);

-- name: log_topic_change
-- Logs what an operator decided about a topic, as an event of each contact.
INSERT INTO contact_events (workspace_id, contact_id, event_type, event_data, occurred_at, recorded_at)
SELECT
    t.workspace_id, c.id, CAST(%(event_type)s AS text),
    jsonb_build_object('topic', t.name, 'title', t.title, 'by', 'operator', 'reason', CAST(%(reason)s AS text))
    || CASE
        WHEN CAST(%(event_type)s AS text) = 'topic_requested' THEN jsonb_build_object('request', gen_random_uuid())
        ELSE '{}'
    END,
    CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
FROM workspace_topics t
CROSS JOIN unnest(CAST(%(contact_ids)s AS uuid [])) AS c (id)
WHERE t.workspace_id = CAST(%(workspace_id)s AS uuid) AND t.name = CAST(%(topic)s AS text);

-- name: recipient_topics
-- The topics that the recipient of a message can leave and join.
SELECT r.topic, r.title, r.description, r.is_of_message, r.status, r.is_locked
FROM receiver_topics(CAST(%(id)s AS uuid)) r;

-- name: set_recipient_topics
-- Stores what the recipient of a message decides about topics; returns those whose status changed.
SELECT r.topic, r.status
FROM receiver_set_topics(
    CAST(%(id)s AS uuid), CAST(%(number)s AS text), CAST(%(topics)s AS text []), CAST(%(statuses)s AS text []),
    CAST(%(now)s AS timestamptz)
) r;

-- name: resubscribe_recipient
-- Takes back that the recipient of a message unsubscribed; returns the number of lifted entries.
SELECT receiver_resubscribe(CAST(%(id)s AS uuid), CAST(%(number)s AS text), CAST(%(now)s AS timestamptz)) AS lifted;

-- name: confirmation_of_delivery
-- The topic that a message asks to confirm.
SELECT r.topic, r.title, r.status FROM receiver_confirmation(CAST(%(id)s AS uuid)) r;

-- name: confirm_topic
-- Confirms the topic that a message asks about; returns its name if it was pending.
SELECT receiver_confirm(CAST(%(id)s AS uuid), CAST(%(now)s AS timestamptz)) AS topic;

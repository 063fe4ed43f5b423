-- Erasing contacts. The steps and their order are those of engine/privacy/rewrite.py. A person is given by the id of its
-- erasure, which replaces the id of its contact.

-- name: has_pending_erasures
-- Whether there are erasures that are not complete, except those whose last attempt failed after a time.
SELECT EXISTS (
    SELECT FROM contact_erasures e
    JOIN contact_erasure_values v ON v.erasure_id = e.id
    WHERE e.erased_at IS NULL AND (v.failed_at IS NULL OR v.failed_at <= CAST(%(failed_before)s AS timestamptz))
);

-- name: lock_pending_erasures
-- Locks erasures whose tables are to be rewritten, or those that were rewritten and are to be completed, oldest first.
-- Those whose last attempt failed after a time are left out.
SELECT v.erasure_id, e.workspace_id, v.contact_id, v.email, v.phone, v.name, v.identifiers
FROM contact_erasure_values v
JOIN contact_erasures e ON e.id = v.erasure_id
WHERE e.erased_at IS NULL AND (v.rewritten_at IS NOT NULL) = CAST(%(is_rewritten)s AS boolean)
  AND (v.failed_at IS NULL OR v.failed_at <= CAST(%(failed_before)s AS timestamptz))
ORDER BY e.requested_at, e.id
LIMIT CAST(%(most)s AS integer)
FOR UPDATE OF v SKIP LOCKED;

-- name: contacts_to_erase
-- The contacts of a workspace with this id or address.
SELECT k.id
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND (
      k.id = CAST(%(contact_id)s AS uuid) OR canonical_email(k.email) = canonical_email(CAST(%(address)s AS text))
      OR (k.phone IS NOT NULL AND canonical_phone(k.phone) = canonical_phone(CAST(%(number)s AS text)))
  )
ORDER BY k.id;

-- name: erasures_requested
-- The erasures of a workspace that are not complete, of a contact with this id or address.
SELECT e.id
FROM contact_erasures e
JOIN contact_erasure_values v ON v.erasure_id = e.id
WHERE e.workspace_id = CAST(%(workspace_id)s AS uuid) AND e.erased_at IS NULL
  AND (
      v.contact_id = CAST(%(contact_id)s AS uuid) OR canonical_email(v.email) = canonical_email(CAST(%(address)s AS text))
      OR canonical_phone(v.phone) = canonical_phone(CAST(%(number)s AS text))
  );

-- name: erasures_of_contacts
-- The erasures of these deleted contacts.
SELECT v.erasure_id FROM contact_erasure_values v WHERE v.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: names_of_erasures
-- The names of these persons.
SELECT v.name FROM contact_erasure_values v WHERE v.erasure_id = ANY(CAST(%(erasure_ids)s AS uuid [])) AND v.name <> '';

-- name: try_lock_erasing
-- Locks the completion of erasures until the transaction ends: files have one writer.
SELECT pg_try_advisory_xact_lock(hashtextextended('drip_pipeline.erasing', 0));

-- name: delete_contacts
-- Deletes contacts; the trigger record_contact_erasures records what is to be erased.
DELETE FROM contacts k WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: request_address_erasure
-- Records that an address without a contact is to be erased.
WITH requested AS (
    INSERT INTO contact_erasures (workspace_id, requested_at)
    VALUES (CAST(%(workspace_id)s AS uuid), CAST(%(now)s AS timestamptz))
    RETURNING id
)

INSERT INTO contact_erasure_values (erasure_id, email, phone)
SELECT r.id, CAST(%(email)s AS text), CAST(%(phone)s AS text) FROM requested r
RETURNING erasure_id;

-- name: delete_inactive_contacts
-- Deletes a chunk of contacts without activity since a time: created or changed, with an event, enrolled, in an open run,
-- or sent a message. The trigger record_contact_erasures records what is to be erased.
DELETE FROM contacts k
WHERE k.id = ANY(ARRAY(
    SELECT x.id
    FROM contacts x
    WHERE x.created_at < CAST(%(before)s AS timestamptz) AND x.updated_at < CAST(%(before)s AS timestamptz)
      AND (x.last_interaction IS NULL OR x.last_interaction < CAST(%(before)s AS timestamptz))
      AND NOT EXISTS (
          SELECT FROM contact_events e
          WHERE e.contact_id = x.id AND e.occurred_at >= CAST(%(before)s AS timestamptz)
      )
      AND NOT EXISTS (
          SELECT
          FROM campaign_enrollments n
          LEFT JOIN campaign_workflow_states s ON s.id = n.id
          WHERE n.contact_id = x.id
            AND (
                n.started_at >= CAST(%(before)s AS timestamptz)
                OR n.last_email_sent_at >= CAST(%(before)s AS timestamptz)
                OR s.workflow_status IN ('running', 'waiting', 'paused')
                OR s.completed_at >= CAST(%(before)s AS timestamptz)
                OR EXISTS (
                    SELECT FROM campaign_events e
                    WHERE e.enrollment_id = n.id AND e.created_at >= CAST(%(before)s AS timestamptz)
                )
            )
      )
    ORDER BY x.id
    LIMIT CAST(%(chunk_size)s AS integer)
));

-- name: count_inactive_contacts
-- The number of contacts without activity since a time, as delete_inactive_contacts finds them.
SELECT count(*) AS contacts
FROM contacts x
WHERE x.created_at < CAST(%(before)s AS timestamptz) AND x.updated_at < CAST(%(before)s AS timestamptz)
  AND (x.last_interaction IS NULL OR x.last_interaction < CAST(%(before)s AS timestamptz))
  AND NOT EXISTS (
      SELECT FROM contact_events e WHERE e.contact_id = x.id AND e.occurred_at >= CAST(%(before)s AS timestamptz)
  )
  AND NOT EXISTS (
      SELECT
      FROM campaign_enrollments n
      LEFT JOIN campaign_workflow_states s ON s.id = n.id
      WHERE n.contact_id = x.id
        AND (
            n.started_at >= CAST(%(before)s AS timestamptz)
            OR n.last_email_sent_at >= CAST(%(before)s AS timestamptz)
            OR s.workflow_status IN ('running', 'waiting', 'paused')
            OR s.completed_at >= CAST(%(before)s AS timestamptz)
            OR EXISTS (
                SELECT FROM campaign_events e
                WHERE e.enrollment_id = n.id AND e.created_at >= CAST(%(before)s AS timestamptz)
            )
        )
  );

-- name: mark_erasing
-- Tells the triggers of metrics that ids change, and no number.
SELECT set_config('drip.is_erasing', 'on', true);

-- name: lock_deliveries_of_erased
-- Locks the messages of these contacts, before their states, as everywhere. The outbox has no index by contact: it is
-- read once for all persons that are erased together.
SELECT d.id, d.contact_id, d.provider_message_id
FROM campaign_deliveries d
JOIN unnest(CAST(%(contact_ids)s AS uuid [])) AS m (contact_id) ON m.contact_id = d.contact_id
ORDER BY d.id
FOR UPDATE OF d;

-- name: open_states_of_erased
-- Locks the open runs of these contacts, in the columns of a claimed state.
SELECT
    s.id, s.campaign_id, s.campaign_version, s.contact_id, s.current_node_id, s.resume_port, s.retry_count,
    s.max_retries, s.steps_taken, e.status AS enrollment_status
FROM campaign_enrollments e
JOIN campaign_workflow_states s ON s.id = e.id
WHERE e.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.workflow_status IN ('running', 'waiting', 'paused') AND s.campaign_version IS NOT NULL
ORDER BY s.id
FOR UPDATE OF s;

-- name: traces_of_erased
-- What else identifies these persons: the ids of enrollments and messages, and addresses that they had.
WITH persons AS (
    SELECT p.erasure_id, p.contact_id
    FROM unnest(CAST(%(erasure_ids)s AS uuid []), CAST(%(contact_ids)s AS uuid [])) AS p (erasure_id, contact_id)
),

enrollments AS MATERIALIZED (
    SELECT p.erasure_id, e.id, e.contact_email
    FROM persons p
    JOIN campaign_enrollments e ON e.contact_id = p.contact_id
    UNION
    SELECT p.erasure_id, d.enrollment_id, NULL
    FROM persons p
    JOIN campaign_deleted_enrollments d ON d.contact_id = p.contact_id
)

SELECT e.erasure_id, 'enrollment' AS kind, CAST(e.id AS text) AS value FROM enrollments e
UNION
SELECT e.erasure_id, 'message', CAST(o.message_id AS text)
FROM enrollments e
JOIN campaign_message_outcomes o ON o.enrollment_id = e.id
UNION
SELECT e.erasure_id, 'address', e.contact_email FROM enrollments e WHERE e.contact_email <> ''
UNION
SELECT e.erasure_id, 'address', r.recipient
FROM recorded_messages r
JOIN enrollments e ON e.id = r.enrollment_id
WHERE r.channel IN ('email', 'sms')
UNION
SELECT p.erasure_id, 'address', s.address
FROM persons p
JOIN campaign_suppressions s ON s.contact_id = p.contact_id
UNION
SELECT p.erasure_id, 'address', c.address
FROM persons p
JOIN topic_consents c ON c.contact_id = p.contact_id;

-- name: addresses_in_use
-- Of these addresses, those of a contact that is not erased: in the same workspace, or in another one.
SELECT a.address, bool_or(k.workspace_id = a.workspace_id) AS is_here
FROM unnest(CAST(%(addresses)s AS text []), CAST(%(workspace_ids)s AS uuid [])) AS a (address, workspace_id)
JOIN contacts k ON canonical_email(k.email) = canonical_email(a.address)
WHERE a.address LIKE '%%@%%' AND k.id <> ALL(CAST(%(except_contacts)s AS uuid []))
GROUP BY a.address
UNION ALL
SELECT a.address, bool_or(k.workspace_id = a.workspace_id)
FROM unnest(CAST(%(addresses)s AS text []), CAST(%(workspace_ids)s AS uuid [])) AS a (address, workspace_id)
JOIN contacts k ON canonical_phone(k.phone) = canonical_phone(a.address) AND k.phone IS NOT NULL
WHERE a.address NOT LIKE '%%@%%' AND k.id <> ALL(CAST(%(except_contacts)s AS uuid []))
GROUP BY a.address;

-- name: stored_addresses
-- The addresses of these contacts, as they are stored.
SELECT k.email, k.phone FROM contacts k WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: take_suppressions_of_erased
-- Deletes the suppressions of these persons, and returns them in the form in which addresses are compared. One for the
-- contact, by its own request, also counts for its other addresses.
WITH persons AS (
    SELECT p.workspace_id, p.contact_id, canonical_address(p.address) AS address
    FROM unnest(
        CAST(%(workspace_ids)s AS uuid []), CAST(%(contact_ids)s AS uuid []), CAST(%(addresses)s AS text [])
    ) AS p (workspace_id, contact_id, address)
),

taken AS (
    DELETE FROM campaign_suppressions s
    USING persons p
    WHERE s.workspace_id = p.workspace_id AND canonical_address(s.address) = p.address
    RETURNING s.id, s.workspace_id, s.contact_id, p.address, s.channel, s.campaign_id, s.reason, s.created_at
)

SELECT t.workspace_id, t.address, t.channel, t.campaign_id, t.reason, t.created_at FROM taken t
UNION
SELECT t.workspace_id, p.address, t.channel, t.campaign_id, t.reason, t.created_at
FROM taken t
JOIN persons p ON p.contact_id = t.contact_id
WHERE t.reason IN ('unsubscribed', 'complained') AND p.address IS NOT NULL;

-- name: detach_suppressions_of_erased
-- Suppressions of addresses that another contact has stay, without these contacts.
UPDATE campaign_suppressions s SET contact_id = NULL WHERE s.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: take_consents_of_erased
-- Deletes what these persons decided about topics, and returns the topics that they left.
WITH persons AS (
    SELECT p.workspace_id, p.address
    FROM unnest(CAST(%(workspace_ids)s AS uuid []), CAST(%(addresses)s AS text [])) AS p (workspace_id, address)
),

taken AS (
    DELETE FROM topic_consents c
    USING persons p
    WHERE c.workspace_id = p.workspace_id
      AND (c.address = canonical_email(p.address) OR c.address = canonical_phone(p.address))
    RETURNING c.workspace_id, c.address, c.topic, c.status, c.decided_by, c.changed_at
)

SELECT DISTINCT t.workspace_id, t.address, t.topic, t.decided_by AS reason, t.changed_at AS created_at
FROM taken t
WHERE t.status = 'unsubscribed';

-- name: detach_consents_of_erased
-- Decisions of addresses that another contact has stay, without these contacts.
UPDATE topic_consents c SET contact_id = NULL WHERE c.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: erase_deliveries
-- Takes out of messages what identifies the recipient.
UPDATE campaign_deliveries d
SET contact_id = m.erasure_id, last_error = NULL, provider_message_id = NULL
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE d.id = m.id AND d.status || '' <> 'sending'
  AND (
      d.contact_id <> m.erasure_id OR d.last_error IS NOT NULL OR d.provider_message_id IS NOT NULL
  );

-- name: erase_sending_deliveries
-- The same for messages that are being sent: their result is stored later, and is taken out then.
UPDATE campaign_deliveries d
SET contact_id = m.erasure_id, last_error = NULL
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE d.id = m.id AND d.status || '' = 'sending';

-- name: deliveries_being_sent
-- Of these messages, those that are being sent.
SELECT d.id
FROM campaign_deliveries d
WHERE d.id = ANY(CAST(%(ids)s AS uuid [])) AND d.status || '' = 'sending';

-- name: erase_events
-- Takes out of the log what identifies the persons of these enrollments.
UPDATE campaign_events e
SET contact_id = m.erasure_id, event_data = erased_event_data(e.event_type, e.event_source, e.event_data),
    user_agent = NULL, ip_address = NULL, device_type = NULL, location_data = NULL
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE e.enrollment_id = m.id
  AND (
      e.contact_id IS DISTINCT FROM m.erasure_id OR e.user_agent IS NOT NULL OR e.ip_address IS NOT NULL
      OR e.device_type IS NOT NULL OR e.location_data IS NOT NULL
  );

-- name: erase_states
-- Takes out of runs what identifies the contact. The path has ids of nodes only, and is what funnels count.
UPDATE campaign_workflow_states s
SET contact_id = m.erasure_id, workflow_variables = '{}', last_error = NULL
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE s.id = m.id AND s.contact_id <> m.erasure_id;

-- name: erase_enrollments
-- Takes out of enrollments what identifies the contact; an entry key is the application's own.
UPDATE campaign_enrollments e
SET contact_id = m.erasure_id, contact_email = NULL, contact_name = NULL, interaction_history = '[]',
    personalization_data = '{}',
    entry_key = CASE e.entry_key WHEN '' THEN '' ELSE CAST(gen_random_uuid() AS text) END
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE e.id = m.id AND e.contact_id <> m.erasure_id;

-- name: erase_outcomes
-- Replaces the contacts of messages.
UPDATE campaign_message_outcomes o
SET contact_id = m.erasure_id
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE o.enrollment_id = m.id AND o.contact_id <> m.erasure_id;

-- name: erase_assignments
-- Replaces the contacts of assignments to variants.
UPDATE campaign_split_assignments a
SET contact_id = m.erasure_id
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE a.enrollment_id = m.id AND a.contact_id <> m.erasure_id;

-- name: erase_deleted_enrollments
-- Replaces the contacts of enrollments that were deleted earlier.
UPDATE campaign_deleted_enrollments d
SET contact_id = m.erasure_id
FROM unnest(CAST(%(ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (id, erasure_id)
WHERE d.enrollment_id = m.id;

-- name: erase_contact_events
-- Takes out of the events of contacts what identifies them.
UPDATE contact_events e
SET contact_id = m.erasure_id, event_data = erased_event_data(e.event_type, 'webhook', e.event_data)
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (contact_id, erasure_id)
WHERE e.contact_id = m.contact_id;

-- name: erase_operator_actions
-- Takes out of the audit trail what operators wrote about these contacts; numbers and who did what stay.
UPDATE operator_actions a
SET object_id = m.erasure_id, reason = NULL,
    details = coalesce(
        (
            SELECT jsonb_object_agg(d.key, d.value)
            FROM jsonb_each(a.details) AS d
            WHERE jsonb_typeof(d.value) IN ('number', 'boolean')
        ), '{}'
    )
FROM unnest(CAST(%(contact_ids)s AS uuid []), CAST(%(erasure_ids)s AS uuid [])) AS m (contact_id, erasure_id)
WHERE a.object_id = m.contact_id;

-- name: delete_recorded_messages_of_erased
-- Deletes the recorded messages of these enrollments.
DELETE FROM recorded_messages r
USING unnest(CAST(%(ids)s AS uuid [])) AS m (id)
WHERE r.enrollment_id = m.id;

-- name: delete_queued_entries_of_erased
-- Deletes these contacts from the queue of entry triggers.
DELETE FROM campaign_entry_queue q WHERE q.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: delete_queued_waits_of_erased
-- Deletes these contacts from the queue of waits that follow them.
DELETE FROM campaign_wait_queue q WHERE q.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: delete_data_faults_of_erased
-- Deletes what was found about values of these contacts.
DELETE FROM campaign_data_faults f WHERE f.contact_id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: delete_rejected_cells_of_erased
-- Deletes the cells of these addresses that could not be read.
DELETE FROM rejected_cells r
USING unnest(CAST(%(workspace_ids)s AS uuid []), CAST(%(addresses)s AS text [])) AS p (workspace_id, address)
WHERE r.workspace_id = p.workspace_id AND r.address = canonical_email(p.address);

-- name: store_erased_suppressions
-- Stores the hashes of suppressed addresses.
INSERT INTO erased_suppressions (
    workspace_id, key_id, address_hash, channel, campaign_id, topic, reason, created_at
)
SELECT h.workspace_id, CAST(%(key_id)s AS text), h.address_hash, h.channel, h.campaign_id, h.topic, h.reason, h.created_at
FROM unnest(
    CAST(%(workspace_ids)s AS uuid []), CAST(%(address_hashes)s AS bytea []), CAST(%(channels)s AS text []),
    CAST(%(campaign_ids)s AS uuid []), CAST(%(topics)s AS text []), CAST(%(reasons)s AS text []),
    CAST(%(created)s AS timestamptz [])
) AS h (workspace_id, address_hash, channel, campaign_id, topic, reason, created_at)
ON CONFLICT DO NOTHING;

-- name: finish_rewriting
-- Stores what identifies persons in payloads and files, now that no table names them.
UPDATE contact_erasure_values v
SET identifiers = CAST(m.identifiers AS jsonb), rewritten_at = CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(erasure_ids)s AS uuid []), CAST(%(identifiers)s AS text [])) AS m (erasure_id, identifiers)
WHERE v.erasure_id = m.erasure_id;

-- name: complete_erasures
-- Completes erasures: what identified the persons is deleted.
WITH forgotten AS (
    DELETE FROM contact_erasure_values v WHERE v.erasure_id = ANY(CAST(%(erasure_ids)s AS uuid []))
)

UPDATE contact_erasures e
SET erased_at = CAST(%(now)s AS timestamptz)
WHERE e.id = ANY(CAST(%(erasure_ids)s AS uuid [])) AND e.erased_at IS NULL;

-- name: mark_failed_erasures
-- Stores when an attempt to complete erasures failed.
UPDATE contact_erasure_values v
SET failed_at = CAST(%(now)s AS timestamptz)
WHERE v.erasure_id = ANY(CAST(%(erasure_ids)s AS uuid []));

-- name: count_pending_erasures
-- The number of erasures that are not complete, and when the oldest was requested.
SELECT count(*) AS erasures, min(e.requested_at) AS oldest_at FROM contact_erasures e WHERE e.erased_at IS NULL;

-- name: archive_files
-- The files of archived events, and the detached months that are not archived yet.
SELECT a.id, a.kind, a.file, a.table_name, a.archived_at IS NOT NULL AS is_archived
FROM campaign_archives a
ORDER BY a.id;

-- name: erased_data_of_events
-- What stays of the properties of archived events.
SELECT CAST(erased_event_data(e.event_type, e.event_source, CAST(e.event_data AS jsonb)) AS text) AS event_data
FROM unnest(
    CAST(%(event_types)s AS text []), CAST(%(event_sources)s AS text []), CAST(%(event_data)s AS text [])
) WITH ORDINALITY AS e (event_type, event_source, event_data, place)
ORDER BY e.place;

-- name: has_erasures
-- Whether a contact was ever erased.
SELECT EXISTS (SELECT FROM contact_erasures);

-- name: addresses_of_contacts
-- The addresses of these contacts, as they are compared, and the country of their numbers.
SELECT
    k.id AS contact_id, k.workspace_id, canonical_email(k.email) AS email, canonical_phone(k.phone) AS phone,
    w.default_region AS region
FROM contacts k
JOIN workspaces w ON w.id = k.workspace_id
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []));

-- name: has_erased_suppressions
-- Whether a workspace has suppressed addresses that were erased.
SELECT EXISTS (SELECT FROM erased_suppressions x WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid));

-- name: restore_suppressions
-- Suppresses addresses again that were suppressed when they were erased; returns the number of suppressions.
WITH found AS (
    DELETE FROM erased_suppressions x
    USING unnest(
        CAST(%(workspace_ids)s AS uuid []), CAST(%(address_hashes)s AS bytea []), CAST(%(contact_ids)s AS uuid []),
        CAST(%(addresses)s AS text [])
    ) AS h (workspace_id, address_hash, contact_id, address)
    WHERE x.workspace_id = h.workspace_id AND x.address_hash = h.address_hash
    RETURNING
        x.workspace_id, h.contact_id, h.address, x.channel, x.campaign_id, x.topic, x.reason, x.created_at
),

suppressed AS (
    INSERT INTO campaign_suppressions (
        workspace_id, contact_id, address, channel, campaign_id, reason, source, created_at
    )
    SELECT f.workspace_id, f.contact_id, f.address, f.channel, f.campaign_id, f.reason, 'erasure', f.created_at
    FROM found f
    WHERE f.topic IS NULL
    ON CONFLICT DO NOTHING
),

left_topics AS (
    INSERT INTO topic_consents (workspace_id, topic, address, contact_id, status, decided_by, changed_at)
    SELECT DISTINCT ON (f.workspace_id, f.topic, f.address)
        f.workspace_id, f.topic, f.address, f.contact_id, 'unsubscribed', f.reason, f.created_at
    FROM found f
    JOIN workspace_topics t ON t.workspace_id = f.workspace_id AND t.name = f.topic
    ORDER BY f.workspace_id, f.topic, f.address, f.created_at DESC
    ON CONFLICT DO NOTHING
)

SELECT count(*) AS restored FROM found f;

-- name: lift_erased_suppressions
-- Deletes the hashes of these addresses: an operator lets them get messages again.
DELETE FROM erased_suppressions x
WHERE x.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND x.address_hash = ANY(CAST(%(address_hashes)s AS bytea [])) AND x.topic IS NULL
  AND (CAST(%(channel)s AS text) IS NULL OR x.channel IS NULL OR x.channel = CAST(%(channel)s AS text));

-- name: suppressed_again
-- Why messages may not be sent to these addresses, which are on the suppression list again. The reasons are those of
-- lease_deliveries.
SELECT
    d.id,
    substr(
        min(
            CASE
                WHEN s.channel IS NOT NULL AND s.channel <> 'email' THEN CASE s.reason
                    WHEN 'bounced' THEN 'c:unreachable' WHEN 'soft_bounced' THEN 'c:unreachable'
                    WHEN 'manual' THEN 'c:suppressed' ELSE 'c:opted_out'
                END
                WHEN s.reason = 'unsubscribed' THEN 'a:unsubscribed'
                ELSE 'b:' || s.reason
            END
        ), 3
    ) AS reason
FROM unnest(
    CAST(%(ids)s AS uuid []), CAST(%(workspace_ids)s AS uuid []), CAST(%(campaign_ids)s AS uuid []),
    CAST(%(addresses)s AS text [])
) AS d (id, workspace_id, campaign_id, address)
JOIN campaign_suppressions s ON s.workspace_id = d.workspace_id AND canonical_address(s.address) = d.address
WHERE (s.channel IS NULL OR s.channel = CAST(%(channel)s AS text))
  AND (s.campaign_id IS NULL OR s.campaign_id = d.campaign_id)
GROUP BY d.id;

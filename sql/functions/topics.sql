-- Set what people have decided about a topic: one consent for each address. Returns the number of changed consents.
--
-- Later decisions stand; a person does not lift what an operator has decided, and a request for a confirmation does not
-- replace a consent. Who joins again is no longer bound by a no to an address that they had before; that address stays.
-- Joining releases the messages that wait for it, and ended runs no longer keep the contact from entering again.
CREATE OR REPLACE FUNCTION set_topic_consent(
    p_workspace_id uuid, p_topic text, p_contact_id uuid, p_addresses text [], p_status text, p_decided_by text,
    p_now timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    canonical text [] := ARRAY(
        SELECT DISTINCT canonical_address(a.address) FROM unnest(p_addresses) AS a (address) WHERE a.address <> ''
        ORDER BY 1
    );
    waiting uuid [];
    changed bigint;
BEGIN
    IF p_status = 'subscribed' THEN
        -- Deliveries before consents, as the eligibility check locks them.
        waiting := ARRAY(
            SELECT d.id
            FROM campaign_enrollments e
            JOIN campaign_workflow_states s ON s.id = e.id
            JOIN campaign_deliveries d ON d.id = s.pending_delivery_id
            WHERE e.contact_id = p_contact_id AND d.status || '' = 'pending'
            ORDER BY d.id
            FOR UPDATE OF d
        );
    END IF;
    IF p_status <> 'unsubscribed' THEN
        UPDATE topic_consents c
        SET contact_id = NULL
        WHERE c.contact_id = p_contact_id AND c.workspace_id = p_workspace_id AND c.topic = p_topic
          AND c.status = 'unsubscribed' AND c.address <> ALL(canonical);
    END IF;
    WITH stored AS (
        INSERT INTO topic_consents AS c (workspace_id, topic, address, contact_id, status, decided_by, changed_at)
        SELECT p_workspace_id, p_topic, a.address, p_contact_id, p_status, p_decided_by, p_now
        FROM unnest(canonical) AS a (address)
        ON CONFLICT (workspace_id, topic, address) DO UPDATE
        SET contact_id = excluded.contact_id, status = excluded.status, decided_by = excluded.decided_by,
            changed_at = excluded.changed_at
        WHERE c.changed_at <= excluded.changed_at
          AND (c.status <> excluded.status OR c.contact_id IS DISTINCT FROM excluded.contact_id)
          AND NOT (c.status = 'unsubscribed' AND c.decided_by = 'operator' AND excluded.decided_by = 'person')
          AND NOT (c.status = 'subscribed' AND excluded.status = 'pending')
        RETURNING 1
    )

    SELECT count(*) INTO changed FROM stored;
    IF p_status = 'subscribed' AND changed > 0 THEN
        UPDATE campaign_deliveries d
        SET due_at = p_now
        WHERE d.id = ANY(waiting) AND d.status || '' = 'pending' AND d.held_by = 'topic_confirmation'
          AND d.due_at = d.held_until;
        UPDATE campaign_enrollments e
        SET status = 'completed'
        FROM campaign_workflow_states s
        JOIN campaign_versions v ON v.campaign_id = s.campaign_id AND v.version = s.campaign_version
        WHERE e.contact_id = p_contact_id AND e.status = 'unsubscribed' AND s.id = e.id
          AND s.completed_at IS NOT NULL AND v.topic = p_topic;
    END IF;
    RETURN changed;
END
$$;

-- The consents of a contact for a topic, by any of its addresses; a person's own no also applies to addresses that they
-- get later. `is_locked`: an operator's no is among them.
CREATE OR REPLACE FUNCTION topic_consent_of(
    p_workspace_id uuid, p_topic text, p_contact_id uuid, p_email text, p_phone text
)
RETURNS TABLE (has_left boolean, has_joined boolean, is_pending boolean, is_locked boolean)
LANGUAGE sql
STABLE
ROWS 1
AS $$
    SELECT
        coalesce(bool_or(x.status = 'unsubscribed'), false), coalesce(bool_or(x.status = 'subscribed'), false),
        coalesce(bool_or(x.status = 'pending'), false),
        coalesce(bool_or(x.status = 'unsubscribed' AND x.decided_by = 'operator'), false)
    FROM (
        SELECT c.status, c.decided_by
        FROM topic_consents c
        WHERE c.workspace_id = p_workspace_id AND c.topic = p_topic AND c.address = canonical_email(p_email)
        UNION ALL
        SELECT c.status, c.decided_by
        FROM topic_consents c
        WHERE c.workspace_id = p_workspace_id AND c.topic = p_topic AND c.address = canonical_phone(p_phone)
        UNION ALL
        SELECT c.status, c.decided_by
        FROM topic_consents c
        WHERE c.contact_id = p_contact_id AND c.topic = p_topic AND c.status = 'unsubscribed'
          AND c.decided_by = 'person'
    ) x
$$;

-- Of these contacts of a workspace, those that left the topic. The receiver's role drip_trigger asks, too.
CREATE OR REPLACE FUNCTION contacts_outside_topic(p_workspace_id uuid, p_topic text, p_contact_ids uuid [])
RETURNS SETOF uuid
LANGUAGE sql
STABLE
SECURITY DEFINER
AS $$
    SELECT k.id
    FROM unnest(p_contact_ids) AS i (id)
    JOIN contacts k ON k.id = i.id
    CROSS JOIN LATERAL topic_consent_of(p_workspace_id, p_topic, k.id, k.email, k.phone) c
    WHERE c.has_left
$$;

-- The topics that the recipient of a message can leave and join: those of the workspace, and an archived one if it is
-- the message's. `status`: subscribed, pending or unsubscribed.
CREATE OR REPLACE FUNCTION receiver_topics(p_delivery_id uuid)
RETURNS TABLE (topic text, title text, description text, is_of_message boolean, status text, is_locked boolean)
LANGUAGE sql
STABLE
SECURITY DEFINER
AS $$
    SELECT
        t.name, t.title, t.description, t.name IS NOT DISTINCT FROM v.topic,
        CASE
            WHEN c.has_left THEN 'unsubscribed' WHEN c.has_joined OR NOT t.double_opt_in THEN 'subscribed'
            WHEN c.is_pending THEN 'pending' ELSE 'unsubscribed'
        END,
        c.is_locked
    FROM campaign_deliveries d
    JOIN workspace_topics t ON t.workspace_id = d.workspace_id
    JOIN contacts k ON k.id = d.contact_id
    LEFT JOIN campaign_versions v ON v.campaign_id = d.campaign_id AND v.version = d.campaign_version
    CROSS JOIN LATERAL topic_consent_of(d.workspace_id, t.name, k.id, k.email, k.phone) c
    WHERE d.id = p_delivery_id AND (t.archived_at IS NULL OR t.name = v.topic)
    ORDER BY lower(t.title), t.name
$$;

-- Store what the recipient of a message decides about topics of its workspace. p_number is the recipient's phone number
-- in E.164 form, if the message was an SMS. Returns the topics whose status changed.
CREATE OR REPLACE FUNCTION receiver_set_topics(
    p_delivery_id uuid, p_number text, p_topics text [], p_statuses text [], p_now timestamptz
)
RETURNS TABLE (topic text, status text)
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    recipient record;
    choice record;
BEGIN
    SELECT
        k.workspace_id, k.id AS contact_id, CASE d.channel WHEN 'sms' THEN coalesce(p_number, k.phone) ELSE k.email END
        AS address, k.email, k.phone
    INTO recipient
    FROM campaign_deliveries d
    JOIN contacts k ON k.id = d.contact_id
    WHERE d.id = p_delivery_id;
    FOR choice IN
        SELECT r.topic, w.status
        FROM unnest(p_topics, p_statuses) AS w (topic, status)
        JOIN receiver_topics(p_delivery_id) r ON r.topic = w.topic
        WHERE r.status <> w.status AND NOT r.is_locked AND w.status IN ('subscribed', 'unsubscribed')
        ORDER BY r.topic
    LOOP
        IF set_topic_consent(
            recipient.workspace_id, choice.topic, recipient.contact_id,
            -- A yes holds for all addresses that were left by a no.
            CASE choice.status
                WHEN 'subscribed' THEN ARRAY[recipient.address, recipient.email, recipient.phone]
                ELSE ARRAY[recipient.address]
            END,
            choice.status, 'person', p_now
        ) > 0 THEN
            INSERT INTO operator_actions (
                id, workspace_id, actor, source, action, object_kind, object_id, reason, details, occurred_at
            )
            VALUES (
                gen_random_uuid(), recipient.workspace_id, 'receiver:preferences', 'receiver',
                CASE choice.status WHEN 'subscribed' THEN 'resubscribe' ELSE 'suppress' END, 'contact',
                recipient.contact_id, 'chosen by the link in a message', jsonb_build_object('topic', choice.topic), p_now
            );
            topic := choice.topic;
            status := choice.status;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- Take back that the recipient of a message unsubscribed from everything, on the message's channel. What an operator or
-- a provider entered stays; an entry for all channels stays for the other one. Returns the number of lifted entries.
CREATE OR REPLACE FUNCTION receiver_resubscribe(p_delivery_id uuid, p_number text, p_now timestamptz)
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
AS $$
    WITH recipient AS MATERIALIZED (
        SELECT
            k.workspace_id, k.id AS contact_id, CASE d.channel WHEN 'sms' THEN 'sms' ELSE 'email' END AS channel,
            CASE d.channel WHEN 'sms' THEN canonical_phone(coalesce(p_number, k.phone)) ELSE canonical_email(k.email) END
            AS address
        FROM campaign_deliveries d
        JOIN contacts k ON k.id = d.contact_id
        WHERE d.id = p_delivery_id
    ),

    removed AS (
        DELETE FROM campaign_suppressions s
        USING recipient r
        WHERE s.workspace_id = r.workspace_id AND s.reason = 'unsubscribed'
          AND (s.contact_id = r.contact_id OR canonical_address(s.address) = r.address)
          AND (s.channel IS NULL OR s.channel = r.channel)
        RETURNING s.*, r.channel AS lifted_channel
    ),

    kept AS (
        INSERT INTO campaign_suppressions (
            workspace_id, contact_id, address, channel, campaign_id, reason, note, source, created_at
        )
        SELECT
            x.workspace_id, x.contact_id, x.address, CASE x.lifted_channel WHEN 'sms' THEN 'email' ELSE 'sms' END,
            x.campaign_id, x.reason, x.note, x.source, x.created_at
        FROM removed x
        WHERE x.channel IS NULL
        ON CONFLICT DO NOTHING
    ),

    recorded AS (
        INSERT INTO operator_actions (
            id, workspace_id, actor, source, action, object_kind, object_id, reason, details, occurred_at
        )
        SELECT
            gen_random_uuid(), r.workspace_id, 'receiver:preferences', 'receiver', 'resubscribe', 'contact',
            r.contact_id, 'chosen by the link in a message', jsonb_build_object('channel', r.channel), p_now
        FROM recipient r
        WHERE EXISTS (SELECT FROM removed)
    )

    SELECT count(*) FROM removed
$$;

-- The topic that a confirmation message asks about, null if the message is none.
CREATE OR REPLACE FUNCTION receiver_confirmation(p_delivery_id uuid)
RETURNS TABLE (topic text, title text, status text)
LANGUAGE sql
STABLE
SECURITY DEFINER
ROWS 1
AS $$
    SELECT t.name, t.title, c.status
    FROM campaign_deliveries d
    JOIN campaign_enrollments e ON e.id = d.enrollment_id
    JOIN workspace_topics t ON t.workspace_id = d.workspace_id AND t.name = e.personalization_data ->> 'topic'
    JOIN topic_consents c
        ON c.workspace_id = t.workspace_id AND c.topic = t.name AND c.address = canonical_email(e.contact_email)
    WHERE d.id = p_delivery_id
$$;

-- Confirm the topic that a message asks about, for the address that the message went to. Returns the topic if it is
-- confirmed by this call. A link that was followed before the person left the topic confirms nothing.
CREATE OR REPLACE FUNCTION receiver_confirm(p_delivery_id uuid, p_now timestamptz)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    asked record;
BEGIN
    SELECT d.workspace_id, d.contact_id, e.contact_email AS address, r.topic, r.status
    INTO asked
    FROM campaign_deliveries d
    JOIN campaign_enrollments e ON e.id = d.enrollment_id
    CROSS JOIN LATERAL receiver_confirmation(d.id) r
    WHERE d.id = p_delivery_id;
    IF asked.status IS DISTINCT FROM 'pending' OR set_topic_consent(
        asked.workspace_id, asked.topic, asked.contact_id, ARRAY[asked.address], 'subscribed', 'person', p_now
    ) = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO operator_actions (
        id, workspace_id, actor, source, action, object_kind, object_id, reason, details, occurred_at
    )
    VALUES (
        gen_random_uuid(), asked.workspace_id, 'receiver:confirm', 'receiver', 'resubscribe', 'contact',
        asked.contact_id, 'confirmed by the link in a message', jsonb_build_object('topic', asked.topic), p_now
    );
    RETURN asked.topic;
END
$$;

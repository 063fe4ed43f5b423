-- What a receiver with trigger webhooks does with contacts. The functions run with the rights of the tables' owner: the
-- receiver's role drip_trigger can create, change and enroll contacts of campaigns with a webhook trigger, and has no
-- privilege on contacts, enrollments, suppressions and consents themselves. The functions return ids and numbers, never
-- what is stored about a person.

-- The workspace of a campaign that calls may enter: its published version has a webhook trigger. Raises
-- insufficient_privilege for another campaign.
CREATE OR REPLACE FUNCTION workspace_of_webhook_campaign(p_campaign_id uuid)
RETURNS uuid
LANGUAGE plpgsql
AS $$
DECLARE
    found_id uuid;
BEGIN
    SELECT c.workspace_id INTO found_id
    FROM drip_campaigns c
    JOIN campaign_versions v ON v.campaign_id = c.id AND v.version = c.published_version
    CROSS JOIN LATERAL jsonb_array_elements(v.compiled_graph -> 'nodes') AS n (node)
    WHERE c.id = p_campaign_id AND c.status IN ('active', 'paused')
      AND n.node ->> 'node_id' = v.compiled_graph ->> 'entry_node_id' AND n.node #>> '{config,trigger}' = 'webhook';
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'campaign % has no webhook trigger', p_campaign_id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN found_id;
END
$$;

-- Merge the contacts of a call into those of the campaign's workspace, as an import does. p_rows is a JSON array of rows
-- of imported_contacts; with p_refusals_only, only what they refuse is entered, because the table did not take them.
-- Returns the number of new contacts, and the lines that a unique key or a trigger of the table kept out.
CREATE OR REPLACE FUNCTION trigger_merge_contacts(
    p_campaign_id uuid, p_rows jsonb, p_refusals_only boolean, p_now timestamptz
)
RETURNS TABLE (inserted bigint, refused bigint [])
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    own_workspace CONSTANT uuid := workspace_of_webhook_campaign(p_campaign_id);
    last_line CONSTANT bigint := (SELECT max((r.value ->> 'line_number')::bigint) FROM jsonb_array_elements(p_rows) r);
BEGIN
    -- Fails if the caller has a table of this name: the rows are in one of the owner's.
    PERFORM create_imported_contacts();
    INSERT INTO imported_contacts
    SELECT r.*
    FROM jsonb_to_recordset(p_rows) AS r (
        line_number bigint, email text, name text, company text, phone text, job_title text, ai_score integer,
        status text, tags text [], custom_fields jsonb, last_interaction timestamptz, is_unsubscribed boolean,
        email_refusal text, sms_refusals text []
    );
    ANALYZE imported_contacts;
    IF p_refusals_only THEN
        PERFORM suppress_imported_contacts(own_workspace, 0, last_line, p_now);
        inserted := 0;
        refused := ARRAY(SELECT i.line_number FROM imported_contacts i ORDER BY i.line_number);
    ELSE
        SELECT m.inserted, m.refused INTO inserted, refused
        FROM merge_imported_contacts(own_workspace, 0, last_line, p_now) m;
    END IF;
    DROP TABLE pg_temp.imported_contacts;
    RETURN NEXT;
END
$$;

-- The contacts of the campaign's workspace with these canonical addresses. They are locked as the foreign key of an
-- enrollment locks them, and transactions that have locked them are awaited.
CREATE OR REPLACE FUNCTION trigger_contacts(p_campaign_id uuid, p_addresses text [])
RETURNS TABLE (address text, contact_id uuid)
LANGUAGE plpgsql
SECURITY DEFINER
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    own_workspace CONSTANT uuid := workspace_of_webhook_campaign(p_campaign_id);
BEGIN
    RETURN QUERY
    SELECT k.canonical, k.id
    FROM contacts c
    JOIN (
        SELECT DISTINCT ON (canonical_email(x.email)) canonical_email(x.email) AS canonical, x.id
        FROM contacts x
        WHERE x.workspace_id = own_workspace AND canonical_email(x.email) = ANY(p_addresses)
        ORDER BY canonical_email(x.email), x.created_at, x.id
    ) k ON k.id = c.id
    ORDER BY c.id
    FOR KEY SHARE OF c;
END
$$;

-- Enroll contacts as enroll_contacts does, in a campaign with a webhook trigger.
CREATE OR REPLACE FUNCTION trigger_enroll_contacts(
    p_campaign_id uuid, p_contact_ids uuid [], p_entry_keys text [], p_entry_data text [], p_re_entry text,
    p_ended_before timestamptz, p_by_email boolean, p_by_sms boolean, p_contacts_left bigint, p_runs_left bigint,
    p_now timestamptz
)
RETURNS TABLE (result text, contacts bigint, locked_ids uuid [], new_contacts bigint)
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    RETURN QUERY
    SELECT r.result, r.contacts, r.locked_ids, r.new_contacts
    FROM enroll_contacts(
        p_campaign_id, workspace_of_webhook_campaign(p_campaign_id), p_contact_ids, p_entry_keys, p_entry_data,
        p_re_entry, p_ended_before, p_by_email, p_by_sms, p_contacts_left, p_runs_left, false, p_now
    ) r;
END
$$;

-- The stored answer to a call with this key.
CREATE OR REPLACE FUNCTION trigger_earlier_call(p_campaign_id uuid, p_call_key text)
RETURNS TABLE (body_hash text, answer jsonb)
LANGUAGE sql
STABLE
SECURITY DEFINER
ROWS 1
AS $$
    SELECT c.body_hash, c.answer FROM trigger_calls c WHERE c.campaign_id = p_campaign_id AND c.call_key = p_call_key
$$;

-- The number of enrollments of a campaign that started at a time or later.
CREATE OR REPLACE FUNCTION count_entries_since(p_campaign_id uuid, p_since timestamptz)
RETURNS bigint
LANGUAGE sql
STABLE
SECURITY DEFINER
AS $$
    SELECT count(*) FROM campaign_enrollments e WHERE e.campaign_id = p_campaign_id AND e.started_at >= p_since
$$;

-- The number of contacts that ever entered a campaign.
CREATE OR REPLACE FUNCTION count_contacts_entered(p_campaign_id uuid)
RETURNS bigint
LANGUAGE sql
STABLE
SECURITY DEFINER
AS $$
    SELECT count(DISTINCT e.contact_id) FROM campaign_enrollments e WHERE e.campaign_id = p_campaign_id
$$;

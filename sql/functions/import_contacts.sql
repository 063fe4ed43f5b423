-- Merging imported contacts: rows of a file, or of a call of a trigger webhook. The rows are in the temporary table
-- imported_contacts of the transaction, numbered by their lines.

-- Create the table of the rows; it is dropped with the transaction.
CREATE OR REPLACE FUNCTION create_imported_contacts()
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    CREATE TEMPORARY TABLE imported_contacts (
        line_number bigint PRIMARY KEY,
        email text NOT NULL,
        name text,
        company text,
        phone text,
        job_title text,
        ai_score integer,
        status text,
        tags text [],
        custom_fields jsonb NOT NULL,
        last_interaction timestamptz,
        is_unsubscribed boolean NOT NULL,
        email_refusal text,
        sms_refusals text []
    ) ON COMMIT DROP;
END
$$;

-- Insert the contacts of these lines that the workspace does not have in any spelling of the address. Return the
-- number of rows written, and the lines of those that a unique key or a trigger of the table kept out. No key is named:
-- the one of an application's table may be on an expression, or there may be none.
CREATE OR REPLACE FUNCTION insert_imported_contacts(
    p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamptz
)
RETURNS TABLE (written bigint, refused bigint [])
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH missing AS MATERIALIZED (
        SELECT i.*
        FROM imported_contacts i
        WHERE i.line_number BETWEEN p_first_line AND p_last_line
          AND NOT EXISTS (
              SELECT FROM contacts k
              WHERE k.workspace_id = p_workspace_id
                AND canonical_email(k.email) = canonical_email(i.email)
          )
    ),

    written AS (
        INSERT INTO contacts (
            workspace_id, email, name, company, phone, job_title, ai_score, status, tags, custom_fields, last_interaction,
            created_at, updated_at
        )
        SELECT
            p_workspace_id, i.email, i.name, i.company, i.phone, i.job_title, coalesce(i.ai_score, 0),
            coalesce(i.status, 'prospect'), coalesce(i.tags, '{}'), i.custom_fields, i.last_interaction,
            p_now, p_now
        FROM missing i
        ON CONFLICT DO NOTHING
        RETURNING email
    ),

    counts AS (
        SELECT (SELECT count(*) FROM written) AS written, (SELECT count(*) FROM missing) AS missing
    )

    SELECT
        c.written,
        CASE
            WHEN c.written = c.missing THEN '{}'
            ELSE ARRAY(
                SELECT i.line_number FROM missing i
                WHERE NOT EXISTS (SELECT FROM written w WHERE canonical_email(w.email) = canonical_email(i.email))
            )
        END AS refused
    FROM counts c;
END
$$;

-- Update the contacts of these lines that the workspace has. An empty cell changes nothing, tags are added, custom
-- fields are merged. Unchanged contacts are not written. Return the number of rows written, and the lines of those that
-- a trigger of the table did not let through.
CREATE OR REPLACE FUNCTION update_imported_contacts(
    p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamptz
)
RETURNS TABLE (written bigint, refused bigint [])
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH existing AS MATERIALIZED (
        SELECT DISTINCT ON (i.line_number)
            k.id AS contact_id, i.*,
            (
                coalesce(i.name, k.name), coalesce(i.company, k.company), coalesce(i.phone, k.phone),
                coalesce(i.job_title, k.job_title), coalesce(i.ai_score, k.ai_score), coalesce(i.status, k.status),
                coalesce(k.custom_fields, '{}') || i.custom_fields, coalesce(i.last_interaction, k.last_interaction)
            ) IS DISTINCT FROM (
                k.name, k.company, k.phone, k.job_title, k.ai_score, k.status, coalesce(k.custom_fields, '{}'),
                k.last_interaction
            )
            OR NOT coalesce(k.tags, '{}') @> coalesce(i.tags, '{}') AS is_changed
        FROM imported_contacts i
        JOIN contacts k
            ON k.workspace_id = p_workspace_id AND canonical_email(k.email) = canonical_email(i.email)
        WHERE i.line_number BETWEEN p_first_line AND p_last_line
        ORDER BY i.line_number, k.email = i.email DESC, k.created_at, k.id
    ),

    written AS (
        UPDATE contacts k
        SET name = coalesce(i.name, k.name),
            company = coalesce(i.company, k.company),
            phone = coalesce(i.phone, k.phone),
            job_title = coalesce(i.job_title, k.job_title),
            ai_score = coalesce(i.ai_score, k.ai_score),
            status = coalesce(i.status, k.status),
            tags = CASE
                WHEN i.tags IS NULL OR k.tags @> i.tags THEN k.tags
                ELSE
                    coalesce(k.tags, '{}')
                    || ARRAY(SELECT t FROM unnest(i.tags) AS t WHERE t <> ALL(coalesce(k.tags, '{}')))
            END,
            custom_fields = coalesce(k.custom_fields, '{}') || i.custom_fields,
            last_interaction = coalesce(i.last_interaction, k.last_interaction),
            updated_at = p_now
        FROM existing i
        WHERE k.id = i.contact_id AND i.is_changed
        RETURNING i.line_number
    )

    SELECT
        (SELECT count(*) FROM written) AS written,
        ARRAY(
            SELECT i.line_number FROM existing i
            WHERE i.is_changed AND NOT EXISTS (SELECT FROM written w WHERE w.line_number = i.line_number)
        ) AS refused;
END
$$;

-- Suppress the contacts of these lines that refuse messages: on all channels, for email, or for SMS. Return the number of new entries.
CREATE OR REPLACE FUNCTION suppress_imported_contacts(
    p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    suppressed bigint;
BEGIN
    INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason, source, created_at)
    SELECT
        p_workspace_id, k.id, s.address, s.channel, s.reason, 'import', p_now
    FROM imported_contacts i
    -- A line that the table did not take has no contact; its refusal counts all the same.
    LEFT JOIN contacts k
            ON k.workspace_id = p_workspace_id AND canonical_email(k.email) = canonical_email(i.email)
    CROSS JOIN LATERAL (
        SELECT coalesce(k.email, i.email) AS address, CAST(NULL AS text) AS channel, 'unsubscribed' AS reason
        WHERE i.is_unsubscribed
        UNION ALL
        SELECT coalesce(k.email, i.email), 'email', i.email_refusal
        WHERE i.email_refusal IS NOT NULL
        UNION ALL
        SELECT
            CASE WHEN canonical_phone(p.phone) IS NULL THEN coalesce(k.email, i.email) ELSE p.phone END, 'sms',
            'unsubscribed'
        FROM unnest(coalesce(nullif(i.sms_refusals, '{}'), ARRAY[coalesce(k.phone, i.phone)])) AS p (phone)
        WHERE i.sms_refusals IS NOT NULL
    ) s
    WHERE (i.is_unsubscribed OR i.email_refusal IS NOT NULL OR i.sms_refusals IS NOT NULL)
      AND i.line_number BETWEEN p_first_line AND p_last_line
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS suppressed = ROW_COUNT;
    RETURN suppressed;
END
$$;

-- Merge these lines into the workspace's contacts. Return the numbers of new, changed, unchanged and newly unsubscribed
-- contacts, and the lines that a unique key or a trigger of the table kept out.
CREATE OR REPLACE FUNCTION merge_imported_contacts(
    p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamptz
)
RETURNS TABLE (inserted bigint, updated bigint, unchanged bigint, unsubscribed bigint, refused bigint [])
LANGUAGE plpgsql
AS $$
DECLARE
    first_time record;
    again record;
BEGIN
    -- Keeps other imports of the workspace waiting until the end of the transaction: the key of an application's table may
    -- not cover all spellings of an address, or there may be none.
    PERFORM pg_advisory_xact_lock(hashtextextended('drip_pipeline.contacts ' || p_workspace_id::text, 0));
    -- Insert first: a contact that a concurrent transaction inserts in between is then updated. Lines that are left over are
    -- written once more: a concurrent transaction may have written their contacts, which only a later statement sees. What
    -- is left then, the table refuses.
    SELECT * INTO first_time FROM insert_imported_contacts(p_workspace_id, p_first_line, p_last_line, p_now);
    inserted := first_time.written;
    refused := first_time.refused;
    IF cardinality(first_time.refused) > 0 THEN
        SELECT * INTO again FROM insert_imported_contacts(p_workspace_id, p_first_line, p_last_line, p_now);
        inserted := inserted + again.written;
        refused := again.refused;
    END IF;
    SELECT * INTO first_time FROM update_imported_contacts(p_workspace_id, p_first_line, p_last_line, p_now);
    updated := first_time.written;
    IF cardinality(first_time.refused) > 0 THEN
        SELECT * INTO again FROM update_imported_contacts(p_workspace_id, p_first_line, p_last_line, p_now);
        updated := updated + again.written;
        refused := refused || again.refused;
    END IF;
    unsubscribed := suppress_imported_contacts(p_workspace_id, p_first_line, p_last_line, p_now);
    unchanged := (
        SELECT count(*) FROM imported_contacts i WHERE i.line_number BETWEEN p_first_line AND p_last_line
    ) - inserted - updated - cardinality(refused);
    RETURN NEXT;
END
$$;

-- name: create_imported_contacts
-- The table for the rows of an imported file until they are merged into contacts; dropped with the transaction.
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

-- name: lift_time_limits_of_staging
-- The transaction of the staged rows waits while the chunks are merged. Older servers have no transaction_timeout.
SELECT set_config(s.name, '0', true) FROM pg_settings s
WHERE s.name IN ('idle_in_transaction_session_timeout', 'transaction_timeout');

-- name: analyze_imported_contacts
-- Without statistics the planner assumes a small table and joins it row by row.
ANALYZE imported_contacts;

-- name: merge_repeated_refusals
-- A refusal of messages in any row of an address counts for the row that is kept.
UPDATE imported_contacts i
SET is_unsubscribed = n.is_unsubscribed,
    email_refusal = coalesce(i.email_refusal, n.email_refusal),
    sms_refusals = n.sms_refusals
FROM (
    SELECT
        canonical_email(r.email) AS address, bool_or(r.is_unsubscribed) AS is_unsubscribed, min(r.email_refusal) AS email_refusal,
        CASE
            WHEN bool_or(r.sms_refusals IS NOT NULL)
                THEN coalesce(array_agg(DISTINCT p.phone) FILTER (WHERE p.phone IS NOT NULL), '{}')
        END AS sms_refusals
    FROM imported_contacts r
    LEFT JOIN LATERAL unnest(r.sms_refusals) AS p (phone) ON true
    GROUP BY canonical_email(r.email)
    HAVING
        min(r.line_number) < max(r.line_number)
        AND bool_or(r.is_unsubscribed OR r.email_refusal IS NOT NULL OR r.sms_refusals IS NOT NULL)
) n
WHERE n.address = canonical_email(i.email);

-- name: take_out_repeated_contacts
-- Takes out the rows of an address that the file repeats later, because the last line counts. Returns their lines.
DELETE FROM imported_contacts i
USING (
    SELECT
        r.line_number,
        row_number() OVER (PARTITION BY canonical_email(r.email) ORDER BY r.line_number DESC) AS position
    FROM imported_contacts r
) n
WHERE n.line_number = i.line_number AND n.position > 1
RETURNING i.line_number;

-- name: lock_contacts_of_workspace
-- Keeps other imports of the workspace waiting until the end of the transaction: the key of an application's table may
-- not cover all spellings of an address, or there may be none.
SELECT pg_advisory_xact_lock(hashtextextended('drip_pipeline.contacts ' || CAST(%(workspace_id)s AS text), 0));

-- name: insert_imported_contacts
-- Inserts the contacts of these lines that the workspace does not have in any spelling of the address. Returns the
-- number of rows written, and the lines of those that a unique key or a trigger of the table kept out. No key is named:
-- the one of an application's table may be on an expression, or there may be none.
WITH missing AS MATERIALIZED (
    SELECT i.*
    FROM imported_contacts i
    WHERE i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint)
      AND NOT EXISTS (
          SELECT FROM contacts k
          WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
            AND canonical_email(k.email) = canonical_email(i.email)
      )
),

written AS (
    INSERT INTO contacts (
        workspace_id, email, name, company, phone, job_title, ai_score, status, tags, custom_fields, last_interaction,
        created_at, updated_at
    )
    SELECT
        CAST(%(workspace_id)s AS uuid), i.email, i.name, i.company, i.phone, i.job_title, coalesce(i.ai_score, 0),
        coalesce(i.status, 'prospect'), coalesce(i.tags, '{}'), i.custom_fields, i.last_interaction,
        CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
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

-- name: update_imported_contacts
-- Updates the contacts of these lines that the workspace has. An empty cell changes nothing, tags are added, custom
-- fields are merged. Unchanged contacts are not written. Returns the number of rows written, and the lines of those that
-- a trigger of the table did not let through.
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
        ON k.workspace_id = CAST(%(workspace_id)s AS uuid) AND canonical_email(k.email) = canonical_email(i.email)
    WHERE i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint)
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
        updated_at = CAST(%(now)s AS timestamptz)
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

-- name: suppress_imported_contacts
-- Suppresses the contacts of these lines that refuse messages: on all channels, for email, or for SMS.
INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason, source, created_at)
SELECT
    CAST(%(workspace_id)s AS uuid), k.id, s.address, s.channel, s.reason, 'import', CAST(%(now)s AS timestamptz)
FROM imported_contacts i
-- A line that the table did not take has no contact; its refusal counts all the same.
LEFT JOIN contacts k
        ON k.workspace_id = CAST(%(workspace_id)s AS uuid) AND canonical_email(k.email) = canonical_email(i.email)
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
  AND i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint)
ON CONFLICT DO NOTHING;

-- name: imported_contacts_between
-- The number of staged rows in these lines.
SELECT count(*) AS rows
FROM imported_contacts i
WHERE i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint);

-- name: first_imported_contact
-- The first of these lines that has a staged row.
SELECT min(i.line_number) AS line_number
FROM imported_contacts i
WHERE i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint);

-- name: delete_rejected_contacts
-- Deletes the rejected lines of an earlier import of the same file: the file may have been corrected since.
DELETE FROM rejected_contacts r
WHERE r.workspace_id = CAST(%(workspace_id)s AS uuid) AND r.source = CAST(%(source)s AS text);

-- name: store_rejected_contacts
-- Stores rejected lines with their reasons.
INSERT INTO rejected_contacts (workspace_id, source, line_number, reason, rejected_at)
SELECT
    CAST(%(workspace_id)s AS uuid), CAST(%(source)s AS text), r.line_number, r.reason, CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(line_numbers)s AS bigint []), CAST(%(reasons)s AS text [])) AS r (line_number, reason)
ON CONFLICT (workspace_id, source, line_number) DO NOTHING;

-- name: delete_rejected_cells
-- Deletes the rejected cells of an earlier import of the same file.
DELETE FROM rejected_cells r
WHERE r.workspace_id = CAST(%(workspace_id)s AS uuid) AND r.source = CAST(%(source)s AS text);

-- name: store_rejected_cells
-- Stores cells that could not be read, with their reasons.
INSERT INTO rejected_cells (workspace_id, source, line_number, column_name, reason, cell, rejected_at)
SELECT
    CAST(%(workspace_id)s AS uuid), CAST(%(source)s AS text), r.line_number, r.column_name, r.reason, r.cell,
    CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(line_numbers)s AS bigint []), CAST(%(column_names)s AS text []), CAST(%(reasons)s AS text []),
    CAST(%(cells)s AS text [])
) AS r (line_number, column_name, reason, cell)
ON CONFLICT (workspace_id, source, line_number, column_name) DO NOTHING;

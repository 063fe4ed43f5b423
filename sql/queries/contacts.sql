-- name: create_imported_contacts
-- The table for the rows of an imported file until they are merged into contacts; dropped with the transaction.
SELECT create_imported_contacts();

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

-- name: merge_imported_contacts
-- Merges the staged rows of these lines into the workspace's contacts; see the function.
SELECT m.inserted, m.updated, m.unchanged, m.unsubscribed, m.refused
FROM merge_imported_contacts(
    CAST(%(workspace_id)s AS uuid), CAST(%(first_line)s AS bigint), CAST(%(last_line)s AS bigint),
    CAST(%(now)s AS timestamptz)
) m;

-- name: suppress_imported_contacts
-- Suppresses the contacts of these lines that refuse messages; returns the number of new entries.
SELECT suppress_imported_contacts(
    CAST(%(workspace_id)s AS uuid), CAST(%(first_line)s AS bigint), CAST(%(last_line)s AS bigint),
    CAST(%(now)s AS timestamptz)
) AS suppressed;

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
INSERT INTO rejected_cells (workspace_id, source, line_number, column_name, reason, cell, rejected_at, address)
SELECT
    CAST(%(workspace_id)s AS uuid), CAST(%(source)s AS text), r.line_number, r.column_name, r.reason, r.cell,
    CAST(%(now)s AS timestamptz), r.address
FROM unnest(
    CAST(%(line_numbers)s AS bigint []), CAST(%(column_names)s AS text []), CAST(%(reasons)s AS text []),
    CAST(%(cells)s AS text []), CAST(%(addresses)s AS text [])
) AS r (line_number, column_name, reason, cell, address)
ON CONFLICT (workspace_id, source, line_number, column_name) DO NOTHING;

-- name: addresses_of_imported
-- The addresses of the contacts of these staged lines, as they are compared, and the country of their numbers.
SELECT
    k.id AS contact_id, k.workspace_id, canonical_email(k.email) AS email, canonical_phone(k.phone) AS phone,
    w.default_region AS region
FROM imported_contacts i
JOIN workspaces w ON w.id = CAST(%(workspace_id)s AS uuid)
JOIN contacts k ON k.workspace_id = CAST(%(workspace_id)s AS uuid) AND canonical_email(k.email) = canonical_email(i.email)
WHERE i.line_number BETWEEN CAST(%(first_line)s AS bigint) AND CAST(%(last_line)s AS bigint);

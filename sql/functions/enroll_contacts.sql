-- Enroll a chunk of contacts and count them by result: enrolled, already_in, or the reason of the refusal. The
-- trigger on the table creates the states and events, once for the whole statement. A repetition finds all contacts
-- enrolled. Contacts that another transaction has locked, and the foreign key would wait for, are `locked`.
-- With `p_contacts_left` or `p_runs_left`, at most so many new contacts, or runs, are admitted, in the order of the arguments; the
-- others are `over_max_people` or `over_runs`. With `p_is_dry_run` the results are counted, and nothing is written.
--
-- Every call is planned for its own arguments, because one chunk has a contact and the next one has 20,000.
CREATE OR REPLACE FUNCTION enroll_contacts(
    p_campaign_id uuid, p_workspace_id uuid, p_contact_ids uuid [], p_entry_keys text [], p_entry_data text [],
    p_re_entry text, p_ended_before timestamptz, p_by_email boolean, p_by_sms boolean, p_contacts_left bigint,
    p_runs_left bigint, p_is_dry_run boolean, p_now timestamptz
)
RETURNS TABLE (result text, contacts bigint, locked_ids uuid [], new_contacts bigint)
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH candidates AS MATERIALIZED (
        SELECT i.place, i.entry_key, i.entry_data, k.id, k.workspace_id, nullif(k.email, '') AS email, nullif(k.phone, '') AS phone, k.name,
            k.created_at
        FROM unnest(
            p_contact_ids, p_entry_keys, p_entry_data
        ) WITH ORDINALITY AS i (id, entry_key, entry_data, place)
        JOIN contacts k ON k.id = i.id
    ),

    earlier AS MATERIALIZED (
        SELECT
            e.contact_id,
            c.entry_key,
            count(*) AS runs,
            bool_or(e.entry_key = c.entry_key) AS has_key,
            bool_or(
                e.status = 'unsubscribed'
                -- A bounce is about the address that the contact had then.
                OR e.status = 'bounced' AND canonical_email(e.contact_email) IS NOT DISTINCT FROM canonical_email(c.email)
            ) AS has_left,
            -- Runs that were cut off, of contacts that may be written to again, do not count as runs.
            bool_and(
                CASE e.status
                    WHEN 'bounced' THEN true
                    WHEN 'completed' THEN coalesce(s.exit_reason IN ('unsubscribed', 'suppressed'), false)
                    ELSE false
                END
            ) AS was_cut_off,
            bool_or(
                CASE WHEN s.id IS NULL THEN e.status IN ('active', 'paused') ELSE s.completed_at IS NULL END
            ) AS is_in,
            max(coalesce(s.completed_at, e.completed_at, e.started_at)) AS ended_at
        FROM candidates c
        JOIN campaign_enrollments e ON e.contact_id = c.id AND e.campaign_id = p_campaign_id
        LEFT JOIN campaign_workflow_states s ON s.id = e.id
        GROUP BY e.contact_id, c.entry_key
    ),

    addresses AS (
        SELECT c.id, canonical_email(c.email) AS address, 'email' AS channel FROM candidates c WHERE c.email IS NOT NULL
        UNION ALL
        SELECT c.id, canonical_phone(c.phone) AS address, 'sms' AS channel FROM candidates c WHERE c.phone IS NOT NULL
    ),

    blocked AS MATERIALIZED (
        SELECT
            a.id,
            bool_or(a.channel = 'email' AND (a.blocked IS NULL OR a.blocked = 'email')) AS by_email,
            bool_or(a.channel = 'sms' AND (a.blocked IS NULL OR a.blocked = 'sms')) AS by_sms,
            bool_or(a.blocked IS NULL) AS by_all
        FROM (
            SELECT a.id, a.channel, x.channel AS blocked, x.campaign_id
            FROM addresses a
            JOIN campaign_suppressions x
                ON x.workspace_id = p_workspace_id AND canonical_address(x.address) = a.address
            UNION ALL
            -- A person's own no also applies to an address that they get later.
            SELECT a.id, a.channel, x.channel, x.campaign_id
            FROM addresses a
            JOIN campaign_suppressions x ON x.contact_id = a.id AND x.reason IN ('unsubscribed', 'complained')
        ) a
        WHERE a.campaign_id IS NULL OR a.campaign_id = p_campaign_id
        GROUP BY a.id
    ),

    -- Contacts of one address, written by an application in two spellings, are one recipient: the one that is enrolled, or
    -- the oldest. OFFSET 0 keeps it a lookup in the index per contact.
    same_address AS MATERIALIZED (
        SELECT DISTINCT c.id, c.entry_key
        FROM candidates c
        CROSS JOIN LATERAL (
            SELECT k.id, k.created_at
            FROM contacts k
            WHERE canonical_email(k.email) = canonical_email(c.email)
              AND k.workspace_id = p_workspace_id AND k.id <> c.id
            OFFSET 0
        ) other
        WHERE p_by_email AND c.email IS NOT NULL
          AND (
              EXISTS (
                  SELECT FROM campaign_enrollments e
                  WHERE e.campaign_id = p_campaign_id AND e.contact_id = other.id
                    AND (p_re_entry <> 'per_key' OR e.entry_key = c.entry_key)
              )
              OR EXISTS (
                  SELECT FROM candidates d
                  WHERE d.id = other.id AND d.entry_key IS NOT DISTINCT FROM c.entry_key
                    AND (coalesce(d.created_at, '-infinity'), d.id) < (coalesce(c.created_at, '-infinity'), c.id)
              )
          )
    ),

    decided AS MATERIALIZED (
        SELECT
            c.place, c.id, c.email, c.name, c.entry_data, e.contact_id IS NULL AS is_new,
            coalesce(
                c.entry_key,
                CASE WHEN e.contact_id IS NULL THEN '' ELSE 'run-' || (e.runs + 1) END
            ) AS entry_key,
            CASE
                WHEN c.workspace_id <> p_workspace_id THEN 'other_workspace'
                WHEN e.has_key THEN 'already_in'
                WHEN s.id IS NOT NULL THEN 'same_address'
                WHEN e.contact_id IS NOT NULL AND p_re_entry = 'once'
                    AND (e.has_left OR NOT e.was_cut_off) THEN 'already_in'
                WHEN e.is_in AND p_re_entry <> 'per_key' THEN 'already_in'
                WHEN e.has_left OR b.by_all THEN 'suppressed'
                -- One of the campaign's channels with an address that is not suppressed suffices.
                WHEN p_by_email AND c.email IS NOT NULL AND b.by_email IS NOT TRUE THEN NULL
                WHEN p_by_sms AND c.phone IS NOT NULL AND b.by_sms IS NOT TRUE THEN NULL
                WHEN p_by_email AND c.email IS NOT NULL THEN 'suppressed'
                WHEN p_by_sms AND c.phone IS NOT NULL THEN 'suppressed'
                WHEN p_by_email THEN 'no_email'
                WHEN p_by_sms THEN 'no_phone'
            END AS refusal,
            e.ended_at > p_ended_before AS is_too_soon
        FROM candidates c
        LEFT JOIN earlier e ON e.contact_id = c.id AND e.entry_key IS NOT DISTINCT FROM c.entry_key
        LEFT JOIN blocked b ON b.id = c.id
        -- A contact that is enrolled itself is never taken for the other one.
        LEFT JOIN same_address s ON e.contact_id IS NULL AND s.id = c.id AND s.entry_key IS NOT DISTINCT FROM c.entry_key
    ),

    -- The lock that the foreign key takes, taken first and without waiting. LATERAL keeps it a lookup in the index.
    held AS MATERIALIZED (
        SELECT
            r.*,
            k.id IS NOT NULL
            OR (p_is_dry_run AND r.refusal IS NULL AND r.is_too_soon IS NOT TRUE) AS is_held
        FROM decided r
        LEFT JOIN LATERAL (
            SELECT c.id
            FROM contacts c
            WHERE c.id = r.id AND r.refusal IS NULL AND r.is_too_soon IS NOT TRUE
              AND NOT p_is_dry_run
            FOR KEY SHARE SKIP LOCKED
        ) k ON true
    ),

    -- A campaign without limits reads the first part only.
    limited AS MATERIALIZED (
        SELECT h.*, NULL::text AS refused_by
        FROM held h
        WHERE p_contacts_left IS NULL AND p_runs_left IS NULL
        UNION ALL
        SELECT
            n.place, n.id, n.email, n.name, n.entry_data, n.is_new, n.entry_key, n.refusal, n.is_too_soon, n.is_held,
            CASE
                WHEN n.is_over_people THEN 'over_max_people'
                WHEN count(*) FILTER (WHERE n.is_held AND NOT n.is_over_people) OVER (ORDER BY n.place)
                    > p_runs_left THEN 'over_runs'
            END AS refused_by
        FROM (
            SELECT
                f.*,
                coalesce(
                    f.is_held AND f.is_new
                    AND dense_rank() OVER (PARTITION BY f.is_held AND f.is_new ORDER BY f.first_place)
                    > p_contacts_left, false
                ) AS is_over_people
            FROM (SELECT h.*, min(h.place) OVER (PARTITION BY h.id, h.is_held) AS first_place FROM held h) f
        ) n
        WHERE p_contacts_left IS NOT NULL OR p_runs_left IS NOT NULL
    ),

    admitted AS (
        INSERT INTO campaign_enrollments (
            campaign_id, contact_id, contact_email, contact_name, entry_key, personalization_data, workspace_id, status,
            started_at, created_at, updated_at
        )
        SELECT
            p_campaign_id, r.id, r.email, r.name, r.entry_key, coalesce(CAST(r.entry_data AS jsonb), '{}'),
            p_workspace_id, 'active',
            p_now, p_now, p_now
        FROM limited r
        WHERE r.is_held AND r.refused_by IS NULL AND NOT p_is_dry_run
        -- Sorted, because concurrent enrollments of the same contacts would deadlock otherwise.
        ORDER BY r.id, r.entry_key
        ON CONFLICT (campaign_id, contact_id, entry_key) DO NOTHING
        RETURNING id, contact_id, entry_key
    )

    SELECT
        CASE
            WHEN a.id IS NOT NULL OR (p_is_dry_run AND r.is_held AND r.refused_by IS NULL) THEN 'enrolled'
            WHEN r.refusal IS NOT NULL THEN r.refusal
            WHEN r.is_too_soon THEN 'too_soon'
            WHEN NOT r.is_held THEN 'locked'
            WHEN r.refused_by IS NOT NULL THEN r.refused_by
            ELSE 'already_in'
        END AS result,
        count(*) AS contacts,
        coalesce(
            array_agg(r.id) FILTER (WHERE r.refusal IS NULL AND r.is_too_soon IS NOT TRUE AND NOT r.is_held), '{}'
        ) AS locked_ids,
        count(DISTINCT r.id) FILTER (WHERE p_is_dry_run AND r.is_new) AS new_contacts
    FROM limited r
    LEFT JOIN admitted a ON a.contact_id = r.id AND a.entry_key = r.entry_key
    GROUP BY 1;
END
$$;

-- name: contacts_after
-- The next chunk of a workspace's contacts, optionally with a tag, in the order of their ids.
SELECT k.id
FROM contacts k
WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND (CAST(%(after)s AS uuid) IS NULL OR k.id > CAST(%(after)s AS uuid))
  AND (CAST(%(tag)s AS text) IS NULL OR k.tags @> ARRAY[CAST(%(tag)s AS text)])
ORDER BY k.id
LIMIT CAST(%(chunk_size)s AS integer);

-- name: contacts_by_address
-- The contacts of this workspace with these canonical addresses; otherwise, whether another workspace has the address.
SELECT a.address, k.id AS contact_id, k.id IS NULL AND o.address IS NOT NULL AS is_elsewhere
FROM unnest(CAST(%(addresses)s AS text [])) AS a (address)
LEFT JOIN (
    SELECT DISTINCT ON (canonical_email(c.email)) canonical_email(c.email) AS address, c.id
    FROM contacts c
    WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND canonical_email(c.email) = ANY(CAST(%(addresses)s AS text []))
    ORDER BY canonical_email(c.email), c.created_at, c.id
) k ON k.address = a.address
LEFT JOIN (
    SELECT DISTINCT canonical_email(c.email) AS address
    FROM contacts c
    WHERE c.workspace_id <> CAST(%(workspace_id)s AS uuid)
      AND canonical_email(c.email) = ANY(CAST(%(addresses)s AS text []))
) o ON o.address = a.address;

-- name: latest_events_of_contacts
-- When each event type last happened to these contacts, in any campaign or at contact level. Opens and clicks by machines
-- do not count.
SELECT x.contact_id, x.event_type, max(x.happened_at) AS latest_at
FROM (
    SELECT c.contact_id, c.event_type, c.occurred_at AS happened_at
    FROM contact_events c
    WHERE c.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
      AND c.event_type = ANY(CAST(%(event_types)s AS text []))
      AND c.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
    UNION ALL
    SELECT n.contact_id, e.event_type, e.created_at AS happened_at
    FROM campaign_enrollments n
    JOIN campaign_events e ON e.enrollment_id = n.id
    WHERE n.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
      AND e.event_type = ANY(CAST(%(event_types)s AS text []))
      AND e.event_data -> 'machine' IS DISTINCT FROM 'true'::jsonb
) x
GROUP BY x.contact_id, x.event_type;

-- name: enroll_contacts
-- Enrolls a chunk of contacts and counts them by result: enrolled, already_in, or the reason of the refusal. The
-- trigger on the table creates the states and events, once for the whole statement. A repetition finds all contacts
-- enrolled. Contacts that another transaction has locked, and the foreign key would wait for, are `locked`.
-- With `contacts_left` or `runs_left`, at most so many new contacts, or runs, are admitted, in the order of the arguments; the
-- others are `over_max_people` or `over_runs`. With `is_dry_run` the results are counted, and nothing is written.
WITH candidates AS MATERIALIZED (
    SELECT i.place, i.entry_key, i.entry_data, k.id, k.workspace_id, nullif(k.email, '') AS email, nullif(k.phone, '') AS phone, k.name,
        k.created_at
    FROM unnest(
        CAST(%(contact_ids)s AS uuid []), CAST(%(entry_keys)s AS text []), CAST(%(entry_data)s AS text [])
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
    JOIN campaign_enrollments e ON e.contact_id = c.id AND e.campaign_id = CAST(%(campaign_id)s AS uuid)
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
            ON x.workspace_id = CAST(%(workspace_id)s AS uuid) AND canonical_address(x.address) = a.address
        UNION ALL
        -- A person's own no also applies to an address that they get later.
        SELECT a.id, a.channel, x.channel, x.campaign_id
        FROM addresses a
        JOIN campaign_suppressions x ON x.contact_id = a.id AND x.reason IN ('unsubscribed', 'complained')
    ) a
    WHERE a.campaign_id IS NULL OR a.campaign_id = CAST(%(campaign_id)s AS uuid)
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
          AND k.workspace_id = CAST(%(workspace_id)s AS uuid) AND k.id <> c.id
        OFFSET 0
    ) other
    WHERE CAST(%(by_email)s AS boolean) AND c.email IS NOT NULL
      AND (
          EXISTS (
              SELECT FROM campaign_enrollments e
              WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid) AND e.contact_id = other.id
                AND (CAST(%(re_entry)s AS text) <> 'per_key' OR e.entry_key = c.entry_key)
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
            WHEN c.workspace_id <> CAST(%(workspace_id)s AS uuid) THEN 'other_workspace'
            WHEN e.has_key THEN 'already_in'
            WHEN s.id IS NOT NULL THEN 'same_address'
            WHEN e.contact_id IS NOT NULL AND CAST(%(re_entry)s AS text) = 'once'
                AND (e.has_left OR NOT e.was_cut_off) THEN 'already_in'
            WHEN e.is_in AND CAST(%(re_entry)s AS text) <> 'per_key' THEN 'already_in'
            WHEN e.has_left OR b.by_all THEN 'suppressed'
            -- One of the campaign's channels with an address that is not suppressed suffices.
            WHEN CAST(%(by_email)s AS boolean) AND c.email IS NOT NULL AND b.by_email IS NOT TRUE THEN NULL
            WHEN CAST(%(by_sms)s AS boolean) AND c.phone IS NOT NULL AND b.by_sms IS NOT TRUE THEN NULL
            WHEN CAST(%(by_email)s AS boolean) AND c.email IS NOT NULL THEN 'suppressed'
            WHEN CAST(%(by_sms)s AS boolean) AND c.phone IS NOT NULL THEN 'suppressed'
            WHEN CAST(%(by_email)s AS boolean) THEN 'no_email'
            WHEN CAST(%(by_sms)s AS boolean) THEN 'no_phone'
        END AS refusal,
        e.ended_at > CAST(%(ended_before)s AS timestamptz) AS is_too_soon
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
        OR (CAST(%(is_dry_run)s AS boolean) AND r.refusal IS NULL AND r.is_too_soon IS NOT TRUE) AS is_held
    FROM decided r
    LEFT JOIN LATERAL (
        SELECT c.id
        FROM contacts c
        WHERE c.id = r.id AND r.refusal IS NULL AND r.is_too_soon IS NOT TRUE
          AND NOT CAST(%(is_dry_run)s AS boolean)
        FOR KEY SHARE SKIP LOCKED
    ) k ON true
),

-- A campaign without limits reads the first part only.
limited AS MATERIALIZED (
    SELECT h.*, NULL::text AS refused_by
    FROM held h
    WHERE CAST(%(contacts_left)s AS bigint) IS NULL AND CAST(%(runs_left)s AS bigint) IS NULL
    UNION ALL
    SELECT
        n.place, n.id, n.email, n.name, n.entry_data, n.is_new, n.entry_key, n.refusal, n.is_too_soon, n.is_held,
        CASE
            WHEN n.is_over_people THEN 'over_max_people'
            WHEN count(*) FILTER (WHERE n.is_held AND NOT n.is_over_people) OVER (ORDER BY n.place)
                > CAST(%(runs_left)s AS bigint) THEN 'over_runs'
        END AS refused_by
    FROM (
        SELECT
            f.*,
            coalesce(
                f.is_held AND f.is_new
                AND dense_rank() OVER (PARTITION BY f.is_held AND f.is_new ORDER BY f.first_place)
                > CAST(%(contacts_left)s AS bigint), false
            ) AS is_over_people
        FROM (SELECT h.*, min(h.place) OVER (PARTITION BY h.id, h.is_held) AS first_place FROM held h) f
    ) n
    WHERE CAST(%(contacts_left)s AS bigint) IS NOT NULL OR CAST(%(runs_left)s AS bigint) IS NOT NULL
),

admitted AS (
    INSERT INTO campaign_enrollments (
        campaign_id, contact_id, contact_email, contact_name, entry_key, personalization_data, workspace_id, status,
        started_at, created_at, updated_at
    )
    SELECT
        CAST(%(campaign_id)s AS uuid), r.id, r.email, r.name, r.entry_key, coalesce(CAST(r.entry_data AS jsonb), '{}'),
        CAST(%(workspace_id)s AS uuid), 'active',
        CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
    FROM limited r
    WHERE r.is_held AND r.refused_by IS NULL AND NOT CAST(%(is_dry_run)s AS boolean)
    -- Sorted, because concurrent enrollments of the same contacts would deadlock otherwise.
    ORDER BY r.id, r.entry_key
    ON CONFLICT (campaign_id, contact_id, entry_key) DO NOTHING
    RETURNING id, contact_id, entry_key
)

SELECT
    CASE
        WHEN a.id IS NOT NULL OR (CAST(%(is_dry_run)s AS boolean) AND r.is_held AND r.refused_by IS NULL) THEN 'enrolled'
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
    count(DISTINCT r.id) FILTER (WHERE CAST(%(is_dry_run)s AS boolean) AND r.is_new) AS new_contacts
FROM limited r
LEFT JOIN admitted a ON a.contact_id = r.id AND a.entry_key = r.entry_key
GROUP BY 1;

-- name: await_contacts
-- Takes the lock of the foreign key on these contacts; waits for transactions that have locked them.
SELECT k.id
FROM contacts k
WHERE k.id = ANY(CAST(%(contact_ids)s AS uuid []))
ORDER BY k.id
FOR KEY SHARE;

-- name: spread_new_states
-- Spreads the due times of states that were enrolled at `now` evenly over a time range, by a hash of the id.
UPDATE campaign_workflow_states s
SET next_execution_at = CAST(%(now)s AS timestamptz)
    + ((hashtext(s.id::text) & 2147483647) %% 10000) / 10000.0 * make_interval(secs => CAST(%(spread_seconds)s AS double precision))
FROM campaign_enrollments e
WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND e.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND s.id = e.id
  AND s.steps_taken = 0
  AND s.workflow_status = 'running'
  AND s.next_execution_at = CAST(%(now)s AS timestamptz);

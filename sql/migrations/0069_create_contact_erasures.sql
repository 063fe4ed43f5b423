-- Contacts that were erased, or are to be: what stays of a contact has this random id in place of its own. A row is
-- written when a contact is deleted, and the next tick erases the rest.
CREATE TABLE IF NOT EXISTS contact_erasures (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    -- Null until all copies are gone.
    erased_at timestamptz
);
CREATE INDEX IF NOT EXISTS contact_erasures_pending ON contact_erasures (requested_at) WHERE erased_at IS NULL;
SELECT drip_protect_table('contact_erasures');

-- What identifies these contacts, until the erasure is complete: by it the copies are found. For the engine only, so
-- that it has no workspace_id, by which a platform shows the rows of a workspace.
CREATE TABLE IF NOT EXISTS contact_erasure_values (
    erasure_id uuid PRIMARY KEY REFERENCES contact_erasures (id) ON DELETE CASCADE,
    -- Null for an address without a contact.
    contact_id uuid,
    email text,
    phone text,
    name text,
    -- Earlier addresses, and ids of its enrollments and messages.
    identifiers jsonb NOT NULL DEFAULT '{}',
    -- When the tables were rewritten; files and payloads follow.
    rewritten_at timestamptz,
    -- When an attempt to complete it failed last: a file is missing or cannot be written.
    failed_at timestamptz
);
CREATE INDEX IF NOT EXISTS contact_erasure_values_contact ON contact_erasure_values (contact_id);
SELECT drip_protect_table('contact_erasure_values');
DO $$
BEGIN
    IF to_regrole('drip_read') IS NOT NULL THEN
        REVOKE ALL ON contact_erasure_values FROM drip_read;
    END IF;
END
$$;

-- What erased addresses refused, by their keyed hash: a later import of the address is suppressed again.
CREATE TABLE IF NOT EXISTS erased_suppressions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    -- Names the key (DRIP_SECRET_KEY) of the hash; no part of the key can be computed from it.
    key_id text NOT NULL,
    address_hash bytea NOT NULL,
    channel text,
    campaign_id uuid,
    -- Set where the address left a topic; null for an entry of the suppression list.
    topic text,
    reason text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS erased_suppressions_key ON erased_suppressions (
    workspace_id, address_hash, coalesce(channel, ''),
    coalesce(campaign_id, '00000000-0000-0000-0000-000000000000'), coalesce(topic, '')
);
SELECT drip_protect_table('erased_suppressions');

-- A deleted contact takes its enrollments along no longer: metrics and test results would change. The trigger
-- record_contact_erasures ends them, and the trigger of new enrollments checks that their contacts exist.
-- Where contacts are partitioned, the foreign key has a part for each partition, which goes with it.
DO $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT c.conname
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attname = 'contact_id'
        WHERE c.conrelid = 'campaign_enrollments'::regclass AND c.contype = 'f' AND c.conparentid = 0
          AND c.conkey = ARRAY[a.attnum]
    LOOP
        EXECUTE format('ALTER TABLE campaign_enrollments DROP CONSTRAINT %I', earlier.conname);
    END LOOP;
END
$$;

-- Contacts that were deleted before: the log still has their addresses and properties.
WITH deleted AS (
    SELECT DISTINCT ON (d.contact_id) d.contact_id, d.workspace_id, gen_random_uuid() AS id
    FROM campaign_deleted_enrollments d
    WHERE NOT EXISTS (SELECT FROM contacts k WHERE k.id = d.contact_id)
      AND NOT EXISTS (SELECT FROM contact_erasure_values v WHERE v.contact_id = d.contact_id)
    ORDER BY d.contact_id, d.deleted_at
),

requested AS (
    INSERT INTO contact_erasures (id, workspace_id, requested_at)
    SELECT d.id, d.workspace_id, now() FROM deleted d
)

INSERT INTO contact_erasure_values (erasure_id, contact_id)
SELECT d.id, d.contact_id FROM deleted d;

-- Contacts and enrollments that were stopped because of their own data, for the incidents that name them.

CREATE TABLE IF NOT EXISTS campaign_data_faults (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    -- Null for a contact that could not be checked while it was selected.
    enrollment_id uuid,
    campaign_id uuid,
    node_id text,
    -- Quotes nothing of the contact.
    reason text NOT NULL,
    found_at timestamptz NOT NULL
);
-- One row per enrollment, or per contact that could not be checked.
CREATE UNIQUE INDEX IF NOT EXISTS campaign_data_faults_subject
    ON campaign_data_faults (contact_id, coalesce(enrollment_id, '00000000-0000-0000-0000-000000000000'));

SELECT drip_protect_table('campaign_data_faults');

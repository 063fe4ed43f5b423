-- The specification's new columns on existing tables. Adding is idempotent: a database on which the specification's own
-- migration ran keeps its columns and data, and only what contradicts the decisions is relaxed.

ALTER TABLE drip_campaigns
    ADD COLUMN IF NOT EXISTS campaign_type text DEFAULT 'linear'
        CHECK (campaign_type IN ('linear', 'branching', 'ab_test')),
    ADD COLUMN IF NOT EXISTS canvas_data jsonb DEFAULT '{"nodes": [], "edges": [], "viewport": {}}',
    ADD COLUMN IF NOT EXISTS ab_test_config jsonb,
    ADD COLUMN IF NOT EXISTS ab_test_winner_id uuid REFERENCES campaign_steps (id) ON DELETE SET NULL,
    ADD COLUMN IF NOT EXISTS ab_test_completed_at timestamptz,
    ADD COLUMN IF NOT EXISTS goal_metric text
        CHECK (goal_metric IN ('open_rate', 'click_rate', 'reply_rate', 'conversion_rate', 'engagement_score')),
    ADD COLUMN IF NOT EXISTS goal_target numeric(5, 2),
    ADD COLUMN IF NOT EXISTS version integer DEFAULT 1,
    ADD COLUMN IF NOT EXISTS parent_campaign_id uuid REFERENCES drip_campaigns (id) ON DELETE SET NULL,
    -- Added by this project: which version newcomers enter (null until the first publish), the file's keys that have no
    -- column of their own (re-entry policy, timezone …), and the hash that makes publishing idempotent.
    ADD COLUMN IF NOT EXISTS published_version integer,
    ADD COLUMN IF NOT EXISTS settings jsonb NOT NULL DEFAULT '{}';

ALTER TABLE campaign_steps
    ADD COLUMN IF NOT EXISTS node_id text,
    ADD COLUMN IF NOT EXISTS node_type text
        CHECK (node_type IN ('trigger', 'email', 'wait', 'condition', 'split', 'action', 'exit')),
    ADD COLUMN IF NOT EXISTS node_position jsonb DEFAULT '{"x": 0, "y": 0}',
    ADD COLUMN IF NOT EXISTS channel_id uuid REFERENCES campaign_channels (id) ON DELETE SET NULL,
    ADD COLUMN IF NOT EXISTS channel_config jsonb,
    ADD COLUMN IF NOT EXISTS variant_group text,
    ADD COLUMN IF NOT EXISTS variant_percentage numeric(7, 4)
        CHECK (variant_percentage >= 0 AND variant_percentage <= 100),
    ADD COLUMN IF NOT EXISTS parent_split_id uuid REFERENCES campaign_steps (id) ON DELETE SET NULL,
    ADD COLUMN IF NOT EXISTS conditional_branches jsonb,
    ADD COLUMN IF NOT EXISTS wait_config jsonb,
    ADD COLUMN IF NOT EXISTS action_config jsonb,
    -- Added by this project: what a node's configuration says beyond the specification's columns (trigger, split, exit).
    ADD COLUMN IF NOT EXISTS node_config jsonb;

-- Waits, triggers and exits are steps too, without a subject, and legacy steps keep their numbers when waits come between.
ALTER TABLE campaign_steps
    ALTER COLUMN subject_line DROP NOT NULL,
    ALTER COLUMN email_body DROP NOT NULL,
    ALTER COLUMN step_number DROP NOT NULL,
    ALTER COLUMN variant_percentage TYPE numeric(7, 4);

-- A database may have the specification's column without its check, or the other way about; one named index serves the
-- visual builder and keeps a node id unique within its campaign.
DROP INDEX IF EXISTS idx_campaign_steps_node_id;
CREATE UNIQUE INDEX idx_campaign_steps_node_id ON campaign_steps (campaign_id, node_id);

ALTER TABLE campaign_enrollments
    -- One enrolment per (campaign, contact, entry key): re-entry gets a key, everybody else the empty one.
    ADD COLUMN IF NOT EXISTS entry_key text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS workspace_id uuid;

ALTER TABLE campaign_enrollments ALTER COLUMN contact_email DROP NOT NULL;

-- The old key (campaign, contact) forbids re-entry. Its name differs between databases, so it is found by its columns.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT c.conname
        FROM pg_constraint c
        WHERE c.conrelid = 'campaign_enrollments'::regclass
          AND c.contype = 'u'
          AND (
              SELECT array_agg(a.attname::text ORDER BY a.attname)
              FROM unnest(c.conkey) AS k (attnum)
              JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
          ) = ARRAY['campaign_id', 'contact_id']
    LOOP
        EXECUTE format('ALTER TABLE campaign_enrollments DROP CONSTRAINT %I', old.conname);
    END LOOP;
END
$$;

-- Serves finding a contact by address, however it is spelt: imports, enrolling from a list, events by address.
CREATE INDEX IF NOT EXISTS contacts_address ON contacts (lower(email), workspace_id);

CREATE UNIQUE INDEX IF NOT EXISTS campaign_enrollments_entry_key
    ON campaign_enrollments (campaign_id, contact_id, entry_key);
-- Serves deleting a contact, and finding a person's enrolments for contact-level events.
CREATE INDEX IF NOT EXISTS campaign_enrollments_contact ON campaign_enrollments (contact_id);

-- Serves resuming: enrolments that an application paused or unsubscribed, a small part of the whole.
CREATE INDEX IF NOT EXISTS campaign_enrollments_held
    ON campaign_enrollments (campaign_id) WHERE status IN ('paused', 'unsubscribed', 'bounced');

-- sms and webhook are channels as well. The check is found by its column, whatever it is called.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT c.conname
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.conrelid = 'campaign_channels'::regclass AND c.contype = 'c' AND a.attname = 'channel_category'
    LOOP
        EXECUTE format('ALTER TABLE campaign_channels DROP CONSTRAINT %I', old.conname);
    END LOOP;
    ALTER TABLE campaign_channels ADD CONSTRAINT campaign_channels_channel_category_check CHECK (
        channel_category IN ('website', 'blog', 'social', 'email', 'video', 'advertising', 'sms', 'webhook')
    );
END
$$;

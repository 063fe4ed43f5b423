-- Add the specification's new columns to existing tables. This is idempotent: a database on which the specification's
-- own migration ran keeps its columns and data, and only what conflicts with this schema is changed.

ALTER TABLE drip_campaigns
    ADD COLUMN IF NOT EXISTS campaign_type text DEFAULT 'linear',
    ADD COLUMN IF NOT EXISTS canvas_data jsonb DEFAULT '{"nodes": [], "edges": [], "viewport": {}}',
    ADD COLUMN IF NOT EXISTS ab_test_config jsonb,
    ADD COLUMN IF NOT EXISTS ab_test_winner_id uuid,
    ADD COLUMN IF NOT EXISTS ab_test_completed_at timestamptz,
    ADD COLUMN IF NOT EXISTS goal_metric text,
    ADD COLUMN IF NOT EXISTS goal_target numeric(5, 2),
    ADD COLUMN IF NOT EXISTS version integer DEFAULT 1,
    ADD COLUMN IF NOT EXISTS parent_campaign_id uuid,
    -- Added by this project: the version that new enrollments enter (null until the first publish), and the campaign
    -- file's keys that have no column of their own (re-entry policy, time zone, …).
    ADD COLUMN IF NOT EXISTS published_version integer,
    ADD COLUMN IF NOT EXISTS drip_settings jsonb NOT NULL DEFAULT '{}';

-- Defaults, checks and keys get one form everywhere, including on columns that existed before.
SELECT
    drip_drop_constraints('drip_campaigns', 'c', 'campaign_type'),
    drip_drop_constraints('drip_campaigns', 'c', 'goal_metric'),
    drip_drop_constraints('drip_campaigns', 'f', 'ab_test_winner_id'),
    drip_drop_constraints('drip_campaigns', 'f', 'parent_campaign_id');

ALTER TABLE drip_campaigns
    ALTER COLUMN campaign_type SET DEFAULT 'linear',
    ALTER COLUMN canvas_data SET DEFAULT '{"nodes": [], "edges": [], "viewport": {}}',
    ALTER COLUMN version SET DEFAULT 1,
    ADD CONSTRAINT drip_campaigns_campaign_type_check CHECK (campaign_type IN ('linear', 'branching', 'ab_test')),
    ADD CONSTRAINT drip_campaigns_goal_metric_check CHECK (
        goal_metric IN ('open_rate', 'click_rate', 'reply_rate', 'conversion_rate', 'engagement_score')
    ),
    -- Publishing may drop a step that won a test; the decision row keeps the winner's name.
    ADD CONSTRAINT drip_campaigns_ab_test_winner_id_fkey
        FOREIGN KEY (ab_test_winner_id) REFERENCES campaign_steps (id) ON DELETE SET NULL,
    ADD CONSTRAINT drip_campaigns_parent_campaign_id_fkey
        FOREIGN KEY (parent_campaign_id) REFERENCES drip_campaigns (id) ON DELETE SET NULL;

ALTER TABLE campaign_steps
    ADD COLUMN IF NOT EXISTS node_id text,
    ADD COLUMN IF NOT EXISTS node_type text,
    ADD COLUMN IF NOT EXISTS node_position jsonb DEFAULT '{"x": 0, "y": 0}',
    ADD COLUMN IF NOT EXISTS channel_id uuid,
    ADD COLUMN IF NOT EXISTS channel_config jsonb,
    ADD COLUMN IF NOT EXISTS variant_group text,
    ADD COLUMN IF NOT EXISTS variant_percentage numeric(7, 4),
    ADD COLUMN IF NOT EXISTS parent_split_id uuid,
    ADD COLUMN IF NOT EXISTS conditional_branches jsonb,
    ADD COLUMN IF NOT EXISTS wait_config jsonb,
    ADD COLUMN IF NOT EXISTS action_config jsonb,
    -- Added by this project: configuration of a node beyond the specification's columns (trigger, split, exit).
    ADD COLUMN IF NOT EXISTS node_config jsonb;

SELECT
    drip_drop_constraints('campaign_steps', 'c', 'node_type'),
    drip_drop_constraints('campaign_steps', 'c', 'variant_percentage'),
    drip_drop_constraints('campaign_steps', 'f', 'channel_id'),
    drip_drop_constraints('campaign_steps', 'f', 'parent_split_id');

-- Percentages may be fractional. The type is changed only if it differs, because views on the column block the
-- change.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = 'campaign_steps'::regclass AND a.attname = 'variant_percentage'
          AND format_type(a.atttypid, a.atttypmod) <> 'numeric(7,4)'
    ) THEN
        PERFORM drip_save_dependents(false, 'campaign_steps');
        ALTER TABLE campaign_steps ALTER COLUMN variant_percentage TYPE numeric(7, 4);
        PERFORM drip_restore_dependents();
    END IF;
END
$$;

-- Waits, triggers and exits are steps without a subject or a body. Publishing clears the step numbers temporarily
-- while it renumbers the steps.
ALTER TABLE campaign_steps
    ALTER COLUMN step_number DROP NOT NULL,
    ALTER COLUMN step_name DROP NOT NULL,
    ALTER COLUMN subject_line DROP NOT NULL,
    ALTER COLUMN email_body DROP NOT NULL,
    ALTER COLUMN node_type DROP DEFAULT,
    ALTER COLUMN node_position SET DEFAULT '{"x": 0, "y": 0}',
    ADD CONSTRAINT campaign_steps_node_type_check
        CHECK (node_type IN ('trigger', 'email', 'wait', 'condition', 'split', 'action', 'exit')),
    ADD CONSTRAINT campaign_steps_variant_percentage_check
        CHECK (variant_percentage >= 0 AND variant_percentage <= 100),
    ADD CONSTRAINT campaign_steps_channel_id_fkey
        FOREIGN KEY (channel_id) REFERENCES campaign_channels (id) ON DELETE SET NULL,
    ADD CONSTRAINT campaign_steps_parent_split_id_fkey
        FOREIGN KEY (parent_split_id) REFERENCES campaign_steps (id) ON DELETE SET NULL;

-- A node id is unique in its campaign. Where copied steps share one, the first step keeps it.
DO $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_steps');
BEGIN
    UPDATE campaign_steps s
    SET node_id = s.node_id || '_' || s.id
    FROM (
        SELECT
            t.id,
            row_number() OVER (PARTITION BY t.campaign_id, t.node_id ORDER BY t.step_number, t.created_at, t.id) AS nth
        FROM campaign_steps t
        WHERE t.node_id IS NOT NULL
    ) r
    WHERE r.id = s.id AND r.nth > 1;
    PERFORM drip_enable_triggers('campaign_steps', disabled);
END
$$;

-- Serves the visual builder and publishing.
DROP INDEX IF EXISTS idx_campaign_steps_node_id;
CREATE UNIQUE INDEX idx_campaign_steps_node_id ON campaign_steps (campaign_id, node_id);

ALTER TABLE campaign_enrollments
    -- One enrollment per (campaign, contact, entry key): a re-entry has a key, any other enrollment the empty one.
    ADD COLUMN IF NOT EXISTS entry_key text NOT NULL DEFAULT '',
    -- The campaign's workspace; filled by a trigger where an application leaves it out.
    ADD COLUMN IF NOT EXISTS workspace_id uuid;

-- A contact that is reached only by SMS has no email address.
ALTER TABLE campaign_enrollments ALTER COLUMN contact_email DROP NOT NULL;

DO $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_enrollments');
BEGIN
    UPDATE campaign_enrollments e
    SET workspace_id = c.workspace_id
    FROM drip_campaigns c
    WHERE c.id = e.campaign_id AND e.workspace_id IS NULL;
    PERFORM drip_enable_triggers('campaign_enrollments', disabled);
END
$$;

-- The earlier key (campaign, contact) forbids re-entry. It is a constraint or an index, and its name differs between
-- databases.
SELECT drip_drop_constraints('campaign_enrollments', 'u', 'campaign_id', 'contact_id');

DO $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT x.indexrelid::regclass AS name
        FROM pg_index x
        WHERE x.indrelid = 'campaign_enrollments'::regclass
          AND x.indisunique AND NOT x.indisprimary AND x.indnkeyatts = 2
          AND (
              SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
              FROM pg_attribute a WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey)
          ) = ARRAY['campaign_id', 'contact_id']
    LOOP
        EXECUTE format('DROP INDEX %s', earlier.name);
    END LOOP;
END
$$;

-- Contacts that enter a campaign together are stored together and are written in the same transaction. A page
-- therefore needs space for a second version of each of its rows; without it, enrollments move to other pages and get
-- new entries in three indexes.
ALTER TABLE campaign_enrollments SET (
    fillfactor = 45,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Serves finding a contact by address, however it is spelled: imports, enrolling from a list, events by address.
CREATE INDEX IF NOT EXISTS contacts_address ON contacts (lower(email), workspace_id);

CREATE UNIQUE INDEX IF NOT EXISTS campaign_enrollments_entry_key
    ON campaign_enrollments (campaign_id, contact_id, entry_key);
-- Serves deleting a contact, and finding a person's enrollments for contact-level events.
CREATE INDEX IF NOT EXISTS campaign_enrollments_contact ON campaign_enrollments (contact_id);

-- sms and webhook are channels too.
SELECT drip_drop_constraints('campaign_channels', 'c', 'channel_category');

ALTER TABLE campaign_channels ADD CONSTRAINT campaign_channels_channel_category_check CHECK (
    channel_category IN ('website', 'blog', 'social', 'email', 'video', 'advertising', 'sms', 'webhook')
);

-- A base table may lack the column; an existing one is kept.
ALTER TABLE campaign_channels ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

-- Return a telephone number in the form that suppressions store: digits with a leading plus sign, from any notation;
-- null if it has no digit. It is defined here and not with the other functions because an index uses it.
CREATE OR REPLACE FUNCTION suppressed_phone(p_phone text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_phone ~ '[0-9]'
        THEN regexp_replace(regexp_replace(p_phone, '[^0-9+]', '', 'g'), '^00', '+')
    END
$$;
-- Serves finding the sender of an inbound SMS.
CREATE INDEX IF NOT EXISTS contacts_phone ON contacts (suppressed_phone(phone)) WHERE phone IS NOT NULL;

-- Days of metrics are days in the workspace's time zone.

ALTER TABLE workspaces ADD COLUMN IF NOT EXISTS time_zone text;

-- An application may have such a column already: a value that is no time zone becomes UTC.
DO $$
DECLARE
    disabled text [] := drip_disable_triggers('workspaces');
BEGIN
    UPDATE workspaces w
    SET time_zone = 'UTC'
    WHERE w.time_zone IS NULL OR w.time_zone NOT IN (SELECT z.name FROM pg_timezone_names z);
    PERFORM drip_enable_triggers('workspaces', disabled);
END
$$;

-- The check accepts only time zones that PostgreSQL can convert to: it raises an error for a name that it does not
-- know.
ALTER TABLE workspaces
    ALTER COLUMN time_zone SET DEFAULT 'UTC',
    ALTER COLUMN time_zone SET NOT NULL,
    ADD CONSTRAINT workspaces_time_zone_check
        CHECK ((timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE time_zone) IS NOT NULL);

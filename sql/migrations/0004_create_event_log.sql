-- The event log, partitioned by month and dropped by partition, never deleted in bulk. No foreign keys: its rows are
-- written from rows that the engine holds locked, and an asset check counts orphans.

-- The specification's own migration created an ordinary table. Its rows, with columns that an application added, its
-- triggers, grants and views move over, and the old table is dropped.
DO $$
DECLARE
    earlier record;
BEGIN
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = to_regclass('campaign_events')) = 'r' THEN
        PERFORM drip_save_dependents(true, 'campaign_events');
        FOR earlier IN
            SELECT c.conrelid::regclass AS name, c.conname
            FROM pg_constraint c
            WHERE c.contype = 'f' AND c.confrelid = 'campaign_events'::regclass
        LOOP
            -- The primary key of a partitioned log includes the time, so no foreign key can reference it.
            RAISE NOTICE 'foreign key % of % is dropped: the event log is partitioned by time', earlier.conname, earlier.name;
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', earlier.name, earlier.conname);
        END LOOP;
        ALTER TABLE campaign_events RENAME TO campaign_events_before_partitions;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS campaign_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid,
    enrollment_id uuid,
    contact_id uuid,
    event_type text NOT NULL,
    event_source text NOT NULL DEFAULT 'system',
    step_id uuid,
    node_id text,
    event_data jsonb NOT NULL DEFAULT '{}',
    user_agent text,
    ip_address inet,
    device_type text,
    location_data jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Added by this project. message_id identifies the message that an event is about.
    workspace_id uuid,
    campaign_version integer,
    variant_group text,
    message_id uuid
) PARTITION BY RANGE (created_at);

CREATE TABLE IF NOT EXISTS campaign_events_default PARTITION OF campaign_events DEFAULT;

DO $$
DECLARE
    extra record;
    targets text;
    origins text;
BEGIN
    IF to_regclass('campaign_events_before_partitions') IS NOT NULL THEN
        FOR extra IN
            SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
            FROM pg_attribute a
            WHERE a.attrelid = 'campaign_events_before_partitions'::regclass AND a.attnum > 0 AND NOT a.attisdropped
              AND NOT EXISTS (
                  SELECT FROM pg_attribute n
                  WHERE n.attrelid = 'campaign_events'::regclass AND n.attname = a.attname AND NOT n.attisdropped
              )
            ORDER BY a.attnum
        LOOP
            EXECUTE format('ALTER TABLE campaign_events ADD COLUMN %I %s', extra.name, extra.type);
        END LOOP;
        SELECT
            string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
            string_agg(
                CASE a.attname
                    WHEN 'event_source' THEN 'coalesce(o.event_source, ''system'')'
                    WHEN 'event_data' THEN 'coalesce(o.event_data, ''{}'')'
                    WHEN 'created_at' THEN 'coalesce(o.created_at, now())'
                    WHEN 'workspace_id' THEN 'coalesce(o.workspace_id, c.workspace_id)'
                    ELSE 'o.' || quote_ident(a.attname)
                END,
                ', ' ORDER BY a.attnum
            )
        INTO targets, origins
        FROM pg_attribute a
        WHERE a.attrelid = 'campaign_events_before_partitions'::regclass AND a.attnum > 0 AND NOT a.attisdropped;
        IF NOT EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = 'campaign_events_before_partitions'::regclass AND a.attname = 'workspace_id'
        ) THEN
            targets := targets || ', workspace_id';
            origins := origins || ', c.workspace_id';
        END IF;
        EXECUTE format(
            'INSERT INTO campaign_events (%s) SELECT %s FROM campaign_events_before_partitions o '
            'LEFT JOIN drip_campaigns c ON c.id = o.campaign_id',
            targets, origins
        );
        DROP TABLE campaign_events_before_partitions;
    END IF;
END
$$;

ALTER TABLE campaign_events ADD CONSTRAINT campaign_events_pkey PRIMARY KEY (id, created_at);

-- Serves the events of an enrollment: conditions on events, look-back of waits.
CREATE INDEX IF NOT EXISTS idx_campaign_events_enrollment ON campaign_events (enrollment_id);
-- Serves reading the log by time (assets, archive). BRIN: a thousandth of a btree, and appends cost nothing.
CREATE INDEX IF NOT EXISTS idx_campaign_events_created ON campaign_events USING brin (created_at);

SELECT drip_restore_dependents();

-- The event vocabulary. A table and not a CHECK, so that a new type needs no lock on the log.
CREATE TABLE IF NOT EXISTS campaign_event_types (
    event_type text PRIMARY KEY,
    channel text NOT NULL,
    description text NOT NULL
);

INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('email_sent', 'email', 'handed to the provider'),
    ('email_delivered', 'email', 'accepted by the recipient''s server'),
    ('email_opened', 'email', 'the tracking pixel was loaded'),
    ('email_clicked', 'email', 'a link was followed'),
    ('email_replied', 'email', 'the recipient answered'),
    ('email_bounced', 'email', 'returned by the recipient''s server'),
    ('email_unsubscribed', 'email', 'the recipient unsubscribed'),
    ('email_complained', 'email', 'the recipient reported spam'),
    ('email_deferred', 'email', 'the recipient''s server asked to wait'),
    ('email_failed', 'email', 'not sent, permanently'),
    ('email_suppressed', 'email', 'not sent: the address is on a suppression list'),
    ('sms_sent', 'sms', 'handed to the provider'),
    ('sms_delivered', 'sms', 'arrived on the phone'),
    ('sms_replied', 'sms', 'the recipient answered'),
    ('sms_failed', 'sms', 'not sent or not delivered, permanently'),
    ('sms_opted_out', 'sms', 'the recipient answered STOP'),
    ('social_posted', 'social', 'the post was published'),
    ('social_engaged', 'social', 'somebody liked, shared or answered the post'),
    ('social_failed', 'social', 'the post could not be published'),
    ('webhook_triggered', 'webhook', 'the call was made'),
    ('webhook_succeeded', 'webhook', 'the call was accepted'),
    ('webhook_failed', 'webhook', 'the call was refused, permanently'),
    ('tag_added', 'action', 'a tag was added to the contact'),
    ('tag_removed', 'action', 'a tag was taken from the contact'),
    ('score_updated', 'action', 'the contact''s score was changed'),
    ('field_updated', 'action', 'a field of the contact was changed'),
    ('condition_evaluated', 'workflow', 'a condition chose a branch'),
    ('wait_started', 'workflow', 'a wait began'),
    ('wait_completed', 'workflow', 'a wait ended'),
    ('message_skipped', 'workflow', 'a message was not sent; the reason is in its data'),
    ('retry_scheduled', 'workflow', 'a step failed temporarily and will be retried'),
    ('variant_assigned', 'ab_test', 'a split assigned a variant'),
    ('ab_test_decided', 'ab_test', 'a test ended with a decision'),
    ('enrollment_started', 'lifecycle', 'the contact was enrolled'),
    ('enrollment_completed', 'lifecycle', 'the contact reached the end'),
    ('enrollment_exited', 'lifecycle', 'the contact exited before the end'),
    ('enrollment_failed', 'lifecycle', 'the run failed after its last retry'),
    ('enrollment_migrated', 'lifecycle', 'the enrollment was migrated to another version'),
    ('goal_reached', 'lifecycle', 'the contact reached the campaign''s goal'),
    ('converted', 'contact', 'the contact reached the conversion goal'),
    ('purchase', 'contact', 'the contact bought something'),
    ('page_view', 'contact', 'the contact looked at a page'),
    ('form_submitted', 'contact', 'the contact sent a form'),
    ('signed_up', 'contact', 'the contact created an account'),
    ('logged_in', 'contact', 'the contact logged in'),
    ('trial_started', 'contact', 'the contact started a trial'),
    ('subscription_started', 'contact', 'the contact subscribed to a plan'),
    ('subscription_cancelled', 'contact', 'the contact ended a plan'),
    ('cart_abandoned', 'contact', 'the contact left a cart behind'),
    ('meeting_booked', 'contact', 'the contact booked a meeting'),
    ('custom_event', 'contact', 'anything else; its name is in the event''s data')
ON CONFLICT (event_type) DO NOTHING;

-- Events of a contact that belong to no enrollment: a purchase, a page view.
CREATE TABLE IF NOT EXISTS contact_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    event_type text NOT NULL,
    value numeric(14, 2),
    currency text,
    event_data jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
-- Serves conditions, look-back and attribution: the events of a contact, newest first.
CREATE INDEX IF NOT EXISTS contact_events_contact ON contact_events (contact_id, event_type, occurred_at);

-- Keys of ingested provider events, so that an event counts once, in whichever file or request it arrives. The key is
-- md5(provider, provider's event id); it is also the id of the event in the log.
CREATE TABLE IF NOT EXISTS ingested_event_keys (
    event_key uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- Rejected event lines, with the reason.
CREATE TABLE IF NOT EXISTS rejected_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Null where the event does not name its workspace.
    workspace_id uuid,
    source text NOT NULL,
    line_number bigint,
    reason text NOT NULL,
    raw text,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
-- A line of a file is stored once, however often the file is loaded.
CREATE UNIQUE INDEX IF NOT EXISTS rejected_events_line
    ON rejected_events (source, coalesce(line_number, 0), md5(coalesce(raw, '')));

SELECT
    drip_protect_table('campaign_events'),
    drip_protect_table('campaign_events_default'),
    drip_protect_table('campaign_event_types'),
    drip_protect_table('contact_events'),
    drip_protect_table('ingested_event_keys'),
    drip_protect_table('rejected_events');

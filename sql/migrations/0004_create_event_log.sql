-- The event log: what happened, partitioned by month and dropped by partition, never deleted in bulk. No foreign keys:
-- its rows are written from rows that the engine holds locked, and an asset check counts orphans.

-- The specification's own migration made an ordinary table; its rows move over and the old table goes.
DO $$
BEGIN
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = to_regclass('campaign_events')) = 'r' THEN
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
    -- Added by this project. message_id names the message that an event is about.
    workspace_id uuid,
    campaign_version integer,
    variant_group text,
    message_id uuid
) PARTITION BY RANGE (created_at);

CREATE TABLE IF NOT EXISTS campaign_events_default PARTITION OF campaign_events DEFAULT;

DO $$
BEGIN
    IF to_regclass('campaign_events_before_partitions') IS NOT NULL THEN
        INSERT INTO campaign_events (
            id, campaign_id, enrollment_id, contact_id, event_type, event_source, step_id, node_id, event_data,
            user_agent, ip_address, device_type, location_data, created_at, workspace_id
        )
        SELECT
            o.id, o.campaign_id, o.enrollment_id, o.contact_id, o.event_type, coalesce(o.event_source, 'system'),
            o.step_id, o.node_id, coalesce(o.event_data, '{}'), o.user_agent, o.ip_address, o.device_type,
            o.location_data, coalesce(o.created_at, now()), c.workspace_id
        FROM campaign_events_before_partitions o
        LEFT JOIN drip_campaigns c ON c.id = o.campaign_id;
        DROP TABLE campaign_events_before_partitions CASCADE;
    END IF;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_constraint c WHERE c.conrelid = 'campaign_events'::regclass AND c.contype = 'p'
    ) THEN
        ALTER TABLE campaign_events ADD CONSTRAINT campaign_events_pkey PRIMARY KEY (id, created_at);
    END IF;
END
$$;

-- Serves "what happened to this person here", conditions on events, look-back of waits.
CREATE INDEX IF NOT EXISTS idx_campaign_events_enrollment ON campaign_events (enrollment_id);
-- Serves reading the log by time (assets, archive). BRIN: a thousandth of a btree, and appends cost nothing.
CREATE INDEX IF NOT EXISTS idx_campaign_events_created ON campaign_events USING brin (created_at);

-- The vocabulary. A table and not a CHECK, so that a new type needs no lock on the log.
CREATE TABLE IF NOT EXISTS campaign_event_types (
    event_type text PRIMARY KEY,
    channel text,
    description text NOT NULL
);

INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('email_sent', 'email', 'The provider took the message'),
    ('email_delivered', 'email', 'The receiving server took the message'),
    ('email_opened', 'email', 'The message was opened'),
    ('email_clicked', 'email', 'A link in the message was followed'),
    ('email_replied', 'email', 'The person answered'),
    ('email_bounced', 'email', 'The message came back'),
    ('email_unsubscribed', 'email', 'The person unsubscribed'),
    ('email_complained', 'email', 'The person reported the message as spam'),
    ('email_deferred', 'email', 'The receiving server asked to try later'),
    ('email_failed', 'email', 'The message could not be sent'),
    ('email_suppressed', 'email', 'The provider held the message back'),
    ('sms_sent', 'sms', 'The provider took the text message'),
    ('sms_delivered', 'sms', 'The text message arrived'),
    ('sms_replied', 'sms', 'The person answered by text message'),
    ('sms_failed', 'sms', 'The text message could not be sent'),
    ('sms_opted_out', 'sms', 'The person asked for no more text messages'),
    ('social_posted', 'social', 'The post is public'),
    ('social_engaged', 'social', 'Somebody reacted to the post'),
    ('social_failed', 'social', 'The post could not be published'),
    ('webhook_triggered', 'webhook', 'A request is about to be made'),
    ('webhook_succeeded', 'webhook', 'The other side accepted the request'),
    ('webhook_failed', 'webhook', 'The other side refused or did not answer'),
    ('tag_added', NULL, 'A tag was put on the contact'),
    ('tag_removed', NULL, 'A tag was taken off the contact'),
    ('score_updated', NULL, 'The contact''s score changed'),
    ('field_updated', NULL, 'A field of the contact changed'),
    ('condition_evaluated', NULL, 'A condition chose a branch'),
    ('wait_started', NULL, 'A wait began'),
    ('wait_completed', NULL, 'A wait ended: time, event or time-out'),
    ('variant_assigned', NULL, 'A split assigned a variant'),
    ('enrollment_started', NULL, 'The person entered the campaign'),
    ('enrollment_completed', NULL, 'The person reached the end'),
    ('enrollment_exited', NULL, 'The person left before the end'),
    ('enrollment_failed', NULL, 'The person stopped at an error'),
    ('retry_scheduled', NULL, 'A step failed and will be tried again'),
    ('message_skipped', NULL, 'A message was held back at the last gate'),
    ('goal_reached', NULL, 'The person reached the campaign''s goal'),
    ('converted', NULL, 'The person converted'),
    ('ab_test_decided', NULL, 'A test ended with a decision'),
    ('purchase', NULL, 'The contact bought something'),
    ('page_viewed', NULL, 'The contact viewed a page'),
    ('form_submitted', NULL, 'The contact submitted a form'),
    ('custom', NULL, 'An event of an application''s own')
ON CONFLICT (event_type) DO NOTHING;

-- Events of a contact that belong to no enrolment: a purchase, a page view.
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
-- Serves conditions, look-back and attribution: what this contact did, newest first.
CREATE INDEX IF NOT EXISTS contact_events_contact ON contact_events (contact_id, event_type, occurred_at);

-- Which provider events were taken, so that the same one counts once, in whichever file or request it comes.
-- The key is md5(provider, provider's event id); it is also the id of the event in the log.
CREATE TABLE IF NOT EXISTS ingested_event_keys (
    event_key uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- Events that could not be taken, with the reason; nothing is thrown away.
CREATE TABLE IF NOT EXISTS rejected_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    line_number bigint,
    reason text NOT NULL,
    raw text,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, line_number, reason)
);

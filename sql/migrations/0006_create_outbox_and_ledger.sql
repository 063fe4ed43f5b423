-- What leaves, what became of it, and what each batch did.

-- The outbox. The id is deterministic (uuid5 of state, node, visit): writing a delivery again finds it there.
CREATE TABLE IF NOT EXISTS campaign_deliveries (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    enrollment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    channel text NOT NULL,
    channel_id uuid,
    split_node_id text,
    variant_group text,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'sending', 'sent', 'skipped', 'failed', 'unknown')),
    due_at timestamptz,
    leased_until timestamptz,
    lease_token uuid,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    error_code text,
    provider_message_id text,
    batch_id uuid,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CHECK ((status IN ('pending')) = (due_at IS NOT NULL)),
    CHECK ((status = 'sending') = (leased_until IS NOT NULL AND lease_token IS NOT NULL)),
    CHECK ((status IN ('sent', 'skipped', 'failed')) = (settled_at IS NOT NULL))
);
-- Serves the lease: due deliveries of one campaign in order of time.
CREATE INDEX IF NOT EXISTS campaign_deliveries_due
    ON campaign_deliveries (campaign_id, due_at) WHERE status = 'pending';
-- Serves rescue: leases that ran out, and deliveries in doubt.
CREATE INDEX IF NOT EXISTS campaign_deliveries_in_doubt
    ON campaign_deliveries (status, leased_until) WHERE status IN ('sending', 'unknown');
-- Serves requeueing what failed for good.
CREATE INDEX IF NOT EXISTS campaign_deliveries_failed
    ON campaign_deliveries (campaign_id) WHERE status = 'failed';
-- Serves the answer to a provider that names its own id.
CREATE INDEX IF NOT EXISTS campaign_deliveries_provider
    ON campaign_deliveries (provider_message_id) WHERE provider_message_id IS NOT NULL;
ALTER TABLE campaign_deliveries SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- What became of each message, one row a message, kept up to date by each batch of events in any order of arrival.
CREATE TABLE IF NOT EXISTS campaign_message_outcomes (
    message_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    enrollment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    channel text NOT NULL,
    split_node_id text,
    variant_group text,
    certainty text NOT NULL DEFAULT 'known' CHECK (certainty IN ('known', 'unknown')),
    sent_at timestamptz NOT NULL,
    delivered_at timestamptz,
    first_opened_at timestamptz,
    first_machine_opened_at timestamptz,
    open_count integer NOT NULL DEFAULT 0,
    first_clicked_at timestamptz,
    first_machine_clicked_at timestamptz,
    click_count integer NOT NULL DEFAULT 0,
    first_replied_at timestamptz,
    first_converted_at timestamptz,
    conversion_value numeric(14, 2) NOT NULL DEFAULT 0,
    unsubscribed_at timestamptz,
    complained_at timestamptz,
    bounced_at timestamptz,
    failed_at timestamptz
);
-- Serves finding a person's latest message, and counting a test's variants by enrollment.
CREATE INDEX IF NOT EXISTS campaign_message_outcomes_enrollment
    ON campaign_message_outcomes (enrollment_id, sent_at);
-- Serves daily metrics: one day of sends.
CREATE INDEX IF NOT EXISTS campaign_message_outcomes_sent
    ON campaign_message_outcomes USING brin (sent_at);
ALTER TABLE campaign_message_outcomes SET (fillfactor = 80);

-- What the recorder would have sent: the default delivery keeps messages here and nothing leaves.
-- No unique key on delivery_id, on purpose: that no id stands here twice is a fact to check, not a constraint to lean on.
CREATE TABLE IF NOT EXISTS recorded_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    enrollment_id uuid NOT NULL,
    node_id text NOT NULL,
    channel text NOT NULL,
    recipient text NOT NULL,
    subject text,
    preheader text,
    body text,
    body_html text,
    payload jsonb,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS recorded_messages_enrollment ON recorded_messages (enrollment_id);

-- Who must not be written to. campaign_id null: every campaign of the workspace; channel null: every channel.
CREATE TABLE IF NOT EXISTS campaign_suppressions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    contact_id uuid,
    address text NOT NULL,
    channel text,
    campaign_id uuid,
    reason text NOT NULL CHECK (reason IN ('unsubscribed', 'bounced', 'complained', 'manual')),
    source text NOT NULL DEFAULT 'manual',
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS campaign_suppressions_key ON campaign_suppressions (
    workspace_id, lower(address), coalesce(channel, ''),
    coalesce(campaign_id, '00000000-0000-0000-0000-000000000000'::uuid)
);

-- Sums of message outcomes by day of send, rebuilt a day at a time.
CREATE TABLE IF NOT EXISTS campaign_daily_metrics (
    metric_date date NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    node_id text NOT NULL,
    channel text NOT NULL,
    variant_group text NOT NULL DEFAULT '',
    sent bigint NOT NULL DEFAULT 0,
    sent_uncertain bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    opened bigint NOT NULL DEFAULT 0,
    opens_total bigint NOT NULL DEFAULT 0,
    machine_opened bigint NOT NULL DEFAULT 0,
    clicked bigint NOT NULL DEFAULT 0,
    clicks_total bigint NOT NULL DEFAULT 0,
    machine_clicked bigint NOT NULL DEFAULT 0,
    replied bigint NOT NULL DEFAULT 0,
    converted bigint NOT NULL DEFAULT 0,
    conversion_value numeric(16, 2) NOT NULL DEFAULT 0,
    unsubscribed bigint NOT NULL DEFAULT 0,
    complained bigint NOT NULL DEFAULT 0,
    bounced bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (metric_date, campaign_id, campaign_version, node_id, channel, variant_group)
);
CREATE INDEX IF NOT EXISTS campaign_daily_metrics_campaign ON campaign_daily_metrics (campaign_id, metric_date);

-- Days whose figures changed after they were counted. Appended to by a trigger, one row a statement, and never updated:
-- whoever counts a day takes away the marks that are committed by then, and others stay for the next time.
CREATE TABLE IF NOT EXISTS stale_metric_days (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);

-- The ledger: a row for every executed batch.
CREATE TABLE IF NOT EXISTS campaign_batches (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('advance', 'deliver')),
    outcome text NOT NULL CHECK (outcome IN ('committed', 'failed')),
    engine_now timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms integer NOT NULL,
    size integer NOT NULL,
    sizes jsonb NOT NULL DEFAULT '{}',
    campaigns jsonb NOT NULL DEFAULT '[]',
    error text,
    run_id text,
    step_key text
);
CREATE INDEX IF NOT EXISTS campaign_batches_started ON campaign_batches (started_at);

-- People whom an import could not take, kept aside with the reason.
CREATE TABLE IF NOT EXISTS rejected_contacts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    line_number bigint NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL,
    UNIQUE (workspace_id, source, line_number)
);

SELECT
    drip_protect_table('campaign_deliveries'),
    drip_protect_table('campaign_message_outcomes'),
    drip_protect_table('recorded_messages'),
    drip_protect_table('campaign_suppressions'),
    drip_protect_table('campaign_daily_metrics'),
    drip_protect_table('stale_metric_days'),
    drip_protect_table('campaign_batches'),
    drip_protect_table('rejected_contacts');

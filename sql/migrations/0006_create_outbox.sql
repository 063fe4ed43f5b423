-- Outgoing messages: the outbox, message outcomes, recorded messages, suppressions, flow control, broadcasts.

-- The outbox. The id is deterministic (uuid5 of state, node, visit): writing a delivery again finds the existing row.
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
    -- The transport that sent it: its name in channel_flow, set when the delivery is marked as sending.
    transport text,
    CHECK ((status IN ('pending')) = (due_at IS NOT NULL)),
    CHECK ((status = 'sending') = (leased_until IS NOT NULL AND lease_token IS NOT NULL)),
    CHECK ((status IN ('sent', 'skipped', 'failed')) = (settled_at IS NOT NULL))
);
-- Serves the lease, node by node of a campaign version, so that the backlog of a blocked provider is never read to reach
-- the others. The index answers both "which nodes have due deliveries" (one jump per node) and "the next of this node".
CREATE INDEX IF NOT EXISTS campaign_deliveries_due
    ON campaign_deliveries (campaign_id, node_id, campaign_version, due_at) WHERE status = 'pending';
-- Serves recovery: expired leases, and deliveries with an unknown outcome.
CREATE INDEX IF NOT EXISTS campaign_deliveries_unknown
    ON campaign_deliveries (status, leased_until) WHERE status IN ('sending', 'unknown');
-- Serves requeueing failed deliveries.
CREATE INDEX IF NOT EXISTS campaign_deliveries_failed
    ON campaign_deliveries (campaign_id) WHERE status = 'failed';
-- Serves events that name the provider's own message id.
CREATE INDEX IF NOT EXISTS campaign_deliveries_provider
    ON campaign_deliveries (provider_message_id) WHERE provider_message_id IS NOT NULL;
ALTER TABLE campaign_deliveries SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- One row per message with its outcome, kept up to date by each batch of events in any order of arrival.
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
-- Serves finding a contact's latest message, and counting a test's variants by enrollment.
CREATE INDEX IF NOT EXISTS campaign_message_outcomes_enrollment
    ON campaign_message_outcomes (enrollment_id, sent_at);
-- Serves daily metrics: one day of sends.
CREATE INDEX IF NOT EXISTS campaign_message_outcomes_sent
    ON campaign_message_outcomes USING brin (sent_at);
ALTER TABLE campaign_message_outcomes SET (fillfactor = 80);

-- Messages kept by the recorder: with the default DRIP_DELIVERY=record they are stored here and nothing is sent. No
-- unique key on delivery_id, on purpose: that no id occurs twice is verified by a check and not enforced.
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

-- Addresses excluded from sending. campaign_id null: every campaign of the workspace; channel null: every channel.
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
-- Serves the eligibility check: suppressions of a contact, under any address.
CREATE INDEX IF NOT EXISTS campaign_suppressions_contact
    ON campaign_suppressions (contact_id) WHERE contact_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS campaign_suppressions_key ON campaign_suppressions (
    workspace_id, lower(address), coalesce(channel, ''),
    coalesce(campaign_id, '00000000-0000-0000-0000-000000000000'::uuid)
);

-- One row per transport (a relay, an SMS account, a webhook's endpoint): its remaining capacity and its health.
-- Stored here and not in memory, because several processes share one provider.
CREATE TABLE IF NOT EXISTS channel_flow (
    transport text PRIMARY KEY,
    channel text NOT NULL,
    channel_id uuid,
    -- Two token buckets, refilled by the time since refilled_at.
    second_permits double precision NOT NULL DEFAULT 0,
    hour_permits double precision NOT NULL DEFAULT 0,
    refilled_at timestamptz NOT NULL,
    granted integer NOT NULL DEFAULT 0,
    -- The circuit breaker: closed while open_until is null, open until then, half-open afterwards (one probe at a
    -- time).
    consecutive_failures integer NOT NULL DEFAULT 0,
    window_started_at timestamptz,
    window_attempts integer NOT NULL DEFAULT 0,
    window_failures integer NOT NULL DEFAULT 0,
    times_opened integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    probing_until timestamptz,
    -- The provider requested a pause until then.
    paused_until timestamptz,
    -- The endpoint answered 410 Gone; only an operator enables it again.
    disabled_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    -- Policy for a message with an unknown outcome.
    on_unknown text NOT NULL DEFAULT 'assume_sent' CHECK (on_unknown IN ('assume_sent', 'retry', 'hold')),
    updated_at timestamptz NOT NULL
);

-- Broadcast posts: at most one per node of a version and schedule time. The deliveries of contacts reference it.
CREATE TABLE IF NOT EXISTS campaign_broadcasts (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    schedule_time timestamptz,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sending', 'sent', 'failed', 'unknown')),
    due_at timestamptz,
    leased_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    -- Until when the provider deduplicates a repeated request; null if it never does.
    retry_until timestamptz,
    certainty text NOT NULL DEFAULT 'known' CHECK (certainty IN ('known', 'unknown')),
    transport text,
    provider_message_id text,
    details jsonb NOT NULL DEFAULT '{}',
    error_code text,
    last_error text,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CHECK ((status IN ('sent', 'failed')) = (settled_at IS NOT NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS campaign_broadcasts_node ON campaign_broadcasts (
    campaign_id, campaign_version, node_id, coalesce(schedule_time, '-infinity'::timestamptz)
);
-- Serves recovery: posts whose sender stopped, and posts with an unknown outcome.
CREATE INDEX IF NOT EXISTS campaign_broadcasts_unknown
    ON campaign_broadcasts (status, leased_until) WHERE status IN ('sending', 'unknown');

SELECT
    drip_protect_table('campaign_deliveries'),
    drip_protect_table('campaign_message_outcomes'),
    drip_protect_table('recorded_messages'),
    drip_protect_table('campaign_suppressions'),
    drip_protect_table('channel_flow'),
    drip_protect_table('campaign_broadcasts');

-- Flow control shared by all processes, posts that go out once, and what finding due deliveries by place needs.

-- A place is a node of a campaign version. Leasing goes place by place, so that the backlog of a blocked provider is
-- never read through to reach the others; with the place in front, both "which places have something due" (a jump per
-- place) and "the next ones of this place" are answered by the index.
DROP INDEX IF EXISTS campaign_deliveries_due;
CREATE INDEX campaign_deliveries_due
    ON campaign_deliveries (campaign_id, node_id, campaign_version, due_at) WHERE status = 'pending';

-- The way out a delivery took: its name in channel_flow. Set when it is marked as going out.
ALTER TABLE campaign_deliveries ADD COLUMN IF NOT EXISTS transport text;

-- A base table may come without it; applications that keep it are not disturbed.
ALTER TABLE campaign_channels ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

-- One row per way out (a relay, an SMS account, a webhook's endpoint): what it may still take, and whether it works.
-- Kept here and not in memory, because several processes share one provider.
CREATE TABLE IF NOT EXISTS channel_flow (
    transport text PRIMARY KEY,
    channel text NOT NULL,
    channel_id uuid,
    -- Two buckets of permits, refilled by the time that passed since refilled_at.
    second_permits double precision NOT NULL DEFAULT 0,
    hour_permits double precision NOT NULL DEFAULT 0,
    refilled_at timestamptz NOT NULL,
    granted integer NOT NULL DEFAULT 0,
    -- The breaker: closed while open_until is null, open until then, half-open afterwards (one probe at a time).
    consecutive_failures integer NOT NULL DEFAULT 0,
    window_started_at timestamptz,
    window_attempts integer NOT NULL DEFAULT 0,
    window_failures integer NOT NULL DEFAULT 0,
    times_opened integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    probing_until timestamptz,
    -- The provider itself asked to wait.
    paused_until timestamptz,
    -- The endpoint said that it is gone; only an operator brings it back.
    disabled_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    -- What to do with a message whose fate nobody knows.
    on_unknown text NOT NULL DEFAULT 'assume_sent' CHECK (on_unknown IN ('assume_sent', 'retry', 'hold')),
    updated_at timestamptz NOT NULL
);

-- A post for everybody: at most one per node of a version and time. People's deliveries point at it.
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
    -- Until when the provider recognizes a repetition; null when it never does.
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
CREATE UNIQUE INDEX IF NOT EXISTS campaign_broadcasts_place ON campaign_broadcasts (
    campaign_id, campaign_version, node_id, coalesce(schedule_time, '-infinity'::timestamptz)
);
-- Serves rescue: posts whose sender died, and posts in doubt.
CREATE INDEX IF NOT EXISTS campaign_broadcasts_in_doubt
    ON campaign_broadcasts (status, leased_until) WHERE status IN ('sending', 'unknown');

-- A telephone number as suppressions keep it: digits with a leading plus sign, however it was written down; null for
-- what holds no digit. It stands here and not with the other functions, because an index is made of it.
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
-- Serves finding who sent a text message.
CREATE INDEX IF NOT EXISTS contacts_phone ON contacts (suppressed_phone(phone)) WHERE phone IS NOT NULL;

-- Serves the last gate: suppressions of a contact, whatever address they were made under.
CREATE INDEX IF NOT EXISTS campaign_suppressions_contact
    ON campaign_suppressions (contact_id) WHERE contact_id IS NOT NULL;

SELECT
    drip_protect_table('channel_flow'),
    drip_protect_table('campaign_broadcasts');

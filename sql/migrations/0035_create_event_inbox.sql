-- What arrives over HTTP, as it came: appended by the receiver in one statement, read and taken in later by the drain.
CREATE TABLE IF NOT EXISTS event_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    payload bytea NOT NULL,
    -- What the payload does not say itself: the message that a callback's address names, say.
    context jsonb NOT NULL DEFAULT '{}',
    received_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'rejected')),
    due_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    reason text,
    settled_at timestamptz,
    CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CHECK ((status <> 'pending') = (settled_at IS NOT NULL)),
    CHECK (status <> 'rejected' OR reason IS NOT NULL)
);
-- Serves the drain and the sensor: what is due, the oldest first.
CREATE INDEX IF NOT EXISTS event_inbox_due ON event_inbox (due_at, id) WHERE status = 'pending';
-- Serves the list of what could not be taken, and bringing it back.
CREATE INDEX IF NOT EXISTS event_inbox_rejected ON event_inbox (provider, id) WHERE status = 'rejected';

-- How often which endpoint of the receiver answered how, by day. Nothing of what was sent: of a forged request this
-- count is all that stays.
CREATE TABLE IF NOT EXISTS receiver_counts (
    counted_on date NOT NULL,
    endpoint text NOT NULL,
    outcome text NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (counted_on, endpoint, outcome)
);

-- Calls of trigger webhooks that named themselves, with their answer: a repeated call gets it again and does nothing.
CREATE TABLE IF NOT EXISTS trigger_calls (
    campaign_id uuid NOT NULL,
    call_key text NOT NULL,
    workspace_id uuid NOT NULL,
    body_hash text NOT NULL,
    answer jsonb NOT NULL,
    called_at timestamptz NOT NULL,
    PRIMARY KEY (campaign_id, call_key)
);

SELECT
    drip_protect_table('event_inbox'),
    drip_protect_table('receiver_counts'),
    drip_protect_table('trigger_calls');

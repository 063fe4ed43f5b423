-- What went wrong and who was told: an incident stands once while it lasts, and each way of telling is used once for it.

CREATE TABLE IF NOT EXISTS campaign_incidents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- What it is about: the same trouble has the same key, every time it is seen.
    incident_key text NOT NULL,
    kind text NOT NULL,
    -- Null where it concerns the engine as a whole.
    workspace_id uuid,
    sentence text NOT NULL,
    what_to_do text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CHECK (seen_at >= opened_at)
);
-- Serves "is this known": one open incident a key.
CREATE UNIQUE INDEX IF NOT EXISTS campaign_incidents_open ON campaign_incidents (incident_key) WHERE resolved_at IS NULL;
-- Serves "was this told before", for what comes back and for what happens once.
CREATE INDEX IF NOT EXISTS campaign_incidents_key ON campaign_incidents (incident_key, opened_at);

CREATE TABLE IF NOT EXISTS campaign_incident_notices (
    incident_id uuid NOT NULL REFERENCES campaign_incidents (id) ON DELETE CASCADE,
    route text NOT NULL CHECK (route IN ('mail', 'webhook')),
    attempts integer NOT NULL DEFAULT 0,
    -- When it is told, or told again after a failure; a watcher that takes it moves this on first.
    next_attempt_at timestamptz NOT NULL,
    notified_at timestamptz,
    last_error text,
    PRIMARY KEY (incident_id, route)
);
-- Serves the watcher: what is still to be told.
CREATE INDEX IF NOT EXISTS campaign_incident_notices_due
    ON campaign_incident_notices (next_attempt_at) WHERE notified_at IS NULL;

SELECT drip_protect_table('campaign_incidents'), drip_protect_table('campaign_incident_notices');

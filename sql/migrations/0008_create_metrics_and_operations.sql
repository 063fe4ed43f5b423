-- Metrics and operations: daily metrics, the batch log, external edits, incidents, archives.

-- Sums of message outcomes by day of sending, recomputed one day at a time.
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

-- Days whose metrics changed after they were computed. A trigger appends one row per statement and never updates.
-- Computing a day deletes the rows committed by then; later ones stay for the next time.
CREATE TABLE IF NOT EXISTS stale_metric_days (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);

-- The batch log: a row for every executed batch.
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

-- External edits: changes that another application made in the tables of a published campaign and that are not
-- published yet; one row per campaign. It is deleted when the edit is published or reverted.
CREATE TABLE IF NOT EXISTS campaign_edits (
    campaign_id uuid PRIMARY KEY REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    content_hash text NOT NULL,
    -- The version that was edited.
    base_version integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('valid', 'invalid')),
    problems jsonb NOT NULL DEFAULT '[]',
    changes text NOT NULL,
    noticed_at timestamptz NOT NULL
);

-- Incidents and their notifications: an incident is stored once while it lasts, and each route is notified once.

CREATE TABLE IF NOT EXISTS campaign_incidents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Identifies the subject: the same fault has the same key each time it is detected.
    incident_key text NOT NULL,
    kind text NOT NULL,
    -- Null if it concerns the engine as a whole.
    workspace_id uuid,
    sentence text NOT NULL,
    what_to_do text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CHECK (seen_at >= opened_at)
);
-- Serves finding the open incident of a key; at most one.
CREATE UNIQUE INDEX IF NOT EXISTS campaign_incidents_open ON campaign_incidents (incident_key) WHERE resolved_at IS NULL;
-- Serves earlier incidents of a key: reopened ones and those that happen once.
CREATE INDEX IF NOT EXISTS campaign_incidents_key ON campaign_incidents (incident_key, opened_at);

CREATE TABLE IF NOT EXISTS campaign_incident_notices (
    incident_id uuid NOT NULL REFERENCES campaign_incidents (id) ON DELETE CASCADE,
    route text NOT NULL CHECK (route IN ('mail', 'webhook')),
    attempts integer NOT NULL DEFAULT 0,
    -- When the notification is sent, or retried after a failure; the process that takes it postpones it first.
    next_attempt_at timestamptz NOT NULL,
    notified_at timestamptz,
    last_error text,
    PRIMARY KEY (incident_id, route)
);
-- Serves the watcher: notifications still to be sent.
CREATE INDEX IF NOT EXISTS campaign_incident_notices_due
    ON campaign_incident_notices (next_attempt_at) WHERE notified_at IS NULL;

-- What retention removed, and from when on each kind of data is complete.

CREATE TABLE IF NOT EXISTS campaign_retention_watermarks (
    kind text PRIMARY KEY CHECK (kind IN ('log', 'deliveries')),
    kept_from timestamptz NOT NULL
);

-- Archived months of events. A month is first detached from the log (`table_name`), then written and read back, then
-- dropped. After an interruption the next run continues there.
CREATE TABLE IF NOT EXISTS campaign_archives (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('campaign_events', 'contact_events')),
    month date NOT NULL,
    table_name text,
    file text,
    rows_archived bigint,
    begun_at timestamptz NOT NULL,
    archived_at timestamptz,
    CHECK ((archived_at IS NULL) = (file IS NULL)),
    CHECK ((archived_at IS NULL) = (rows_archived IS NULL))
);

-- Entries per version in archived months: the totals are reconciled against them.
CREATE TABLE IF NOT EXISTS campaign_archived_entries (
    archive_id bigint NOT NULL REFERENCES campaign_archives (id) ON DELETE CASCADE,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    started bigint NOT NULL,
    moved_in bigint NOT NULL,
    moved_out bigint NOT NULL,
    PRIMARY KEY (archive_id, campaign_id, campaign_version)
);

SELECT
    drip_protect_table('campaign_daily_metrics'),
    drip_protect_table('stale_metric_days'),
    drip_protect_table('campaign_batches'),
    drip_protect_table('campaign_edits'),
    drip_protect_table('campaign_incidents'),
    drip_protect_table('campaign_incident_notices'),
    drip_protect_table('campaign_archived_entries'),
    drip_protect_table('campaign_retention_watermarks'),
    drip_protect_table('campaign_archives');

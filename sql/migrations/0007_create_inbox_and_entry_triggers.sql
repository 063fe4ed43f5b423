-- Incoming data: the inbox of the receiver, imported event files, rejected contacts, entry triggers.

-- The inbox: HTTP payloads as they arrived, appended by the receiver in one statement and processed later by the
-- drain.
CREATE TABLE IF NOT EXISTS event_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    payload bytea NOT NULL,
    -- Context that the payload lacks, for example the message named in a callback's address.
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
-- Serves the drain and the sensor: due payloads, oldest first.
CREATE INDEX IF NOT EXISTS event_inbox_due ON event_inbox (due_at, id) WHERE status = 'pending';
-- Serves listing rejected payloads and retrying them.
CREATE INDEX IF NOT EXISTS event_inbox_rejected ON event_inbox (provider, id) WHERE status = 'rejected';

-- Requests of the receiver by day, endpoint and outcome. Nothing of their content: of a forged request only this
-- count is kept.
CREATE TABLE IF NOT EXISTS receiver_counts (
    counted_on date NOT NULL,
    endpoint text NOT NULL,
    outcome text NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (counted_on, endpoint, outcome)
);

-- Calls of trigger webhooks with an idempotency key, and their response: a repeated call gets it again and has no
-- effect.
CREATE TABLE IF NOT EXISTS trigger_calls (
    campaign_id uuid NOT NULL,
    call_key text NOT NULL,
    workspace_id uuid NOT NULL,
    body_hash text NOT NULL,
    answer jsonb NOT NULL,
    called_at timestamptz NOT NULL,
    PRIMARY KEY (campaign_id, call_key)
);

-- Files of the landing folder that were loaded, with their result. A file is identified by path, size and
-- modification time, so a sensor that loses its cursor does not load it again.
CREATE TABLE IF NOT EXISTS landed_files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Relative to the folder, with forward slashes.
    path text NOT NULL,
    size_bytes bigint NOT NULL,
    modified_ns bigint NOT NULL,
    provider text NOT NULL,
    -- loaded: completely; unreadable: not, or not completely; failed: the engine gave up.
    outcome text NOT NULL CHECK (outcome IN ('loaded', 'unreadable', 'failed')),
    error text,
    lines bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    -- {reason: lines}
    rejected jsonb NOT NULL DEFAULT '{}',
    resumed bigint NOT NULL DEFAULT 0,
    ended bigint NOT NULL DEFAULT 0,
    suppressed bigint NOT NULL DEFAULT 0,
    duration_ms bigint NOT NULL DEFAULT 0,
    run_id text,
    loaded_at timestamptz NOT NULL,
    CHECK ((error IS NULL) = (outcome = 'loaded'))
);
-- Serves finding files that were not loaded yet.
CREATE UNIQUE INDEX IF NOT EXISTS landed_files_identity ON landed_files (path, size_bytes, modified_ns);

-- Rows that an import rejected, with the reason.
CREATE TABLE IF NOT EXISTS rejected_contacts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    line_number bigint NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL,
    UNIQUE (workspace_id, source, line_number)
);

-- Automatic enrollment: the triggers that listen, and the queue of contacts that matched since the last check.

-- One row per campaign whose published trigger is a tag, a score, a schedule or an event. Maintained by a trigger on
-- drip_campaigns (sql/functions/entry_triggers.sql), so that it commits together with the version.
CREATE TABLE IF NOT EXISTS campaign_entry_triggers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id uuid NOT NULL UNIQUE REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tag', 'score', 'schedule', 'event')),
    tag text,
    at_least numeric,
    event_type text,
    -- The part of the version's trigger that decides which contacts match: a different one starts again.
    listens_to jsonb NOT NULL,
    -- From when contacts can match: the time this trigger was published.
    since timestamptz NOT NULL,
    has_backfill boolean NOT NULL,
    -- Contacts that matched before are still to be enrolled.
    is_backfill_due boolean NOT NULL DEFAULT false,
    -- Transactions before this one may have changed contacts before they could see this row; enrolling contacts that
    -- match already waits for their end. NULL until the first check.
    opens_after text,
    -- A schedule: the last occurrence that was completed.
    completed_through timestamptz,
    -- A pass over the workspace's contacts that is in progress (for an occurrence, or for contacts that match
    -- already), and the last contact it reached.
    pass_for timestamptz,
    pass_reached uuid,
    CHECK ((kind = 'tag') = (tag IS NOT NULL)),
    CHECK ((kind = 'score') = (at_least IS NOT NULL)),
    CHECK ((kind = 'event') = (event_type IS NOT NULL)),
    CHECK (pass_reached IS NULL OR pass_for IS NOT NULL)
);
-- Serves the triggers on contacts and events: the entry triggers of this workspace.
CREATE INDEX IF NOT EXISTS campaign_entry_triggers_workspace ON campaign_entry_triggers (workspace_id, kind);

-- Contacts that matched and are not processed yet: a queue, emptied in the transaction that enrolls them. No foreign
-- keys: an application that tags a contact should not take locks on campaigns.
CREATE TABLE IF NOT EXISTS campaign_entry_queue (
    id bigint GENERATED ALWAYS AS IDENTITY,
    trigger_id bigint NOT NULL,
    contact_id uuid NOT NULL,
    event_id uuid,
    workspace_id uuid,
    PRIMARY KEY (trigger_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

SELECT
    drip_protect_table('event_inbox'),
    drip_protect_table('receiver_counts'),
    drip_protect_table('trigger_calls'),
    drip_protect_table('landed_files'),
    drip_protect_table('rejected_contacts'),
    drip_protect_table('campaign_entry_triggers'),
    drip_protect_table('campaign_entry_queue');

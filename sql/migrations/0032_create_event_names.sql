-- The names of the events that an organization's own products send, registered when their first event is ingested.
CREATE TABLE IF NOT EXISTS event_names (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    event_type text NOT NULL,
    -- The earliest and the latest time at which such an event happened.
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    -- Events that were ingested, also those that retention has archived.
    events bigint NOT NULL,
    -- {property: JSON type of one of its values}; no values.
    properties jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, event_type)
);

SELECT drip_protect_table('event_names');

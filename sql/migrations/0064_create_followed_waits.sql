-- Waits that follow contacts: which fields and events they follow, and the contacts that changed and are to be checked.
CREATE TABLE campaign_wait_listeners (
    campaign_id uuid NOT NULL REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('field', 'event')),
    name text NOT NULL,
    -- Transactions that began before it was visible may change contacts unnoticed: when these have ended, the campaign's
    -- waits are checked once.
    opens_after text [],
    opens_since timestamptz,
    is_open boolean NOT NULL DEFAULT false,
    PRIMARY KEY (campaign_id, kind, name)
);

-- Serves the triggers on contacts and events.
CREATE INDEX campaign_wait_listeners_workspace ON campaign_wait_listeners (workspace_id, kind);

-- Contacts whose waits are to be checked again: a queue, emptied in the transaction that moves the waits. No foreign
-- keys: an application that changes a contact should not take locks on other tables.
CREATE TABLE campaign_wait_queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id uuid NOT NULL,
    workspace_id uuid
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

SELECT
    drip_protect_table('campaign_wait_listeners'),
    drip_protect_table('campaign_wait_queue');

INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('wait_moved', 'workflow', 'a wait ends at another time because its contact changed; the time is in its data')
ON CONFLICT (event_type) DO NOTHING;

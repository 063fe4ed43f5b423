-- How people enter campaigns by themselves: who listens for what, and who came to match since the last look.

-- One row per campaign whose published trigger is a tag, a score, a schedule or an event. Kept by a trigger on
-- drip_campaigns (sql/functions/entry_triggers.sql), so that it commits together with the version, whoever publishes.
CREATE TABLE IF NOT EXISTS campaign_entry_triggers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id uuid NOT NULL UNIQUE REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tag', 'score', 'schedule', 'event')),
    tag text,
    at_least numeric,
    event_type text,
    -- What the version says of its trigger, as far as it decides who comes to match: another one begins anew.
    listens_to jsonb NOT NULL,
    -- Since when people can come to match: when this trigger was published.
    since timestamptz NOT NULL,
    has_backfill boolean NOT NULL,
    -- People who matched already are still to be taken in.
    is_backfill_due boolean NOT NULL DEFAULT false,
    -- Transactions before this one may have changed people before they could see this row; taking in those who match
    -- already waits for their end. NULL until the first look.
    opens_after text,
    -- A schedule: the last occurrence that was carried out to its end.
    taken_up_to timestamptz,
    -- A walk through the workspace's people that is under way (for an occurrence, or those who matched already), and how
    -- far it has come.
    walks_for timestamptz,
    walked_to uuid,
    CHECK ((kind = 'tag') = (tag IS NOT NULL)),
    CHECK ((kind = 'score') = (at_least IS NOT NULL)),
    CHECK ((kind = 'event') = (event_type IS NOT NULL)),
    CHECK (walked_to IS NULL OR walks_for IS NOT NULL)
);
-- Serves the triggers on people and events: who in this workspace listens.
CREATE INDEX IF NOT EXISTS campaign_entry_triggers_workspace ON campaign_entry_triggers (workspace_id, kind);

-- Who came to match and has not been looked at yet: a queue, taken out in the transaction that lets them in. No foreign
-- keys: an application that tags a person should not take locks on campaigns.
CREATE TABLE IF NOT EXISTS campaign_entry_queue (
    id bigint GENERATED ALWAYS AS IDENTITY,
    trigger_id bigint NOT NULL,
    contact_id uuid NOT NULL,
    event_id uuid,
    PRIMARY KEY (trigger_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

SELECT
    drip_protect_table('campaign_entry_triggers'),
    drip_protect_table('campaign_entry_queue');

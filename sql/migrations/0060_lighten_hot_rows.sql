-- Fewer index entries per message on the rows that are written most.

-- Serves the claim: the due states of one campaign in order of time. Per campaign, so that neither a paused campaign nor
-- a huge one stands before the others. States that wait for a delivery have no due time and no entry.
DROP INDEX IF EXISTS idx_workflow_states_next_execution;
CREATE INDEX idx_workflow_states_next_execution
    ON campaign_workflow_states (campaign_id, next_execution_at)
    WHERE workflow_status IN ('running', 'waiting') AND next_execution_at IS NOT NULL;

-- An enrollment is written when its person gets a message and when their run ends. No query asked this index, and a
-- status that an index names keeps the row from being updated in place; now such a row gets no new index entries, as long
-- as its page has room.
DROP INDEX IF EXISTS campaign_enrollments_held;
ALTER TABLE campaign_enrollments SET (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

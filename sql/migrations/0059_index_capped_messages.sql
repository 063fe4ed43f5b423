-- migrate: statement by statement
-- Serves ranking: the other messages that are due for a contact.
CREATE INDEX CONCURRENTLY IF NOT EXISTS campaign_deliveries_capped
    ON campaign_deliveries (contact_id) WHERE status = 'pending' AND cap_priority IS NOT NULL;

-- Serves counting the messages that rules hold.
CREATE INDEX CONCURRENTLY IF NOT EXISTS campaign_deliveries_held
    ON campaign_deliveries (held_by, held_until) WHERE status = 'pending' AND held_by IS NOT NULL;

-- Before the migration 0002, which is one transaction: what takes long on large tables of an application, in small
-- transactions and without locks that its writers wait for. The migration finds it done. Run from the first statement
-- again after an interruption.

-- The migration 0011 builds these two in their final form: empty ones take their names until then.
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_address ON contacts (id) WHERE false;
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_phone ON contacts (id) WHERE false;

ALTER TABLE campaign_enrollments
    ADD COLUMN IF NOT EXISTS entry_key text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS workspace_id uuid;

-- An application's triggers must not report the filling of a new column as a change. Disabling them locks the table
-- against other writers, so each transaction is short.
CREATE OR REPLACE FUNCTION drip_fill_enrollment_workspaces(p_from_row tid, p_to_row tid)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_enrollments');
BEGIN
    UPDATE campaign_enrollments e
    SET workspace_id = c.workspace_id
    FROM drip_campaigns c
    WHERE c.id = e.campaign_id AND e.workspace_id IS NULL AND e.ctid >= p_from_row AND e.ctid < p_to_row;
    PERFORM drip_enable_triggers('campaign_enrollments', disabled);
END
$$;
-- blocks of campaign_enrollments
SELECT drip_fill_enrollment_workspaces(%(from_row)s, %(to_row)s);
DROP FUNCTION IF EXISTS drip_fill_enrollment_workspaces(tid, tid);

-- Serves the migration, which fills those that were added meanwhile.
CREATE INDEX CONCURRENTLY IF NOT EXISTS campaign_enrollments_without_workspace
    ON campaign_enrollments (campaign_id) WHERE workspace_id IS NULL;
ANALYZE campaign_enrollments (workspace_id);

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS campaign_enrollments_entry_key
    ON campaign_enrollments (campaign_id, contact_id, entry_key);
CREATE INDEX CONCURRENTLY IF NOT EXISTS campaign_enrollments_contact ON campaign_enrollments (contact_id);

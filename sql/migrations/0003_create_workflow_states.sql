-- Where each person is. One row per enrolment, written on every step: few indexes, no foreign key that a step re-checks.

CREATE TABLE IF NOT EXISTS campaign_workflow_states (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    enrollment_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    current_node_id text,
    current_step_id uuid,
    workflow_status text NOT NULL DEFAULT 'running',
    execution_path jsonb NOT NULL DEFAULT '[]',
    workflow_variables jsonb NOT NULL DEFAULT '{}',
    wait_until timestamptz,
    wait_for_event text,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL DEFAULT 3,
    assigned_variant text,
    variant_assigned_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    last_executed_at timestamptz,
    next_execution_at timestamptz,
    completed_at timestamptz
);

-- Foreign keys, checks and secondary indexes of an earlier design go: a step that moves a person to another node would
-- re-check current_step_id, and each index costs a write. What they protected is held by the key to the enrolment.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT c.conname
        FROM pg_constraint c
        WHERE c.conrelid = 'campaign_workflow_states'::regclass AND c.contype IN ('f', 'c')
    LOOP
        EXECUTE format('ALTER TABLE campaign_workflow_states DROP CONSTRAINT %I', old.conname);
    END LOOP;
    FOR old IN
        SELECT c.conname
        FROM pg_constraint c
        WHERE c.conrelid = 'campaign_workflow_states'::regclass AND c.contype = 'u'
    LOOP
        EXECUTE format('ALTER TABLE campaign_workflow_states DROP CONSTRAINT %I', old.conname);
    END LOOP;
    FOR old IN
        SELECT i.relname
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = 'campaign_workflow_states'::regclass AND NOT x.indisprimary
    LOOP
        EXECUTE format('DROP INDEX %I', old.relname);
    END LOOP;
END
$$;

ALTER TABLE campaign_workflow_states
    ADD COLUMN IF NOT EXISTS workspace_id uuid,
    -- The version that the person entered: editing a campaign never changes people mid-flight.
    ADD COLUMN IF NOT EXISTS campaign_version integer,
    -- By which port the person leaves the current node at the next step; null = the node is still to be entered.
    ADD COLUMN IF NOT EXISTS resume_port text,
    -- Nodes passed so far: with the node id it names a visit, so that a loop sends twice but a repeat does not.
    ADD COLUMN IF NOT EXISTS steps_taken integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS node_entered_at timestamptz,
    ADD COLUMN IF NOT EXISTS last_message_at timestamptz,
    ADD COLUMN IF NOT EXISTS pending_delivery_id uuid,
    ADD COLUMN IF NOT EXISTS exit_reason text,
    ADD COLUMN IF NOT EXISTS last_error text,
    -- The batch of the ledger that moved the row last: what `requeue --batch` goes by.
    ADD COLUMN IF NOT EXISTS batch_id uuid;

-- Rows that an earlier design wrote: one row per enrolment, its id the enrolment's.
DELETE FROM campaign_workflow_states s
WHERE NOT EXISTS (SELECT FROM campaign_enrollments e WHERE e.id = s.enrollment_id);

DELETE FROM campaign_workflow_states s
USING campaign_workflow_states newer
WHERE newer.enrollment_id = s.enrollment_id
  AND (newer.started_at, newer.id) > (s.started_at, s.id);

UPDATE campaign_workflow_states s SET id = s.enrollment_id WHERE s.id <> s.enrollment_id;

UPDATE campaign_workflow_states s
SET workspace_id = c.workspace_id,
    execution_path = coalesce(s.execution_path, '[]'),
    workflow_variables = coalesce(s.workflow_variables, '{}'),
    retry_count = coalesce(s.retry_count, 0),
    max_retries = coalesce(s.max_retries, 3),
    started_at = coalesce(s.started_at, e.started_at),
    completed_at = CASE
        WHEN s.workflow_status IN ('completed', 'exited', 'failed')
            THEN coalesce(s.completed_at, s.last_executed_at, s.started_at, e.started_at)
    END,
    exit_reason = CASE WHEN s.workflow_status = 'exited' THEN coalesce(s.exit_reason, 'exit_condition') END,
    next_execution_at = CASE
        WHEN s.workflow_status IN ('completed', 'exited', 'failed') THEN NULL
        ELSE coalesce(s.next_execution_at, s.wait_until, s.started_at, e.started_at)
    END
FROM campaign_enrollments e
JOIN drip_campaigns c ON c.id = e.campaign_id
WHERE e.id = s.enrollment_id;

ALTER TABLE campaign_workflow_states
    ALTER COLUMN workspace_id SET NOT NULL,
    ALTER COLUMN workflow_status SET NOT NULL,
    ALTER COLUMN execution_path SET NOT NULL,
    ALTER COLUMN workflow_variables SET NOT NULL,
    ALTER COLUMN retry_count SET NOT NULL,
    ALTER COLUMN max_retries SET NOT NULL,
    ALTER COLUMN started_at SET NOT NULL,
    -- One index less on the table that is written most: the state's id is its enrolment's.
    ADD CONSTRAINT campaign_workflow_states_id_is_enrollment CHECK (id = enrollment_id),
    ADD CONSTRAINT campaign_workflow_states_enrollment_fkey
        FOREIGN KEY (id) REFERENCES campaign_enrollments (id) ON DELETE CASCADE,
    ADD CONSTRAINT campaign_workflow_states_workflow_status_check
        CHECK (workflow_status IN ('running', 'waiting', 'paused', 'completed', 'failed', 'exited')),
    ADD CONSTRAINT campaign_workflow_states_ended_has_time
        CHECK ((workflow_status IN ('completed', 'exited', 'failed')) = (completed_at IS NOT NULL)),
    ADD CONSTRAINT campaign_workflow_states_exit_has_reason
        CHECK (workflow_status <> 'exited' OR exit_reason IS NOT NULL),
    -- Nobody is parked for ever: an open state has a due time or waits for a delivery that has one.
    ADD CONSTRAINT campaign_workflow_states_open_is_due
        CHECK (
            workflow_status NOT IN ('running', 'waiting')
            OR next_execution_at IS NOT NULL
            OR pending_delivery_id IS NOT NULL
        );

-- Serves the claim: the due states of one campaign in order of time. Per campaign, so that neither a paused campaign nor
-- a huge one stands before the others.
CREATE INDEX idx_workflow_states_next_execution
    ON campaign_workflow_states (campaign_id, next_execution_at)
    WHERE workflow_status IN ('running', 'waiting');
-- Serves waking by contact-level events (a purchase), a small part of the states.
CREATE INDEX idx_workflow_states_waiting_contact
    ON campaign_workflow_states (contact_id) WHERE wait_for_event IS NOT NULL;
-- Serves resuming and requeueing: states that nothing will claim by itself.
CREATE INDEX idx_workflow_states_held
    ON campaign_workflow_states (campaign_id, workflow_status) WHERE workflow_status IN ('paused', 'failed');

-- A dead left edge of the due index makes a claim of 100 rows take hundreds of milliseconds; vacuum comes often and
-- without pauses, and pages keep room for the next version of a row.
ALTER TABLE campaign_workflow_states SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- Workflow states: one row per enrollment, written on every step. Few indexes, and no foreign key that a step
-- re-checks.

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

-- Remove what an earlier design put on the table: a step that moves a state to another node would re-check
-- current_step_id, and each index costs a write. The key to the enrollment protects the same.
SELECT drip_strip_table(
    'campaign_workflow_states', 'id', 'enrollment_id', 'campaign_id', 'contact_id', 'current_node_id',
    'current_step_id', 'workflow_status', 'execution_path', 'workflow_variables', 'wait_until', 'wait_for_event',
    'retry_count', 'max_retries', 'assigned_variant', 'variant_assigned_at', 'started_at', 'last_executed_at',
    'next_execution_at', 'completed_at'
);

-- The specification's trigger created states row by row, under a name that differs between databases; its replacement
-- is in sql/functions.
DO $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT t.tgname
        FROM pg_trigger t
        JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = 'campaign_enrollments'::regclass
          AND NOT t.tgisinternal
          AND (
              p.proname = 'create_workflow_state_on_enrollment'
              OR p.prosrc ~* 'insert\s+into\s+("?public"?\.)?"?campaign_workflow_states'
          )
    LOOP
        EXECUTE format('DROP TRIGGER %I ON campaign_enrollments', earlier.tgname);
    END LOOP;
END
$$;

ALTER TABLE campaign_workflow_states
    ADD COLUMN IF NOT EXISTS workspace_id uuid,
    -- The version that the contact entered: editing a campaign never changes runs in progress.
    ADD COLUMN IF NOT EXISTS campaign_version integer,
    -- The port by which the state leaves the current node at the next step; null = the node is still to be entered.
    ADD COLUMN IF NOT EXISTS resume_port text,
    -- Nodes passed so far. With the node id it identifies a visit, so that a loop sends twice but a repeated step
    -- does not.
    ADD COLUMN IF NOT EXISTS steps_taken integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS node_entered_at timestamptz,
    ADD COLUMN IF NOT EXISTS last_message_at timestamptz,
    ADD COLUMN IF NOT EXISTS pending_delivery_id uuid,
    ADD COLUMN IF NOT EXISTS exit_reason text,
    ADD COLUMN IF NOT EXISTS last_error text,
    -- The batch that moved the row last: `requeue --batch` selects by it.
    ADD COLUMN IF NOT EXISTS batch_id uuid;

-- Rows that an earlier design wrote: keep one row per enrollment, its id the enrollment's. Without a key to the
-- enrollment there may be several rows, or rows of deleted enrollments. The row that moved last stays and keeps the
-- others' contents.
DELETE FROM campaign_workflow_states s
WHERE NOT EXISTS (SELECT FROM campaign_enrollments e WHERE e.id = s.enrollment_id);

CREATE TEMPORARY TABLE drip_earlier_states ON COMMIT DROP AS
SELECT
    s.id, s.enrollment_id, to_jsonb(s) AS contents,
    row_number() OVER (
        PARTITION BY s.enrollment_id
        ORDER BY coalesce(s.last_executed_at, s.started_at) DESC NULLS LAST, s.id
    ) AS nth
FROM campaign_workflow_states s;

DO $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_workflow_states');
BEGIN
    UPDATE campaign_workflow_states s
    SET workflow_variables = coalesce(s.workflow_variables, '{}') || jsonb_build_object('earlier_states', o.others)
    FROM drip_earlier_states k
    JOIN (
        SELECT n.enrollment_id, jsonb_agg(n.contents ORDER BY n.nth) AS others
        FROM drip_earlier_states n WHERE n.nth > 1 GROUP BY n.enrollment_id
    ) o ON o.enrollment_id = k.enrollment_id
    WHERE k.nth = 1 AND s.id = k.id;
    PERFORM drip_enable_triggers('campaign_workflow_states', disabled);
END
$$;

DELETE FROM campaign_workflow_states s
USING drip_earlier_states n
WHERE n.id = s.id AND n.nth > 1;

ALTER TABLE campaign_workflow_states ALTER COLUMN current_node_id DROP NOT NULL;

-- Replace values that the checks below and the event vocabulary do not contain.
DO $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_workflow_states');
BEGIN
    UPDATE campaign_workflow_states s
    SET workflow_status = CASE
            WHEN s.workflow_status IN ('running', 'waiting', 'paused', 'completed', 'failed', 'exited')
                THEN s.workflow_status
            ELSE 'running'
        END,
        wait_for_event = CASE s.wait_for_event
            WHEN 'email_open' THEN 'email_opened'
            WHEN 'open' THEN 'email_opened'
            WHEN 'email_click' THEN 'email_clicked'
            WHEN 'click' THEN 'email_clicked'
            WHEN 'email_reply' THEN 'email_replied'
            WHEN 'reply' THEN 'email_replied'
            WHEN 'email_bounce' THEN 'email_bounced'
            WHEN 'sms_reply' THEN 'sms_replied'
            ELSE s.wait_for_event
        END
    WHERE s.workflow_status IS NULL
       OR s.workflow_status NOT IN ('running', 'waiting', 'paused', 'completed', 'failed', 'exited')
       OR s.wait_for_event IS NOT NULL;
    PERFORM drip_enable_triggers('campaign_workflow_states', disabled);
END
$$;

-- States keep their position: a state inside a wait leaves it when it ends and does not restart it, and a state that
-- waits for an event without a maximum gets the default maximum wait.
DO $$
DECLARE
    disabled text [] := drip_disable_triggers('campaign_workflow_states');
BEGIN
    UPDATE campaign_workflow_states s
    SET id = s.enrollment_id,
        workspace_id = c.workspace_id,
        execution_path = coalesce(s.execution_path, '[]'),
        workflow_variables = coalesce(s.workflow_variables, '{}'),
        retry_count = coalesce(s.retry_count, 0),
        max_retries = coalesce(s.max_retries, 3),
        started_at = coalesce(s.started_at, e.started_at, now()),
        completed_at = CASE
            WHEN s.workflow_status IN ('completed', 'exited', 'failed')
                THEN coalesce(s.completed_at, s.last_executed_at, s.started_at, e.started_at, now())
        END,
        exit_reason = CASE s.workflow_status WHEN 'exited' THEN 'exit_condition' END,
        next_execution_at = CASE
            WHEN s.workflow_status IN ('running', 'waiting') THEN coalesce(
                s.next_execution_at,
                s.wait_until,
                CASE
                    WHEN s.wait_for_event IS NOT NULL
                        THEN coalesce(s.last_executed_at, s.started_at, e.started_at, now()) + interval '7 days'
                END,
                s.started_at, e.started_at, now()
            )
            ELSE s.next_execution_at
        END,
        resume_port = CASE
            WHEN s.workflow_status NOT IN ('waiting', 'paused') OR p.id IS NULL THEN NULL
            WHEN s.wait_for_event IS NOT NULL THEN 'timeout'
            WHEN s.wait_until IS NOT NULL THEN 'default'
        END,
        steps_taken = CASE jsonb_typeof(s.execution_path)
            WHEN 'array' THEN jsonb_array_length(s.execution_path) ELSE 0
        END,
        node_entered_at = coalesce(s.last_executed_at, s.started_at, e.started_at),
        last_message_at = e.last_email_sent_at
    FROM campaign_enrollments e
    JOIN drip_campaigns c ON c.id = e.campaign_id
    JOIN campaign_workflow_states w ON w.enrollment_id = e.id
    LEFT JOIN campaign_steps p
        ON p.campaign_id = w.campaign_id AND p.node_id = w.current_node_id AND p.node_type = 'wait'
    WHERE e.id = s.enrollment_id;
    PERFORM drip_enable_triggers('campaign_workflow_states', disabled);
END
$$;

ALTER TABLE campaign_workflow_states
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN workflow_status SET DEFAULT 'running',
    ALTER COLUMN execution_path SET DEFAULT '[]',
    ALTER COLUMN workflow_variables SET DEFAULT '{}',
    ALTER COLUMN retry_count SET DEFAULT 0,
    ALTER COLUMN max_retries SET DEFAULT 3,
    ALTER COLUMN started_at SET DEFAULT now(),
    ALTER COLUMN workspace_id SET NOT NULL,
    ALTER COLUMN enrollment_id SET NOT NULL,
    ALTER COLUMN campaign_id SET NOT NULL,
    ALTER COLUMN contact_id SET NOT NULL,
    ALTER COLUMN workflow_status SET NOT NULL,
    ALTER COLUMN execution_path SET NOT NULL,
    ALTER COLUMN workflow_variables SET NOT NULL,
    ALTER COLUMN retry_count SET NOT NULL,
    ALTER COLUMN max_retries SET NOT NULL,
    ALTER COLUMN started_at SET NOT NULL,
    -- One index less on the most frequently written table: the state's id is its enrollment's.
    ADD CONSTRAINT campaign_workflow_states_id_is_enrollment CHECK (id = enrollment_id),
    ADD CONSTRAINT campaign_workflow_states_enrollment_fkey
        FOREIGN KEY (id) REFERENCES campaign_enrollments (id) ON DELETE CASCADE,
    ADD CONSTRAINT campaign_workflow_states_workflow_status_check
        CHECK (workflow_status IN ('running', 'waiting', 'paused', 'completed', 'failed', 'exited')),
    ADD CONSTRAINT campaign_workflow_states_ended_has_time
        CHECK ((workflow_status IN ('completed', 'exited', 'failed')) = (completed_at IS NOT NULL)),
    ADD CONSTRAINT campaign_workflow_states_exit_has_reason
        CHECK (workflow_status <> 'exited' OR exit_reason IS NOT NULL),
    -- No state waits without an end: an open state has a due time or waits for a delivery that has one.
    ADD CONSTRAINT campaign_workflow_states_open_is_due
        CHECK (
            workflow_status NOT IN ('running', 'waiting')
            OR next_execution_at IS NOT NULL
            OR pending_delivery_id IS NOT NULL
        );

-- Serves the claim: the due states of one campaign in order of time. Per campaign, so that neither a paused campaign
-- nor a huge one delays the others. States that wait for a delivery have no due time and no entry.
CREATE INDEX idx_workflow_states_next_execution
    ON campaign_workflow_states (campaign_id, next_execution_at)
    WHERE workflow_status IN ('running', 'waiting') AND next_execution_at IS NOT NULL;
-- Serves resuming on contact-level events (a purchase); covers a small part of the states.
CREATE INDEX idx_workflow_states_waiting_contact
    ON campaign_workflow_states (contact_id) WHERE wait_for_event IS NOT NULL;
-- Serves resuming and requeueing: states that no claim selects.
CREATE INDEX idx_workflow_states_stopped
    ON campaign_workflow_states (campaign_id, workflow_status) WHERE workflow_status IN ('paused', 'failed');

-- Dead entries at the left edge of the due index make a claim of 100 rows take hundreds of milliseconds. Vacuum
-- therefore runs often and without pauses, and pages keep space for the next version of a row (states that enter
-- together are stored together and written in one transaction, hence 45).
ALTER TABLE campaign_workflow_states SET (
    fillfactor = 45,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- Per campaign, the due time up to which earlier claims moved states. The next claim starts there instead of reading dead
-- index entries. The watermark only affects speed: a claim that finds nothing, or a watermark older than five minutes, is
-- followed by a full claim.
CREATE TABLE IF NOT EXISTS campaign_claim_watermarks (
    campaign_id uuid PRIMARY KEY,
    due_from timestamptz NOT NULL,
    valid_since timestamptz NOT NULL
) WITH (fillfactor = 50);

SELECT
    drip_protect_table('campaign_workflow_states'),
    drip_protect_table('campaign_claim_watermarks');

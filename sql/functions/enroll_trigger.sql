-- Inserting an enrollment, by SQL or by an application, creates its workflow state at the entry of the published version.
-- Statement-level: one INSERT of 100,000 rows costs one pass. A campaign that was never published creates no state;
-- publishing it creates the states of its enrollments.
--
-- The triggers run with the rights of the tables' owner: an application's role, or a signed-in user under row-level
-- security, may insert an enrollment without the right to write states and events.

-- Creates the states of enrollments that have none, and returns their number. Publishing calls it for enrollments in a
-- draft. Contacts of another workspace than the campaign's, enrolled by an older application, get no state.
CREATE OR REPLACE FUNCTION enter_enrollments(p_enrollment_ids uuid [])
RETURNS bigint
LANGUAGE sql
AS $$
    WITH enrolled AS MATERIALIZED (
        SELECT
            e.id, e.campaign_id, e.contact_id, p.workspace_id, e.status,
            coalesce(e.started_at, e.created_at, now()) AS started_at
        FROM unnest(p_enrollment_ids) AS i (id)
        JOIN campaign_enrollments e ON e.id = i.id
        JOIN contacts p ON p.id = e.contact_id
    ),
    -- The graph is large and stored compressed: it is read once per campaign, not once per enrollment.
    entries AS MATERIALIZED (
        SELECT
            c.id, c.workspace_id, v.version, v.compiled_graph ->> 'entry_node_id' AS entry_node_id
        FROM drip_campaigns c
        JOIN campaign_versions v ON v.campaign_id = c.id AND v.version = c.published_version
        WHERE c.id IN (SELECT e.campaign_id FROM enrolled e) AND v.compiled_graph IS NOT NULL
    ),
    entered AS (
        INSERT INTO campaign_workflow_states (
            id, enrollment_id, campaign_id, contact_id, workspace_id, campaign_version, current_node_id,
            workflow_status, started_at, next_execution_at, node_entered_at
        )
        SELECT
            e.id, e.id, e.campaign_id, e.contact_id, n.workspace_id, n.version, n.entry_node_id,
            CASE e.status WHEN 'paused' THEN 'paused' ELSE 'running' END, e.started_at, e.started_at, e.started_at
        FROM enrolled e
        JOIN entries n ON n.id = e.campaign_id AND n.workspace_id = e.workspace_id
        ON CONFLICT (id) DO NOTHING
        RETURNING id, campaign_id, contact_id, workspace_id, campaign_version, current_node_id, started_at
    ),
    logged AS (
        INSERT INTO campaign_events (
            campaign_id, enrollment_id, contact_id, event_type, event_source, node_id, created_at, workspace_id,
            campaign_version
        )
        SELECT
            n.campaign_id, n.id, n.contact_id, 'enrollment_started', 'system', n.current_node_id, n.started_at,
            n.workspace_id, n.campaign_version
        FROM entered n
    )
    SELECT count(*) FROM entered
$$;

CREATE OR REPLACE FUNCTION create_workflow_state_on_enrollment()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    stranger record;
    found_contacts bigint;
BEGIN
    -- In place of a foreign key, which would delete the enrollments with their contact: the contacts exist, and are not
    -- deleted before this transaction ends.
    PERFORM FROM contacts p WHERE p.id IN (SELECT n.contact_id FROM new_enrollments n) ORDER BY p.id FOR KEY SHARE OF p;
    GET DIAGNOSTICS found_contacts = ROW_COUNT;
    IF found_contacts < (SELECT count(DISTINCT n.contact_id) FROM new_enrollments n) THEN
        RAISE EXCEPTION 'the contact of an enrollment does not exist'
            USING ERRCODE = 'foreign_key_violation', TABLE = 'campaign_enrollments',
            CONSTRAINT = 'campaign_enrollments_contact_id_fkey';
    END IF;
    SELECT n.id, n.campaign_id, n.contact_id INTO stranger
    FROM new_enrollments n
    JOIN drip_campaigns c ON c.id = n.campaign_id
    JOIN contacts p ON p.id = n.contact_id
    WHERE p.workspace_id <> c.workspace_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'contact % belongs to another workspace than campaign %',
            stranger.contact_id, stranger.campaign_id
            USING ERRCODE = 'check_violation', HINT = 'Enroll contacts of the campaign''s own workspace.';
    END IF;
    PERFORM enter_enrollments(array_agg(n.id)) FROM new_enrollments n WHERE n.status IN ('active', 'paused');
    RETURN NULL;
END
$$;

-- Fills the workspace of enrollments inserted by applications; the engine's statements set it themselves.
CREATE OR REPLACE FUNCTION fill_enrollment_workspace()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    NEW.workspace_id := (SELECT c.workspace_id FROM drip_campaigns c WHERE c.id = NEW.campaign_id);
    RETURN NEW;
END
$$;

-- Completes a state that an application inserts with the specification's columns alone: its id is its enrollment's, and
-- its version is the published one.
CREATE OR REPLACE FUNCTION fill_workflow_state()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    NEW.id := NEW.enrollment_id;
    SELECT c.workspace_id, coalesce(NEW.campaign_version, c.published_version)
    INTO NEW.workspace_id, NEW.campaign_version
    FROM drip_campaigns c WHERE c.id = NEW.campaign_id;
    IF NEW.workflow_status IN ('running', 'waiting') THEN
        NEW.next_execution_at := coalesce(NEW.next_execution_at, NEW.wait_until, NEW.started_at);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER create_workflow_state_on_enrollment
    AFTER INSERT ON campaign_enrollments
    REFERENCING NEW TABLE AS new_enrollments
    FOR EACH STATEMENT EXECUTE FUNCTION create_workflow_state_on_enrollment();

CREATE OR REPLACE TRIGGER fill_enrollment_workspace
    BEFORE INSERT ON campaign_enrollments
    FOR EACH ROW WHEN (NEW.workspace_id IS NULL) EXECUTE FUNCTION fill_enrollment_workspace();

CREATE OR REPLACE TRIGGER fill_workflow_state
    BEFORE INSERT ON campaign_workflow_states
    FOR EACH ROW WHEN (NEW.id <> NEW.enrollment_id OR NEW.workspace_id IS NULL)
    EXECUTE FUNCTION fill_workflow_state();

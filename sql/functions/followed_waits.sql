-- Queue contacts whose change may move or end a wait (until_date, until_condition), regardless of what changes them: the
-- engine, an application's own SQL, or an import. As in entry_triggers.sql, each change inserts a queue entry in its own
-- transaction, so that the entry becomes visible exactly when the change does.
--
-- A statement trigger asks once whether any wait follows a field, and the row trigger reads its answer from a setting of
-- the transaction: without such a wait an UPDATE of 100,000 contacts costs what it did before. If all of them follow
-- custom fields, an UPDATE of other columns does, too. Rejected: row triggers with a function call for each row (1.8
-- times); transition tables, which copy every updated row; a condition that names each column, because an application
-- could then not change the type of any.

-- Remember for this statement which changes of contacts are noted: none, of custom fields, or all.
CREATE OR REPLACE FUNCTION announce_followed_contacts()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    PERFORM set_config(
        'drip.follows_contacts',
        (
            SELECT CASE
                WHEN count(*) = 0 THEN 'none'
                WHEN bool_or(
                    w.name IN (
                        'name', 'email', 'company', 'phone', 'job_title', 'ai_score', 'status', 'tags',
                        'last_interaction', 'created_at', 'updated_at'
                    )
                ) THEN 'all'
                ELSE 'custom_fields'
            END
            FROM campaign_wait_listeners w
            WHERE w.kind = 'field'
        ),
        true
    );
    RETURN NULL;
END
$$;

-- Queue a contact if a field changed that a wait of its workspace follows.
CREATE OR REPLACE FUNCTION queue_followed_contacts()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    INSERT INTO campaign_wait_queue (contact_id, workspace_id)
    SELECT NEW.id, NEW.workspace_id
    WHERE EXISTS (
        SELECT FROM campaign_wait_listeners w
        WHERE w.workspace_id = NEW.workspace_id
          AND w.kind = 'field'
          AND CASE w.name
              WHEN 'name' THEN OLD.name IS DISTINCT FROM NEW.name
              WHEN 'email' THEN OLD.email IS DISTINCT FROM NEW.email
              WHEN 'company' THEN OLD.company IS DISTINCT FROM NEW.company
              WHEN 'phone' THEN OLD.phone IS DISTINCT FROM NEW.phone
              WHEN 'job_title' THEN OLD.job_title IS DISTINCT FROM NEW.job_title
              WHEN 'ai_score' THEN OLD.ai_score IS DISTINCT FROM NEW.ai_score
              WHEN 'status' THEN OLD.status IS DISTINCT FROM NEW.status
              WHEN 'tags' THEN OLD.tags IS DISTINCT FROM NEW.tags
              WHEN 'last_interaction' THEN OLD.last_interaction IS DISTINCT FROM NEW.last_interaction
              WHEN 'created_at' THEN OLD.created_at IS DISTINCT FROM NEW.created_at
              WHEN 'updated_at' THEN OLD.updated_at IS DISTINCT FROM NEW.updated_at
              WHEN 'custom_fields' THEN OLD.custom_fields IS DISTINCT FROM NEW.custom_fields
              ELSE OLD.custom_fields -> w.name IS DISTINCT FROM NEW.custom_fields -> w.name
          END
    );
    RETURN NULL;
END
$$;

-- Update what a campaign's waits follow: those of its published version, and of versions that contacts are inside.
CREATE OR REPLACE FUNCTION sync_wait_listeners(p_campaign_id uuid)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    wanted text [] := ARRAY(
        SELECT DISTINCT f.name
        FROM drip_campaigns c
        JOIN campaign_versions v ON v.campaign_id = c.id
        CROSS JOIN LATERAL jsonb_array_elements_text(v.compiled_graph -> 'follows') AS f (name)
        WHERE c.id = p_campaign_id AND c.status <> 'archived'
          AND (
              v.version = c.published_version
              OR EXISTS (
                  SELECT FROM campaign_workflow_states s
                  WHERE s.campaign_id = c.id AND s.campaign_version = v.version
                    AND s.workflow_status IN ('running', 'waiting', 'paused', 'failed')
              )
          )
    );
BEGIN
    DELETE FROM campaign_wait_listeners w
    WHERE w.campaign_id = p_campaign_id AND w.kind || ':' || w.name <> ALL(wanted);
    INSERT INTO campaign_wait_listeners (campaign_id, workspace_id, kind, name)
    SELECT c.id, c.workspace_id, split_part(f.name, ':', 1), substr(f.name, strpos(f.name, ':') + 1)
    FROM drip_campaigns c
    CROSS JOIN unnest(wanted) AS f (name)
    WHERE c.id = p_campaign_id
    ON CONFLICT (campaign_id, kind, name) DO NOTHING;
END
$$;

CREATE OR REPLACE FUNCTION sync_wait_listeners_of_campaign()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    PERFORM sync_wait_listeners(NEW.id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER announce_followed_contacts
    BEFORE UPDATE ON contacts
    FOR EACH STATEMENT EXECUTE FUNCTION announce_followed_contacts();
CREATE OR REPLACE TRIGGER queue_followed_contacts
    AFTER UPDATE ON contacts
    FOR EACH ROW WHEN (
        current_setting('drip.follows_contacts', true) = 'all'
        OR current_setting('drip.follows_contacts', true) = 'custom_fields'
        AND OLD.custom_fields IS DISTINCT FROM NEW.custom_fields
    )
    EXECUTE FUNCTION queue_followed_contacts();
CREATE OR REPLACE TRIGGER sync_wait_listeners_of_campaign
    AFTER INSERT OR UPDATE OF published_version, status ON drip_campaigns
    FOR EACH ROW WHEN (NEW.published_version IS NOT NULL)
    EXECUTE FUNCTION sync_wait_listeners_of_campaign();

-- The listeners of campaigns that were published before these functions existed.
SELECT sync_wait_listeners(c.id) FROM drip_campaigns c WHERE c.published_version IS NOT NULL ORDER BY c.id;

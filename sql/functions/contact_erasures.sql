-- Record contacts that are deleted, by whatever means: their runs end, and the next tick erases the copies of what
-- identifies them (engine/privacy). With a workspace all its contacts are deleted, and their runs with its campaigns.
CREATE OR REPLACE FUNCTION record_contact_erasures()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    WITH deleted AS (
        SELECT d.id, d.workspace_id, d.email, d.phone, d.name, gen_random_uuid() AS erasure_id
        FROM deleted_contacts d
        WHERE EXISTS (SELECT FROM workspaces w WHERE w.id = d.workspace_id)
    ),

    requested AS (
        INSERT INTO contact_erasures (id, workspace_id, requested_at)
        SELECT d.erasure_id, d.workspace_id, now() FROM deleted d
        RETURNING id
    ),

    ended AS (
        UPDATE campaign_enrollments e
        SET status = 'completed', completed_at = now(), updated_at = now()
        FROM deleted d
        WHERE e.contact_id = d.id AND e.status IN ('active', 'paused')
    )

    INSERT INTO contact_erasure_values (erasure_id, contact_id, email, phone, name)
    SELECT d.erasure_id, d.id, nullif(d.email, ''), nullif(d.phone, ''), nullif(d.name, '')
    FROM deleted d
    JOIN requested r ON r.id = d.erasure_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER record_contact_erasures
    AFTER DELETE ON contacts
    REFERENCING OLD TABLE AS deleted_contacts
    FOR EACH STATEMENT EXECUTE FUNCTION record_contact_erasures();

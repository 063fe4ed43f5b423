-- Record the states that were deleted together with their enrollment, because their contact was deleted: the log still has
-- their events. A state that is lost while its enrollment exists is not recorded, so that the invariants report it.
CREATE OR REPLACE FUNCTION record_deleted_enrollments()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    INSERT INTO campaign_deleted_enrollments (
        enrollment_id, workspace_id, campaign_id, campaign_version, contact_id
    )
    SELECT d.id, d.workspace_id, d.campaign_id, d.campaign_version, d.contact_id
    FROM deleted_rows d
    WHERE d.campaign_version IS NOT NULL
      AND NOT EXISTS (SELECT FROM campaign_enrollments e WHERE e.id = d.id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER record_deleted_enrollments
    AFTER DELETE ON campaign_workflow_states
    REFERENCING OLD TABLE AS deleted_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_deleted_enrollments();

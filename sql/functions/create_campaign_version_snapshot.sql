-- Inserts a snapshot of the campaign, its steps and its canvas under the next version number, and returns its id. The
-- number is assigned under the campaign's row lock, so that concurrent publications get different numbers. The author is
-- the signed-in user, where the platform has `auth.uid()`.
CREATE OR REPLACE FUNCTION create_campaign_version_snapshot(
    p_campaign_id uuid,
    p_description text DEFAULT NULL,
    p_change_type text DEFAULT 'draft',
    p_now timestamptz DEFAULT now(),
    p_created_by uuid DEFAULT NULL
)
RETURNS uuid
LANGUAGE plpgsql
AS $$
DECLARE
    campaign drip_campaigns;
    next_version integer;
    version_id uuid;
    author uuid := p_created_by;
BEGIN
    SELECT * INTO campaign FROM drip_campaigns c WHERE c.id = p_campaign_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'campaign % does not exist', p_campaign_id USING ERRCODE = 'no_data_found';
    END IF;
    IF author IS NULL
        AND to_regnamespace('auth') IS NOT NULL
        AND has_schema_privilege('auth', 'USAGE')
        AND to_regprocedure('auth.uid()') IS NOT NULL
    THEN
        EXECUTE 'SELECT auth.uid()' INTO author;
    END IF;
    SELECT coalesce(max(v.version), 0) + 1 INTO next_version
    FROM campaign_versions v WHERE v.campaign_id = p_campaign_id;
    UPDATE drip_campaigns c SET version = next_version, updated_at = p_now
    WHERE c.id = p_campaign_id RETURNING * INTO campaign;
    INSERT INTO campaign_versions (
        campaign_id, workspace_id, version, campaign_snapshot, steps_snapshot, canvas_snapshot, change_description,
        change_type, created_by, created_at
    )
    VALUES (
        p_campaign_id, campaign.workspace_id, next_version, to_jsonb(campaign),
        coalesce(
            (
                SELECT jsonb_agg(to_jsonb(s) ORDER BY s.step_number NULLS LAST, s.node_id, s.id)
                FROM campaign_steps s WHERE s.campaign_id = p_campaign_id
            ),
            '[]'
        ),
        campaign.canvas_data, p_description, p_change_type, author, p_now
    )
    RETURNING id INTO version_id;
    RETURN version_id;
END
$$;

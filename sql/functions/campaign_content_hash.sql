-- Hashes the rows that a definition is read from: the campaign and its steps, without columns that the engine changes. A
-- different hash means that the campaign was edited.
CREATE OR REPLACE FUNCTION campaign_content_hash(p_campaign_id uuid)
RETURNS text
LANGUAGE sql
STABLE
AS $$
    SELECT md5(
        jsonb_build_array(
            c.name, c.description, c.campaign_type, c.sequence_type, c.goal, c.goal_metric, c.goal_target, c.tags,
            c.ab_test_config, c.canvas_data, c.drip_settings
        )::text
        || coalesce(
            (
                SELECT string_agg(
                    (to_jsonb(s) - ARRAY['created_at', 'updated_at', 'metrics'])::text, '' ORDER BY s.node_id, s.id
                )
                FROM campaign_steps s
                WHERE s.campaign_id = c.id
            ),
            ''
        )
    )
    FROM drip_campaigns c
    WHERE c.id = p_campaign_id
$$;

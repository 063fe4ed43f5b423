-- The rates of each variant as they stand now, in percent with two places (halves up), null where nothing was sent.
--
-- The unit is the contact, once per variant and split: however many messages of a variant somebody got, and however often
-- they came back, they are one of `sample_size`, and opened, clicked, answered or converted once or not at all. So no
-- rate exceeds 100. Sent = at least one message of the variant went out. Opens and clicks of machines do not count.
-- engagement_score = 0.3 open + 0.4 click + 0.3 reply, from the counts and not from rounded rates.
--
-- Counted are the people whom the split assigned by chance, in the versions of the split's latest test. Not counted are
-- people whom a decision routed to the winner afterwards. A held-out group is sent nothing and has no row; its
-- conversions, over the assigned, stand in campaign_ab_test_results. A campaign with several splits gives their variants
-- one split after the other.
CREATE OR REPLACE FUNCTION calculate_ab_test_metrics(p_campaign_id uuid)
RETURNS TABLE (
    variant_group text,
    open_rate numeric,
    click_rate numeric,
    conversion_rate numeric,
    engagement_score numeric,
    sample_size bigint
)
LANGUAGE sql
STABLE
ROWS 10
AS $$
    WITH latest_test AS (
        SELECT DISTINCT ON (t.split_node_id) t.split_node_id, t.campaign_versions
        FROM campaign_ab_tests t
        WHERE t.campaign_id = p_campaign_id
        ORDER BY t.split_node_id, t.test_number DESC
    ),
    assigned AS (
        SELECT a.enrollment_id, a.split_node_id, a.variant_group, a.is_holdout OR NOT a.is_randomised AS is_apart
        FROM campaign_split_assignments a
        LEFT JOIN latest_test t ON t.split_node_id = a.split_node_id
        WHERE a.campaign_id = p_campaign_id
          AND (t.campaign_versions IS NULL OR a.campaign_version = ANY (t.campaign_versions))
    ),
    people AS (
        SELECT
            o.split_node_id, o.variant_group, o.contact_id,
            bool_or(o.first_opened_at IS NOT NULL) AS has_opened,
            bool_or(o.first_clicked_at IS NOT NULL) AS has_clicked,
            bool_or(o.first_replied_at IS NOT NULL) AS has_replied,
            bool_or(o.first_converted_at IS NOT NULL) AS has_converted
        FROM campaign_message_outcomes o
        LEFT JOIN latest_test t ON t.split_node_id = o.split_node_id
        LEFT JOIN assigned a ON a.enrollment_id = o.enrollment_id AND a.split_node_id = o.split_node_id
        WHERE o.campaign_id = p_campaign_id
          AND o.split_node_id IS NOT NULL
          AND o.variant_group IS NOT NULL
          AND (t.campaign_versions IS NULL OR o.campaign_version = ANY (t.campaign_versions))
          AND a.is_apart IS NOT TRUE
        GROUP BY o.split_node_id, o.variant_group, o.contact_id
    ),
    sent AS (
        SELECT
            p.split_node_id, p.variant_group,
            count(*) AS people,
            100.0 * count(*) FILTER (WHERE p.has_opened) AS opened,
            100.0 * count(*) FILTER (WHERE p.has_clicked) AS clicked,
            100.0 * count(*) FILTER (WHERE p.has_replied) AS replied,
            100.0 * count(*) FILTER (WHERE p.has_converted) AS converted
        FROM people p
        GROUP BY p.split_node_id, p.variant_group
    ),
    variants AS (
        SELECT a.split_node_id, a.variant_group FROM assigned a WHERE NOT a.is_apart
        UNION
        SELECT s.split_node_id, s.variant_group FROM sent s
    )
    SELECT
        v.variant_group,
        round(s.opened / s.people, 2),
        round(s.clicked / s.people, 2),
        round(s.converted / s.people, 2),
        round((0.3 * s.opened + 0.4 * s.clicked + 0.3 * s.replied) / s.people, 2),
        coalesce(s.people, 0)
    FROM variants v
    LEFT JOIN sent s ON s.split_node_id = v.split_node_id AND s.variant_group = v.variant_group
    ORDER BY v.split_node_id, v.variant_group
$$;

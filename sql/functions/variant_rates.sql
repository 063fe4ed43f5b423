-- The specification's calculate_ab_test_metrics: the current rates of each variant in percent with two places (half
-- up), null if nothing was sent. experiments/rates.py has the same definition for Python; a test compares the two.
--
-- The unit is the contact, once per variant and split: however many messages of a variant a contact was sent, and
-- however often it re-entered, it counts once in `sample_size`, and once or not at all as opened, clicked, replied or
-- converted. So no rate exceeds 100. Sent = at least one message of the variant was sent. Machine opens and clicks do
-- not count. engagement_score = 0.3 open + 0.4 click + 0.3 reply, from the counts and not from rounded rates.
--
-- For a split with a test, the latest test is counted as its evaluation counts it. For a split without a test, all
-- contacts that it assigned. Contacts that a decision routed to the winner are left out, and so is the holdout: it is
-- sent nothing, and its conversions over the assigned are in campaign_ab_test_results. The variants of a campaign with
-- several splits are returned split by split.
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
        SELECT DISTINCT ON (t.split_node_id) t.id, t.split_node_id
        FROM campaign_ab_tests t
        WHERE t.campaign_id = p_campaign_id
        ORDER BY t.split_node_id, t.test_number DESC
    ),
    tested AS (
        SELECT
            t.split_node_id, n.variant_group, n.total_sent AS sent, n.total_opened AS opened, n.total_clicked AS clicked,
            n.total_replied AS replied, n.total_converted AS converted
        FROM latest_test t
        JOIN count_ab_test_variants(
            ARRAY(SELECT l.id FROM latest_test l),
            ARRAY(SELECT 'open_rate' FROM latest_test l),
            ARRAY(SELECT 0::double precision FROM latest_test l),
            now()
        ) AS n ON n.ab_test_id = t.id
        WHERE NOT n.is_holdout
    ),
    members AS (
        SELECT
            coalesce(a.split_node_id, o.split_node_id) AS split_node_id,
            coalesce(a.variant_group, o.variant_group) AS variant_group,
            bool_or(o.message_id IS NOT NULL) AS was_sent,
            bool_or(o.first_opened_at IS NOT NULL) AS has_opened,
            bool_or(o.first_clicked_at IS NOT NULL) AS has_clicked,
            bool_or(o.first_replied_at IS NOT NULL) AS has_replied,
            bool_or(coalesce(a.first_converted_at, o.first_converted_at) IS NOT NULL) AS has_converted
        FROM (
            SELECT s.*
            FROM campaign_split_assignments s
            WHERE s.campaign_id = p_campaign_id
              AND s.split_node_id NOT IN (SELECT l.split_node_id FROM latest_test l)
        ) a
        FULL JOIN (
            SELECT m.*
            FROM campaign_message_outcomes m
            WHERE m.campaign_id = p_campaign_id
              AND m.variant_group IS NOT NULL
              AND m.split_node_id NOT IN (SELECT l.split_node_id FROM latest_test l)
        ) o ON o.enrollment_id = a.enrollment_id
            AND o.split_node_id = a.split_node_id AND o.variant_group = a.variant_group
        WHERE a.is_holdout IS NOT TRUE
        GROUP BY 1, 2, coalesce(a.contact_id, o.contact_id)
        HAVING bool_and(a.is_randomized IS NOT FALSE)
    ),
    counted AS (
        SELECT t.* FROM tested t
        UNION ALL
        SELECT
            p.split_node_id, p.variant_group,
            count(*) FILTER (WHERE p.was_sent),
            count(*) FILTER (WHERE p.has_opened),
            count(*) FILTER (WHERE p.has_clicked),
            count(*) FILTER (WHERE p.has_replied),
            count(*) FILTER (WHERE p.was_sent AND p.has_converted)
        FROM members p
        GROUP BY p.split_node_id, p.variant_group
    )
    SELECT
        c.variant_group,
        round(100.0 * c.opened / nullif(c.sent, 0), 2),
        round(100.0 * c.clicked / nullif(c.sent, 0), 2),
        round(100.0 * c.converted / nullif(c.sent, 0), 2),
        round((30.0 * c.opened + 40.0 * c.clicked + 30.0 * c.replied) / nullif(c.sent, 0), 2),
        c.sent
    FROM counted c
    ORDER BY c.split_node_id, c.variant_group
$$;

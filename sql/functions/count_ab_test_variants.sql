-- Count the variants of tests: totals so far, and the cohort of a decision by the given metric. Returns one row per
-- variant of the test's configuration, also for a variant without contacts.
--
-- The unit is the contact, once per variant, however many messages the variant has and however often the contact
-- entered. Assignments by a decision, to the winner, are not part of the comparison; a contact who comes again and was
-- compared before stays in it with the earlier assignment. A holdout is counted over the assigned; it is sent nothing, but
-- its contacts convert. p_window_hours 0: everything so far; otherwise only contacts sent (assigned) at least this long
-- ago, with their events inside the window. Machine opens and scanner clicks have separate totals.
--
-- Events after p_until do not count, by the time they happened: an open before p_until counts even if the provider
-- reported it later; later assignments, messages and events do not. 'infinity': everything so far.
CREATE OR REPLACE FUNCTION count_ab_test_variants_until(
    p_test_ids uuid[],
    p_metrics text[],
    p_window_hours double precision[],
    p_now timestamptz,
    p_until timestamptz
)
RETURNS TABLE (
    ab_test_id uuid,
    variant_group text,
    is_holdout boolean,
    first_assigned_at timestamptz,
    total_assigned bigint,
    total_sent bigint,
    total_delivered bigint,
    total_opened bigint,
    total_clicked bigint,
    total_replied bigint,
    total_converted bigint,
    total_unsubscribed bigint,
    total_bounced bigint,
    total_complained bigint,
    total_machine_opened bigint,
    total_machine_clicked bigint,
    cohort_contacts bigint,
    cohort_successes bigint,
    cohort_score_sum numeric,
    cohort_score_sum_squares numeric
)
LANGUAGE sql
STABLE
AS $$
    WITH variants AS MATERIALIZED (
        SELECT
            t.id AS test_id, t.campaign_id, t.split_node_id, v.id AS variant, coalesce(v.holdout, false) AS held_out,
            w.metric,
            CASE WHEN w.window_hours > 0 THEN make_interval(secs => w.window_hours * 3600) END AS attribution,
            CASE
                WHEN jsonb_typeof(t.inner_nodes -> v.id) = 'array'
                    THEN ARRAY(SELECT jsonb_array_elements_text(t.inner_nodes -> v.id))
                ELSE '{}'
            END AS inner_nodes
        FROM unnest(p_test_ids, p_metrics, p_window_hours) AS w (test_id, metric, window_hours)
        JOIN campaign_ab_tests t ON t.id = w.test_id
        CROSS JOIN LATERAL jsonb_to_recordset(
            CASE jsonb_typeof(t.config -> 'variants') WHEN 'array' THEN t.config -> 'variants' END
        ) AS v (id text, holdout boolean)
    ),

    members AS (
        SELECT
            v.test_id, v.variant, v.held_out, v.metric, v.attribution,
            min(a.assigned_at) AS assigned_at,
            min(a.first_converted_at) FILTER (WHERE a.first_converted_at <= p_until) AS converted_at,
            min(o.sent_at) AS sent_at,
            bool_or(o.delivered_at <= p_until) AS was_delivered,
            min(o.first_opened_at) FILTER (WHERE o.first_opened_at <= p_until) AS opened_at,
            min(o.first_clicked_at) FILTER (WHERE o.first_clicked_at <= p_until) AS clicked_at,
            min(o.first_replied_at) FILTER (WHERE o.first_replied_at <= p_until) AS replied_at,
            bool_or(o.first_machine_opened_at <= p_until) AS machine_opened,
            bool_or(o.first_machine_clicked_at <= p_until) AS machine_clicked,
            bool_or(o.unsubscribed_at <= p_until) AS has_unsubscribed,
            bool_or(o.bounced_at <= p_until) AS has_bounced,
            bool_or(o.complained_at <= p_until) AS has_complained
        FROM variants v
        JOIN campaign_split_assignments a
            ON a.campaign_id = v.campaign_id
            AND a.split_node_id = v.split_node_id
            AND a.ab_test_id = v.test_id
            AND a.variant_group = v.variant
            AND a.is_randomized
            AND a.assigned_at <= p_until
        LEFT JOIN campaign_message_outcomes o
            ON o.enrollment_id = a.enrollment_id
            AND NOT v.held_out
            AND o.sent_at <= p_until
            AND (
                (o.split_node_id = a.split_node_id AND o.variant_group = a.variant_group)
                OR o.node_id = ANY(v.inner_nodes)
            )
        GROUP BY v.test_id, v.variant, v.held_out, v.metric, v.attribution, a.contact_id
    ),

    measured AS (
        SELECT
            p.*,
            (p.held_out OR p.sent_at IS NOT NULL) AS is_counted,
            c.counts_from,
            c.counts_from IS NOT NULL AND (p.attribution IS NULL OR c.counts_from + p.attribution <= p_now)
                AS in_cohort,
            p.opened_at IS NOT NULL AND (p.attribution IS NULL OR p.opened_at <= c.counts_from + p.attribution)
                AS has_opened,
            p.clicked_at IS NOT NULL AND (p.attribution IS NULL OR p.clicked_at <= c.counts_from + p.attribution)
                AS has_clicked,
            p.replied_at IS NOT NULL AND (p.attribution IS NULL OR p.replied_at <= c.counts_from + p.attribution)
                AS has_replied,
            p.converted_at IS NOT NULL AND (p.attribution IS NULL OR p.converted_at <= c.counts_from + p.attribution)
                AS has_converted
        FROM members p
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p.held_out THEN p.assigned_at ELSE p.sent_at END AS counts_from
        ) c
    ),

    scored AS (
        SELECT
            m.*,
            CASE m.metric
                WHEN 'open_rate' THEN m.has_opened
                WHEN 'click_rate' THEN m.has_clicked
                WHEN 'reply_rate' THEN m.has_replied
                WHEN 'conversion_rate' THEN m.has_converted
                ELSE false
            END AS is_success,
            3 * m.has_opened::integer + 4 * m.has_clicked::integer + 3 * m.has_replied::integer AS score_tenths
        FROM measured m
    ),

    sums AS (
        SELECT
            s.test_id, s.variant,
            min(s.assigned_at) AS first_assigned_at,
            count(*) AS assigned,
            count(s.sent_at) AS sent,
            count(*) FILTER (WHERE s.was_delivered) AS delivered,
            count(s.opened_at) AS opened,
            count(s.clicked_at) AS clicked,
            count(s.replied_at) AS replied,
            count(*) FILTER (WHERE s.converted_at IS NOT NULL AND s.is_counted) AS converted,
            count(*) FILTER (WHERE s.has_unsubscribed) AS unsubscribed,
            count(*) FILTER (WHERE s.has_bounced) AS bounced,
            count(*) FILTER (WHERE s.has_complained) AS complained,
            count(*) FILTER (WHERE s.machine_opened) AS machine_opened,
            count(*) FILTER (WHERE s.machine_clicked) AS machine_clicked,
            count(*) FILTER (WHERE s.in_cohort) AS contacts,
            count(*) FILTER (WHERE s.in_cohort AND s.is_success) AS successes,
            sum(s.score_tenths) FILTER (WHERE s.in_cohort) AS tenths,
            sum(s.score_tenths * s.score_tenths) FILTER (WHERE s.in_cohort) AS tenths_squared
        FROM scored s
        GROUP BY s.test_id, s.variant
    )

    SELECT
        v.test_id, v.variant, v.held_out, s.first_assigned_at,
        coalesce(s.assigned, 0), coalesce(s.sent, 0), coalesce(s.delivered, 0), coalesce(s.opened, 0),
        coalesce(s.clicked, 0), coalesce(s.replied, 0), coalesce(s.converted, 0), coalesce(s.unsubscribed, 0),
        coalesce(s.bounced, 0), coalesce(s.complained, 0), coalesce(s.machine_opened, 0),
        coalesce(s.machine_clicked, 0), coalesce(s.contacts, 0), coalesce(s.successes, 0),
        round(coalesce(s.tenths, 0) / 10.0, 1), round(coalesce(s.tenths_squared, 0) / 100.0, 2)
    FROM variants v
    LEFT JOIN sums s ON s.test_id = v.test_id AND s.variant = v.variant
$$;

-- The same without an upper time.
CREATE OR REPLACE FUNCTION count_ab_test_variants(
    p_test_ids uuid[],
    p_metrics text[],
    p_window_hours double precision[],
    p_now timestamptz
)
RETURNS TABLE (
    ab_test_id uuid,
    variant_group text,
    is_holdout boolean,
    first_assigned_at timestamptz,
    total_assigned bigint,
    total_sent bigint,
    total_delivered bigint,
    total_opened bigint,
    total_clicked bigint,
    total_replied bigint,
    total_converted bigint,
    total_unsubscribed bigint,
    total_bounced bigint,
    total_complained bigint,
    total_machine_opened bigint,
    total_machine_clicked bigint,
    cohort_contacts bigint,
    cohort_successes bigint,
    cohort_score_sum numeric,
    cohort_score_sum_squares numeric
)
LANGUAGE sql
STABLE
AS $$
    SELECT n.* FROM count_ab_test_variants_until(p_test_ids, p_metrics, p_window_hours, p_now, 'infinity') AS n
$$;

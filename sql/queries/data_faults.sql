-- name: store_data_faults
-- Stores why these enrollments failed, or why these contacts could not be checked.
INSERT INTO campaign_data_faults (workspace_id, contact_id, enrollment_id, campaign_id, node_id, reason, found_at)
SELECT DISTINCT ON (f.contact_id, f.enrollment_id)
    k.workspace_id, f.contact_id, f.enrollment_id, f.campaign_id, f.node_id, f.reason, CAST(%(now)s AS timestamptz)
FROM unnest(
    CAST(%(contact_ids)s AS uuid []), CAST(%(enrollment_ids)s AS uuid []), CAST(%(campaign_ids)s AS uuid []),
    CAST(%(node_ids)s AS text []), CAST(%(reasons)s AS text [])
) AS f (contact_id, enrollment_id, campaign_id, node_id, reason)
JOIN contacts k ON k.id = f.contact_id
ORDER BY f.contact_id, f.enrollment_id
ON CONFLICT (contact_id, coalesce(enrollment_id, '00000000-0000-0000-0000-000000000000')) DO UPDATE SET
    node_id = excluded.node_id, reason = excluded.reason, found_at = excluded.found_at;

-- name: current_data_faults
-- Faults of enrollments that are still failed, and of contacts that could not be checked since a timestamp. Reads at
-- most `row_limit` of the newest, and returns the first of each campaign, oldest first, with the number of all.
WITH newest AS MATERIALIZED (
    SELECT f.*
    FROM campaign_data_faults f
    ORDER BY f.id DESC
    LIMIT CAST(%(row_limit)s AS integer)
),

current_faults AS (
    SELECT
        f.id, f.contact_id, f.enrollment_id, f.campaign_id, f.node_id, f.reason, f.workspace_id, c.name AS campaign
    FROM newest f
    LEFT JOIN drip_campaigns c ON c.id = f.campaign_id
    LEFT JOIN campaign_workflow_states s ON s.id = f.enrollment_id
    WHERE CASE
        WHEN f.enrollment_id IS NULL THEN f.found_at > CAST(%(since)s AS timestamptz)
        ELSE s.workflow_status = 'failed'
    END
),

numbered AS (
    SELECT
        f.*,
        count(*) OVER (PARTITION BY f.workspace_id, f.campaign_id) AS total,
        row_number() OVER (PARTITION BY f.workspace_id, f.campaign_id ORDER BY f.id) AS position
    FROM current_faults f
)

SELECT n.workspace_id, n.campaign_id, n.campaign, n.contact_id, n.enrollment_id, n.node_id, n.reason, n.total
FROM numbered n
WHERE n.position <= CAST(%(shown)s AS integer)
ORDER BY n.workspace_id, n.campaign, n.campaign_id, n.position;

-- name: prune_data_faults
-- Deletes faults found before a timestamp, and those of enrollments that are not failed any more.
DELETE FROM campaign_data_faults f
WHERE f.found_at < CAST(%(before)s AS timestamptz)
   OR (
       f.enrollment_id IS NOT NULL
       AND NOT EXISTS (
           SELECT FROM campaign_workflow_states s WHERE s.id = f.enrollment_id AND s.workflow_status = 'failed'
       )
   );

-- name: preview_contacts
-- Contacts of a workspace for previews, each with the data of its latest run of the campaign: of these ids or this
-- address, else up to a number of contacts that have an address.
SELECT
    k.id, k.workspace_id, k.name, k.email, k.company, k.phone, k.job_title, k.ai_score, k.status, k.tags, k.custom_fields,
    k.last_interaction, k.created_at, k.updated_at, r.personalization_data, r.workflow_variables
FROM (
    SELECT c.*
    FROM contacts c
    WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
      AND (
          CAST(%(contact)s AS text) IS NULL
          OR c.id = CAST(%(contact_id)s AS uuid)
          OR canonical_email(c.email) = canonical_email(CAST(%(contact)s AS text))
      )
      AND (CAST(%(contact)s AS text) IS NOT NULL OR c.email IS NOT NULL)
    ORDER BY c.id
    LIMIT CAST(%(most)s AS integer)
) k
LEFT JOIN LATERAL (
    SELECT nullif(e.personalization_data, '{}') AS personalization_data, s.workflow_variables
    FROM campaign_enrollments e
    LEFT JOIN campaign_workflow_states s ON s.enrollment_id = e.id
    WHERE e.contact_id = k.id AND e.campaign_id = CAST(%(campaign_id)s AS uuid)
    ORDER BY e.started_at DESC
    LIMIT 1
) r ON true;

-- name: refused_addresses
-- The addresses and numbers, of these, that a workspace-wide suppression excludes from email or SMS.
SELECT a.address AS address, a.reason AS reason
FROM (
    SELECT t.address, min(s.reason) AS reason
    FROM unnest(CAST(%(addresses)s AS text [])) AS t (address)
    INNER JOIN campaign_suppressions s ON s.workspace_id = CAST(%(workspace_id)s AS uuid) AND s.campaign_id IS NULL
        AND canonical_address(s.address) = canonical_address(t.address)
    GROUP BY t.address
) a
ORDER BY a.address;

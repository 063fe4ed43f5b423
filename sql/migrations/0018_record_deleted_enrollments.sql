-- Enrollments that were deleted with their contact: their states are gone, what the log has of them stays. Rows are added
-- by a trigger and never changed.
CREATE TABLE IF NOT EXISTS campaign_deleted_enrollments (
    enrollment_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    contact_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
SELECT drip_protect_table('campaign_deleted_enrollments');

-- Those that were deleted before this migration: in the log, but without an enrollment. Archived months are not read.
INSERT INTO campaign_deleted_enrollments (
    enrollment_id, workspace_id, campaign_id, campaign_version, contact_id
)
SELECT DISTINCT ON (e.enrollment_id)
    e.enrollment_id, coalesce(e.workspace_id, c.workspace_id), e.campaign_id, e.campaign_version, e.contact_id
FROM campaign_events e
JOIN drip_campaigns c ON c.id = e.campaign_id
WHERE e.event_type IN ('enrollment_started', 'enrollment_migrated')
  AND e.campaign_version IS NOT NULL AND e.contact_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM campaign_enrollments n WHERE n.id = e.enrollment_id)
ORDER BY e.enrollment_id, e.created_at DESC
ON CONFLICT DO NOTHING;

-- name: contact_occurrences
-- The events of these types that these contacts have had, with their properties: at contact level, and in any campaign
-- but the one that is left out. Events caused by machines are included: the matcher decides.
SELECT c.contact_id, c.id AS event_id, c.event_type, c.occurred_at, c.event_data
FROM contact_events c
WHERE c.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND c.event_type = ANY(CAST(%(event_types)s AS text []))
  AND (CAST(%(earliest)s AS timestamptz) IS NULL OR c.occurred_at >= CAST(%(earliest)s AS timestamptz))
UNION ALL
SELECT n.contact_id, e.id, e.event_type, e.created_at, e.event_data
FROM campaign_enrollments n
JOIN campaign_events e ON e.enrollment_id = n.id
WHERE n.contact_id = ANY(CAST(%(contact_ids)s AS uuid []))
  AND n.campaign_id IS DISTINCT FROM CAST(%(except_campaign)s AS uuid)
  AND e.event_type = ANY(CAST(%(event_types)s AS text []))
  AND (CAST(%(earliest)s AS timestamptz) IS NULL OR e.created_at >= CAST(%(earliest)s AS timestamptz));

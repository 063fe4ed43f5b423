-- name: store_attachments
-- Stores contents by their digests; those that are stored stay.
INSERT INTO campaign_attachments (workspace_id, digest, content, created_at)
SELECT CAST(%(workspace_id)s AS uuid), a.digest, a.content, CAST(%(now)s AS timestamptz)
FROM unnest(CAST(%(digests)s AS text []), CAST(%(contents)s AS bytea [])) AS a (digest, content)
ON CONFLICT (workspace_id, digest) DO NOTHING;

-- name: stored_attachments
-- The digests, of these, whose contents a workspace has.
SELECT a.digest AS digest
FROM campaign_attachments a
WHERE a.workspace_id = CAST(%(workspace_id)s AS uuid) AND a.digest = ANY(CAST(%(digests)s AS text []));

-- name: attachment_contents
-- The contents of a workspace's attachments by their digests.
SELECT a.digest, a.content
FROM campaign_attachments a
WHERE a.workspace_id = CAST(%(workspace_id)s AS uuid) AND a.digest = ANY(CAST(%(digests)s AS text []));

-- name: insert_operator_action
-- Stores an operation in the transaction of its change.
INSERT INTO operator_actions (
    id, workspace_id, actor, source, action, object_kind, object_id, object_name, reason, details, occurred_at
)
VALUES (
    CAST(%(id)s AS uuid), CAST(%(workspace_id)s AS uuid), CAST(%(actor)s AS text), CAST(%(source)s AS text),
    CAST(%(action)s AS text), CAST(%(object_kind)s AS text), CAST(%(object_id)s AS uuid),
    CAST(%(object_name)s AS text), CAST(%(reason)s AS text), CAST(%(details)s AS jsonb),
    CAST(%(occurred_at)s AS timestamptz)
);

-- name: update_operator_action
-- Replaces the details of a stored operation: it has several transactions, and its counts have grown.
UPDATE operator_actions a SET details = CAST(%(details)s AS jsonb) WHERE a.id = CAST(%(id)s AS uuid);

-- name: list_operator_actions
-- Operations, latest first, optionally of an object, an actor, an action, or since a timestamp.
SELECT
    a.id, a.occurred_at, a.actor, a.source, a.action, a.object_kind, a.object_id, a.object_name, a.reason, a.details,
    a.workspace_id, w.name AS workspace
FROM operator_actions a
LEFT JOIN workspaces w ON w.id = a.workspace_id
WHERE (CAST(%(object_ids)s AS uuid []) IS NULL OR a.object_id = ANY(CAST(%(object_ids)s AS uuid [])))
  AND (CAST(%(actor)s AS text) IS NULL OR a.actor = CAST(%(actor)s AS text))
  AND (CAST(%(action)s AS text) IS NULL OR a.action = CAST(%(action)s AS text))
  AND (CAST(%(since)s AS timestamptz) IS NULL OR a.occurred_at >= CAST(%(since)s AS timestamptz))
ORDER BY a.occurred_at DESC, a.id
LIMIT CAST(%(row_limit)s AS integer);

-- name: contacts_of_address
-- The ids of the contacts of all workspaces with an email address.
SELECT k.id
FROM contacts k
WHERE k.email <> '' AND canonical_email(k.email) = canonical_email(CAST(%(address)s AS text));

-- name: drop_old_operator_actions
-- Deletes a chunk of operations by age.
DELETE FROM operator_actions a
WHERE a.id = ANY(ARRAY(
    SELECT x.id FROM operator_actions x
    WHERE x.occurred_at < CAST(%(before)s AS timestamptz) LIMIT CAST(%(chunk_size)s AS integer)
));

-- Who did what: one row for each change that a person or an application has made through the engine, written in the
-- transaction of the change. Rows are only added; the counts in `details` grow while an operation of several transactions
-- runs. Without a foreign key, so that they stay when what they name is deleted.
CREATE TABLE operator_actions (
    id uuid PRIMARY KEY,
    -- Null for an operation on several workspaces.
    workspace_id uuid,
    -- A name as given by the operator, or `receiver:` and the endpoint.
    actor text NOT NULL,
    source text NOT NULL CHECK (source IN ('cli', 'dagster', 'receiver', 'studio', 'library', 'engine')),
    action text NOT NULL,
    object_kind text NOT NULL,
    -- Null for an object without an id, such as a selection of payloads.
    object_id uuid,
    -- Null for contacts: addresses and names of people are not stored here.
    object_name text,
    reason text,
    details jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL
);
CREATE INDEX operator_actions_occurred_at ON operator_actions (occurred_at, id);
CREATE INDEX operator_actions_object ON operator_actions (object_id, occurred_at) WHERE object_id IS NOT NULL;

SELECT drip_protect_table('operator_actions');

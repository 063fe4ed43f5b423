-- Rules of a workspace for its messages, such as quiet hours. A workspace without a row pays nothing for them.
CREATE TABLE IF NOT EXISTS workspace_rules (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    kind text NOT NULL,
    -- Names the rule in events; unique among the rules of its kind.
    name text NOT NULL,
    config jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, kind, name)
);

SELECT drip_protect_table('workspace_rules');

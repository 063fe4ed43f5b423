-- Members of workspaces, for a Supabase project whose application has no tables of its own for them. Run it as `postgres`
-- after the first `drip db migrate`; it can be repeated. A signed-in user who is listed in workspace_members
--
--   reads   everything of the workspace that the engine stores, through the policies that the migrations create
--   edits   contacts, campaigns and their steps (an edit of a published campaign is a draft until it is published), and
--           enrolls contacts
--
-- Members are added by the service role or in the SQL editor:
--   INSERT INTO workspace_members (workspace_id, user_id) VALUES ('…', '…');
--
-- Channels are read only: they name the address that a request goes to and the variable that has its secret.

CREATE TABLE IF NOT EXISTS workspace_members (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX IF NOT EXISTS workspace_members_user ON workspace_members (user_id);

ALTER TABLE workspace_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE drip_campaigns ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_enrollments ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_channels ENABLE ROW LEVEL SECURITY;

-- Row-level security does not stop TRUNCATE, and the platform grants it by default.
REVOKE ALL ON
workspace_members, workspaces, contacts, drip_campaigns, campaign_steps, campaign_enrollments, campaign_channels
FROM anon, authenticated;
GRANT SELECT ON workspace_members, workspaces, campaign_channels TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON contacts, drip_campaigns, campaign_steps TO authenticated;
GRANT SELECT, INSERT ON campaign_enrollments TO authenticated;

-- Policies of the names below are replaced, so that the file can be repeated; others stay.
DO $$
DECLARE
    rule record;
BEGIN
    FOR rule IN
        SELECT * FROM (
            VALUES
            ('workspace_members', 'SELECT', 'user_id = (SELECT auth.uid())'),
            ('workspaces', 'SELECT', 'id IN (SELECT m.workspace_id FROM workspace_members m)'),
            ('campaign_channels', 'SELECT', 'workspace_id IN (SELECT w.id FROM workspaces w)'),
            ('contacts', 'ALL', 'workspace_id IN (SELECT w.id FROM workspaces w)'),
            ('drip_campaigns', 'ALL', 'workspace_id IN (SELECT w.id FROM workspaces w)'),
            ('campaign_steps', 'ALL', 'campaign_id IN (SELECT c.id FROM drip_campaigns c)'),
            ('campaign_enrollments', 'SELECT', 'campaign_id IN (SELECT c.id FROM drip_campaigns c)'),
            (
                'campaign_enrollments', 'INSERT',
                'campaign_id IN (SELECT c.id FROM drip_campaigns c) AND contact_id IN (SELECT k.id FROM contacts k) '
                'AND workspace_id IN (SELECT w.id FROM workspaces w)'
            )
        ) AS r (table_name, command, condition)
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', 'members_' || lower(rule.command), rule.table_name);
        EXECUTE format(
            'CREATE POLICY %I ON %I FOR %s TO authenticated %s',
            'members_' || lower(rule.command), rule.table_name, rule.command,
            CASE rule.command
                WHEN 'SELECT' THEN format('USING (%s)', rule.condition)
                WHEN 'INSERT' THEN format('WITH CHECK (%s)', rule.condition)
                ELSE format('USING (%s) WITH CHECK (%s)', rule.condition, rule.condition)
            END
        );
    END LOOP;
END
$$;
